/* layout.c - OCI image layouts on disk (image-spec, image-layout.md) as sources. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "registry/fetcher.h"

#define MAX_INDEX     (16u << 20)
#define MAX_MANIFEST  (4u << 20)
#define MAX_ENTRIES   65536
#define MAX_REFERRERS 256
#define REF_NAME      "org.opencontainers.image.ref.name"

struct layout {
	struct bh_fetcher f;
	char *dir;
	struct bh_image_ref ref;
	json_t *index;
};

static const json_t *entries_of(const struct layout *l)
{
	return json_object_get(l->index, "manifests");
}

/* "sha256:<hex>" of an entry, NULL when it is not one; only such a text becomes a path. */
static const char *digest_of(const json_t *entry)
{
	const char *text = json_string_value(json_object_get(entry, "digest"));

	return text && bh_digest_ok(text) ? text : NULL;
}

static int read_blob(const struct layout *l, const char *digest, size_t limit,
		     struct bh_blob *ret_bytes, struct bh_err *err)
{
	const char *colon = strchr(digest, ':');
	BH_CLEANUP(bh_freep)
	char *path = bh_strf("%s/blobs/%.*s/%s", l->dir, (int)(colon - digest), digest, colon + 1);
	char *bytes;
	size_t n;
	int r;

	if (!path)
		return bh_fail(err, ENOMEM, "path");
	r = bh_fs_read(path, limit, &bytes, &n, err);
	if (r)
		return r;
	*ret_bytes = (struct bh_blob){.v = (unsigned char *)bytes, .n = n};
	return 0;
}

static enum bh_fetch layout_blob(void *ctx, const char *digest, size_t limit,
				 struct bh_blob *ret_bytes, struct bh_fetch_why *why)
{
	int r = read_blob(ctx, digest, limit, ret_bytes, &why->err);

	if (!r)
		return BH_FETCH_FOUND;
	/* EACCES of a file has nothing to do with credentials */
	if (r == -EACCES || r == -EPERM)
		why->err.code = -EIO;
	return bh_fetcher_why(why);
}

/* A tag, or a whole reference that ends in it. */
static bool is_named(const struct layout *l, const json_t *entry, const char *tag)
{
	const json_t *annotations = json_object_get(entry, "annotations");
	const char *name = json_string_value(json_object_get(annotations, REF_NAME));
	BH_CLEANUP(bh_freep) char *full = NULL;

	if (!name || !strcmp(name, tag))
		return name;
	full = bh_strf("%s/%s:%s", l->ref.registry, l->ref.repository, tag);
	return full && !strcmp(name, full);
}

static const char *find_tag(const struct layout *l, const char *tag)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(entries_of(l), i, entry)
	{
		if (is_named(l, entry, tag))
			return digest_of(entry);
	}
	return NULL;
}

static enum bh_fetch layout_manifest(void *ctx, const char *reference, size_t limit,
				     struct bh_blob *ret_bytes, struct bh_fetch_why *why)
{
	const char *digest = bh_digest_ok(reference) ? reference : find_tag(ctx, reference);

	if (digest)
		return layout_blob(ctx, digest, limit, ret_bytes, why);
	bh_fail(&why->err, ENOENT, "the layout has no '%s'", reference);
	return bh_fetcher_why(why);
}

/* The entry's manifest when its subject is the digest, NULL otherwise. */
static json_t *referrer(const struct layout *l, const json_t *entry, const char *digest)
{
	const char *own = digest_of(entry), *subject;
	BH_CLEANUP(bh_json_decrefp) json_t *manifest = NULL;
	struct bh_err ignored;
	struct bh_blob b;

	if (!own || read_blob(l, own, MAX_MANIFEST, &b, &ignored))
		return NULL;
	bh_json_parse((const char *)b.v, b.n, MAX_MANIFEST, &manifest, &ignored);
	free(b.v);
	subject =
		json_string_value(json_object_get(json_object_get(manifest, "subject"), "digest"));
	if (!subject || strcmp(subject, digest))
		return NULL;
	return json_pack("{s:O* s:s s:i s:O*}", "mediaType", json_object_get(manifest, "mediaType"),
			 "digest", own, "size", (int)b.n, "artifactType",
			 json_object_get(manifest, "artifactType"));
}

