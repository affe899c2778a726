#include "daemon/image_access.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/config.h"
#include "policy/mirrors.h"

#define MAX_FILE (1u << 20)

struct bh_image_access {
	const struct bh_settings *cfg;
	char told[512]; /* the last complaint, so that it is not repeated for every pod */
};

static void complain(struct bh_image_access *a, const char *text)
{
	if (!strncmp(a->told, text, sizeof(a->told) - 1))
		return;
	snprintf(a->told, sizeof(a->told), "%s", text);
	if (*text)
		bh_warn("registry credentials: %s", text);
}

/* Without the file nobody has a password; what needs one is undecided and says so. */
static int add_credentials(struct bh_image_access *a, json_t *job, struct bh_err *err)
{
	const char *path = a->cfg->images_credentials;
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err why;
	size_t n = 0;
	json_t *list;
	int r = path ? bh_fs_read(path, MAX_FILE, &text, &n, &why) : -ENOENT;

	if (r && path && !(r == -ENOENT && a->cfg->is_kubelets))
		complain(a, why.text);
	list = r ? json_array() : json_pack("[s%]", text, n);
	if (text)
		explicit_bzero(text, n);
	if (!list && !r) {
		complain(a, "the file is no text");
		list = json_array();
	} else if (!r) {
		complain(a, "");
	}
	return !list || json_object_set_new(job, "credentials", list)
		       ? bh_fail(err, ENOMEM, "registry credentials")
		       : 0;
}

/* ---- mirrors ---- */

static int add_mirrors(struct bh_image_access *a, json_t *job, struct bh_err *err)
{
	static const struct bh_mirror_files files = {bh_fs_read, bh_fs_walk};
	struct bh_mirror_paths paths = {
		.hosts_dir = a->cfg->images_hosts,
		.registries_conf = a->cfg->images_registries,
		.files = &files,
	};
	json_t *list = json_array(), *image;
	size_t i;
	int r = list ? 0 : bh_fail(err, ENOMEM, "mirrors");

	json_array_foreach(json_object_get(job, "images"), i, image)
	{
		const char *ref = json_string_value(json_object_get(image, "reference"));

		if (!r && ref)
			r = bh_mirrors_add(&paths, ref, list, err);
	}
	if (r) {
		json_decref(list);
		return r;
	}
	return json_object_set_new(job, "mirrors", list) ? bh_fail(err, ENOMEM, "mirrors") : 0;
}

int bh_image_access_add(struct bh_image_access *a, json_t *job, struct bh_err *err)
{
	int r = add_credentials(a, job, err);

	return r ? r : add_mirrors(a, job, err);
}

/* JSON's memory is zeroed when it is freed (bh_json_forgets). */
void bh_image_access_forget(json_t *job)
{
	json_object_del(job, "credentials");
	json_object_del(job, "mirrors");
}

int bh_image_access_open(const struct bh_settings *cfg, struct bh_image_access **ret,
			 struct bh_err *err)
{
	struct bh_image_access *a = calloc(1, sizeof(*a));

	if (!a)
		return bh_fail(err, ENOMEM, "registry credentials");
	a->cfg = cfg;
	*ret = a;
	return 0;
}

void bh_image_access_close(struct bh_image_access *a)
{
	free(a);
}
