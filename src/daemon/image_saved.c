#include "daemon/image_saved.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "store/store.h"

#define TABLE	"meta"
#define PREFIX	"imagepolicy/"
#define MAX_ROW (64u << 20)

void bh_image_saved_keep(struct bh_store *store, const char *path, const struct bh_image_bundle *b,
			 const struct bh_image_bundle *before)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf(PREFIX "%s", path);
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err = {0};
	int r;

	if (before && json_equal(bh_image_bundle_json(before), bh_image_bundle_json(b)))
		return;
	text = json_dumps(bh_image_bundle_json(b), JSON_COMPACT);
	r = key && text ? bh_store_put(store, TABLE, key, text, &err)
			: bh_fail(&err, ENOMEM, "no memory");
	if (r < 0)
		bh_error("the ImagePolicies of '%s' are not kept: %s", path, err.text);
}

void bh_image_saved_drop(struct bh_store *store, const char *path)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf(PREFIX "%s", path);
	struct bh_err err;

	if (key && bh_store_del(store, TABLE, key, &err) < 0)
		bh_error("the ImagePolicies of '%s' are still kept: %s", path, err.text);
}

struct walk {
	int (*fn)(const char *path, struct bh_image_bundle **take, void *arg);
	void *arg;
};

static int load(const char *key, const char *text, void *arg)
{
	struct walk *w = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;
	BH_CLEANUP(bh_image_bundle_freep) struct bh_image_bundle *b = NULL;
	struct bh_err err;

	if (strncmp(key, PREFIX, strlen(PREFIX)))
		return 0;
	if (bh_json_parse(text, strlen(text), MAX_ROW, &row, &err) ||
	    bh_image_bundle_restore(row, &b, &err)) {
		bh_warn("the kept ImagePolicies of '%s': %s", key + strlen(PREFIX), err.text);
		return 0;
	}
	return w->fn(key + strlen(PREFIX), &b, w->arg);
}

int bh_image_saved_each(struct bh_store *store,
			int (*fn)(const char *path, struct bh_image_bundle **take, void *arg),
			void *arg, struct bh_err *err)
{
	struct walk w = {fn, arg};

	return bh_store_each(store, TABLE, load, &w, err);
}