static json_t *referrers_of(const struct layout *l, const char *digest)
{
	BH_CLEANUP(bh_json_decrefp) json_t *list = json_array();
	const json_t *entry;
	size_t i;

	json_array_foreach(entries_of(l), i, entry)
	{
		json_t *found = referrer(l, entry, digest);

		if (found && json_array_append_new(list, found))
			return NULL;
		if (json_array_size(list) >= MAX_REFERRERS)
			break;
	}
	return json_pack("{s:i s:s s:O}", "schemaVersion", 2, "mediaType",
			 "application/vnd.oci.image.index.v1+json", "manifests", list);
}

static enum bh_fetch layout_referrers(void *ctx, const char *digest, unsigned int page,
				      struct bh_blob *ret_bytes, bool *ret_more,
				      struct bh_fetch_why *why)
{
	BH_CLEANUP(bh_json_decrefp) json_t *index = referrers_of(ctx, digest);
	char *text = index ? json_dumps(index, JSON_COMPACT) : NULL;

	(void)page;
	if (!text) {
		bh_fail(&why->err, ENOMEM, "list of referrers");
		return bh_fetcher_why(why);
	}
	*ret_bytes = (struct bh_blob){.v = (unsigned char *)text, .n = strlen(text)};
	*ret_more = false;
	return BH_FETCH_FOUND;
}

static void layout_done(struct bh_fetcher *f)
{
	struct layout *l = (struct layout *)f;

	free(l->dir);
	json_decref(l->index);
}

static int read_index(struct layout *l, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/index.json", l->dir);
	BH_CLEANUP(bh_freep) char *text = NULL;
	size_t n;
	int r = path ? bh_fs_read(path, MAX_INDEX, &text, &n, err) : bh_fail(err, ENOMEM, "path");

	if (!r)
		r = bh_json_parse(text, n, MAX_INDEX, &l->index, err);
	if (r)
		return bh_note(err, r, "OCI layout '%s'", l->dir);
	if (json_array_size(entries_of(l)) > MAX_ENTRIES)
		return bh_fail(err, E2BIG, "OCI layout '%s': more than %d entries", l->dir,
			       MAX_ENTRIES);
	return 0;
}

int bh_fetcher_layout(const char *dir, const struct bh_image_ref *ref, struct bh_fetcher **ret,
		      struct bh_err *err)
{
	struct layout *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return bh_fail(err, ENOMEM, "OCI layout '%s'", dir);
	l->f.done = layout_done;
	l->f.name = bh_strf("layout %s", dir);
	l->dir = strdup(dir);
	l->ref = *ref;
	r = l->dir && l->f.name ? read_index(l, err) : bh_fail(err, ENOMEM, "OCI layout");
	if (r) {
		bh_fetcher_free(&l->f);
		return r;
	}
	l->f.source = (struct bh_image_source){.ctx = l,
					       .name = l->f.name,
					       .manifest = layout_manifest,
					       .blob = layout_blob,
					       .referrers = layout_referrers};
	*ret = &l->f;
	return 0;
}

/* ---- stores ---- */

static int add_layout(const char *dir, const struct bh_image_ref *ref, struct bh_layouts *l,
		      struct bh_err *err)
{
	int r;

	if (l->n == BH_STORE_MAX_LAYOUTS)
		return bh_fail(err, E2BIG, "more than %d layouts", BH_STORE_MAX_LAYOUTS);
	r = bh_fetcher_layout(dir, ref, &l->v[l->n], err);
	if (r)
		return r;
	l->sources[l->n] = bh_fetcher_source(l->v[l->n]);
	l->n++;
	return 0;
}

static bool is_layout(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/index.json", dir);

	return n > 0 && (size_t)n < sizeof(path) && !stat(path, &st);
}

static int add_below(const char *dir, const struct bh_image_ref *ref, struct bh_layouts *l,
		     struct bh_err *err)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort), r = 0;

	if (n < 0)
		return bh_fail_sys(err, errno, "signature store '%s'", dir);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		int len = snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);

		if (!r && names[i]->d_name[0] != '.' && len > 0 && (size_t)len < sizeof(path) &&
		    is_layout(path))
			r = add_layout(path, ref, l, err);
		free(names[i]);
	}
	free(names);
	return r;
}

int bh_layouts_open(const char *dir, const struct bh_image_ref *ref, struct bh_layouts *ret,
		    struct bh_err *err)
{
	struct bh_layouts l = {0};
	int r = is_layout(dir) ? add_layout(dir, ref, &l, err) : add_below(dir, ref, &l, err);

	if (r) {
		bh_layouts_close(&l);
		return r;
	}
	*ret = l;
	return 0;
}

void bh_layouts_close(struct bh_layouts *l)
{
	for (size_t i = 0; i < l->n; i++)
		bh_fetcher_free(l->v[i]);
	l->n = 0;
}
