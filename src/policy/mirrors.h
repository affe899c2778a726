/* mirrors.h - where the node's container runtime fetches a repository's images from: containerd's
 * certs.d/HOST/hosts.toml (github.com/containerd/containerd docs/hosts.md) and
 * containers-registries.conf(5), version 2.
 *
 * Who reads these files is the operator's own daemon or command: only the operator can write them,
 * and they name more files (authorities, client keys) that nobody else may read. The worker, which
 * talks to registries, gets the result and opens none of them.
 *
 * Two of their settings are not obeyed: skip_verify and insecure. Certificates are always checked,
 * and plain http is only for hosts that an ImagePolicy lists as insecureRegistries.
 *
 * An entry of the result, in the order of asking:
 *	{"of": "registry/repository" of the image, "base": "https://mirror.example/v2" ("//..": http
 *	or https, as the ImagePolicy says), "repository": its name there, "ns": TEXT|null for ?ns=,
 *	"tags": BOOL and "digests": BOOL: what is asked of it, "isServer": BOOL, it stands for the
 *	registry itself, "caPem", "certPem", "keyPem": TEXT|null, "headers": ["Name: value"...]}
 * or {"of", "refusal": TEXT, "isBroken": BOOL}: nobody is asked. Broken: a file cannot be read. */
#pragma once

#include <jansson.h>

#include "base/err.h"

#define BH_MIRRORS_MAX 1024 /* entries for one worker */

struct bh_mirror_files {
	/* The text of a file of at most max bytes, NUL-terminated; -ENOENT: there is none. */
	int (*read)(const char *path, size_t max, char **ret, size_t *ret_len, struct bh_err *err);
	/* fn for each file below dir in byte order; -ENOENT: there is no such directory. */
	int (*list)(const char *dir, int (*fn)(const char *path, void *arg), void *arg,
		    struct bh_err *err);
};

struct bh_mirror_paths {
	const char *hosts_dir;	     /* certs.d; NULL: none */
	const char *registries_conf; /* and the drop-ins of the folder with ".d" behind it; NULL */
	const struct bh_mirror_files *files;
};

/* Appends the entries for the image's repository to an array, once for each repository. What is
 * wrong with a file becomes a refusal. 0, -ENOMEM; -E2BIG for too many. */
int bh_mirrors_add(const struct bh_mirror_paths *p, const char *reference, json_t *to,
		   struct bh_err *err);
