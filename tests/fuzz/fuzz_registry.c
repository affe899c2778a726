/* What a registry, a configuration or a policy file may say: URLs and where they lead, challenges,
 * credentials, mirrors, ImagePolicies and their patterns. The first byte chooses. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/image_bundle.h"
#include "policy/image_pods.h"
#include "policy/mirrors.h"
#include "registry/challenge.h"
#include "registry/link.h"
#include "registry/creds.h"
#include "registry/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_url(const char *text)
{
	BH_CLEANUP(bh_url_done) struct bh_url base = {0}, u = {0}, again = {0};
	BH_CLEANUP(bh_freep) char *full = NULL;
	struct bh_err err;

	if (bh_url_parse("https://registry.example:5000/v2/a/b?n=1", &base, &err))
		abort();
	if (bh_url_resolve(&base, text, &u, &err))
		return;
	full = bh_url_text(&u);
	/* what was let through is a URL of the same meaning, with nothing in it that ends a line */
	if (!full || strpbrk(full, "\r\n \t") || bh_url_parse(full, &again, &err) ||
	    !bh_url_same_server(&u, &again) || strcmp(u.path, again.path))
		abort();
}

static void fuzz_challenge(const char *text)
{
	struct bh_challenge c = {0};
	struct bh_err err;

	if (bh_challenge_parse(text, &c, &err))
		return;
	if (c.scheme == BH_AUTH_BEARER && !c.realm)
		abort();
	bh_challenge_done(&c);
}

static void fuzz_creds(const char *text, size_t n)
{
	static const char *const hosts[] = {"docker.io", "registry.example", "a.b.example:5000"};
	BH_CLEANUP(bh_creds_freep) struct bh_creds *c = NULL;
	struct bh_err err;

	if (bh_creds_new(&c, &err))
		abort();
	bh_creds_add(c, text, n, &err);
	for (size_t i = 0; i < BH_ARRAY_SIZE(hosts); i++) {
		const struct bh_cred *found = bh_creds_find(c, hosts[i], "team/app");

		if (found && !found->identity_token && !(found->user && found->password))
			abort();
	}
}

static void fuzz_pattern(const char *text)
{
	struct bh_image_ref ref;
	struct bh_err err;

	if (bh_image_ref_parse("registry.example/team/app:v1", &ref, &err))
		abort();
	bh_image_glob_match(text, &ref);
	if (!bh_image_ref_parse(text, &ref, &err) && !bh_image_glob_match("**", &ref))
		abort();
}

static int no_pod(const struct bh_image_pod *pod, void *arg)
{
	(void)arg;
	return pod->n_images && !pod->images ? -1 : 0;
}

static void fuzz_policy(const char *text, size_t n)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_image_policies_done) struct bh_image_policies policies = {0};

	if (bh_image_policies_read("/f.yaml", text, n, NULL, &policies, &problems))
		abort();
	for (size_t i = 0; i < policies.n; i++) {
		const struct bh_image_policy *p = policies.v[i];

		/* a policy that is in force demands something of somebody */
		if (!p->name || !p->origin ||
		    !(p->signers.n || p->attestations.n || p->require_digest))
			abort();
		bh_image_policy_last_key(p);
	}
	if (bh_image_pods_read(text, n, no_pod, NULL))
		abort();
}

/* ---- mirrors: hosts.toml and registries.conf are the input, all other files are empty ---- */

static const char *mirror_text;

static int mirror_read(const char *path, size_t max, char **ret, size_t *ret_len,
		       struct bh_err *err)
{
	const char *text =
		strstr(path, "/r.example/hosts.toml") || !strcmp(path, "/conf") ? mirror_text : "";

	if (strstr(path, "_default"))
		return bh_fail(err, ENOENT, "%s", path);
	*ret_len = strnlen(text, max);
	*ret = strndup(text, *ret_len);
	return *ret ? 0 : bh_fail(err, ENOMEM, "text");
}

static int mirror_list(const char *dir, int (*fn)(const char *path, void *arg), void *arg,
		       struct bh_err *err)
{
	(void)fn;
	(void)arg;
	return bh_fail(err, ENOENT, "%s", dir);
}

static void check_entry(const json_t *j)
{
	const char *base = json_string_value(json_object_get(j, "base"));
	const json_t *header;
	size_t i;

	if (json_object_get(j, "refusal"))
		return;
	if (!base || !strstr(base, "//") || !json_string_value(json_object_get(j, "repository")))
		abort();
	/* nothing in a header may begin another one */
	json_array_foreach(json_object_get(j, "headers"), i, header)
	{
		if (strpbrk(json_string_value(header), "\r\n"))
			abort();
	}
}

static void fuzz_mirrors(const char *text, bool is_conf)
{
	static const struct bh_mirror_files files = {mirror_read, mirror_list};
	const struct bh_mirror_paths paths = {
		.hosts_dir = is_conf ? NULL : "/hosts",
		.registries_conf = is_conf ? "/conf" : NULL,
		.files = &files,
	};
	BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
	struct bh_err err;
	const json_t *j;
	size_t i;

	mirror_text = text;
	if (bh_mirrors_add(&paths, "r.example/team/app:v1", list, &err))
		abort();
	json_array_foreach(list, i, j) check_entry(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BH_CLEANUP(bh_freep) char *text = NULL;

	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	switch ((uint8_t)(data[0] - '0') % 7) {
	case 0:
		fuzz_url(text);
		break;
	case 1:
		fuzz_challenge(text);
		free(bh_link_next(text));
		break;
	case 2:
		fuzz_creds(text, strlen(text));
		break;
	case 3:
		fuzz_pattern(text);
		break;
	case 4:
		fuzz_policy(text, strlen(text));
		break;
	default:
		fuzz_mirrors(text, (uint8_t)(data[0] - '0') % 7 == 5);
	}
	return 0;
}
