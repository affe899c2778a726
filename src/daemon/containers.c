#include "daemon/containers.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/procs.h"
#include "daemon/whose.h"
#include "endpoint/endpoint.h"
#include "event/trace.h"

#define ID_LEN	      64
#define CGROUPS	      256  /* remembered; others are asked for again */
#define PROCS	      4096 /* the same, of executed images */
#define FILEID_KERNFS 0xfe /* Linux exportfs.h: a handle is the 64-bit id */

struct cgroup {
	uint64_t cgroup;
	char id[ID_LEN + 1]; /* of the container; "": it is none's */
};

struct proc {
	uint64_t exec_id, cgroup;
};

struct bh_containers {
	const struct bh_daemon *d;
	struct cgroup cgroups[CGROUPS];
	struct proc procs[PROCS];
};

/* The last run of 64 hexadecimal digits: "cri-containerd-ID.scope", "crio-ID.scope", "ID", perhaps
 * with cgroups of the container's own below. */
static void find_id(const char *path, char id[ID_LEN + 1])
{
	size_t n = 0;

	for (const char *p = path; *p; p++) {
		n = isxdigit((unsigned char)*p) ? n + 1 : 0;
		if (n == ID_LEN && !isxdigit((unsigned char)p[1])) {
			memcpy(id, p + 1 - ID_LEN, ID_LEN);
			id[ID_LEN] = '\0';
		}
	}
}

static void ask_kernel(uint64_t cgroup, char id[ID_LEN + 1])
{
	_Alignas(struct file_handle) char raw[sizeof(struct file_handle) + sizeof(cgroup)] = {0};
	struct file_handle *h = (struct file_handle *)raw;
	BH_CLEANUP(bh_closep)
	int mount = open(bh_cgroup2_mount(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	char link[64], path[PATH_MAX];
	ssize_t n = -1;

	h->handle_bytes = sizeof(cgroup);
	h->handle_type = FILEID_KERNFS;
	memcpy(h->f_handle, &cgroup, sizeof(cgroup));
	if (mount >= 0)
		fd = open_by_handle_at(mount, h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	close(fd);
	if (n < 0)
		return;
	path[n] = '\0';
	find_id(path, id);
}

static const char *id_of(struct bh_containers *c, uint64_t cgroup)
{
	struct cgroup *at = &c->cgroups[cgroup % CGROUPS];

	if (at->cgroup != cgroup) {
		*at = (struct cgroup){.cgroup = cgroup};
		ask_kernel(cgroup, at->id);
	}
	return at->id;
}

static uint64_t cgroup_of(struct bh_containers *c, const struct bh_trace_event *ev)
{
	struct proc *at = &c->procs[(ev->exec_id * 0x9e3779b97f4a7c15ull >> 32) % PROCS];

	if (ev->kind == BH_TRACE_EXEC && ev->cgroup && ev->exec_id)
		*at = (struct proc){ev->exec_id, ev->cgroup};
	return ev->exec_id && at->exec_id == ev->exec_id ? at->cgroup : 0;
}

void bh_containers_name(struct bh_containers *c, const struct bh_endpoint *ep,
			const struct bh_trace_event *ev, struct bh_whose *whose,
			struct bh_ocsf_pod *pod)
{
	uint64_t cgroup = c->d->images ? cgroup_of(c, ev) : 0;
	struct bh_images_container known;
	const char *id;

	if (!cgroup)
		return;
	id = id_of(c, cgroup);
	if (!*id || !bh_images_container(c->d->images, id, &known) || strcmp(known.ns, ep->ns) ||
	    strcmp(known.pod, ep->name))
		return;
	snprintf(whose->container, sizeof(whose->container), "%s", known.name);
	snprintf(whose->image, sizeof(whose->image), "%s", known.image);
	snprintf(whose->digest, sizeof(whose->digest), "%s", known.digest);
	/* of its own image, where that is known; else of the pod's worst */
	if (*known.verdict)
		snprintf(whose->verdict, sizeof(whose->verdict), "%s", known.verdict);
	pod->container_id = id;
	pod->container = whose->container;
	pod->image = whose->image;
	pod->verdict = whose->verdict[0] ? whose->verdict : NULL;
	pod->image_digest = whose->digest[0] ? whose->digest : NULL;
}

int bh_containers_open(const struct bh_daemon *d, struct bh_containers **ret, struct bh_err *err)
{
	struct bh_containers *c = calloc(1, sizeof(*c));

	if (!c)
		return bh_fail(err, ENOMEM, "containers");
	c->d = d;
	*ret = c;
	return 0;
}

void bh_containers_close(struct bh_containers *c)
{
	free(c);
}
