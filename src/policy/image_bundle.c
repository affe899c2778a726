#include "policy/image_bundle.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "verify/bytes.h"

struct bh_image_bundle {
	struct bh_image_files files;
	struct bh_image_policies policies;
	json_t *json, *contents;
};

/* ---- making one ---- */

static int keep_contents(struct bh_image_bundle *b, const char *path, const struct bh_blob *bytes)
{
	BH_CLEANUP(bh_freep) char *text = bh_b64_encode(bytes->v, bytes->n);

	return text && !json_object_set_new(b->contents, path, json_string(text)) ? 0 : -ENOMEM;
}

static int read_and_keep(void *ctx, const char *path, size_t max, struct bh_blob *ret,
			 struct bh_err *err)
{
	struct bh_image_bundle *b = ctx;
	struct bh_blob bytes = {0};
	int r = b->files.read(b->files.ctx, path, max, &bytes, err);

	if (!r && keep_contents(b, path, &bytes)) {
		bh_blob_done(&bytes);
		r = bh_fail(err, ENOMEM, "'%s'", path);
	}
	if (!r)
		*ret = bytes;
	return r;
}

int bh_image_bundle_new(const struct bh_image_files *files, struct bh_image_bundle **ret,
			struct bh_err *err)
{
	struct bh_image_bundle *b = calloc(1, sizeof(*b));

	if (b)
		b->json = json_pack("{s:[], s:{}}", "documents", "files");
	if (!b || !b->json) {
		free(b);
		return bh_fail(err, ENOMEM, "image policies");
	}
	b->contents = json_object_get(b->json, "files");
	b->files = *files;
	*ret = b;
	return 0;
}

int bh_image_bundle_add(struct bh_image_bundle *b, const char *file, const char *text, size_t len,
			struct bh_problems *problems)
{
	struct bh_image_files keeping = {.read = read_and_keep, .ctx = b};
	json_t *documents = json_object_get(b->json, "documents");
	int r = bh_image_policies_read(file, text, len, &keeping, &b->policies, problems);

	if (r)
		return r;
	return json_array_append_new(documents,
				     json_pack("{s:s, s:s%}", "file", file, "text", text, len))
		       ? -ENOMEM
		       : 0;
}

const struct bh_image_policies *bh_image_bundle_policies(const struct bh_image_bundle *b)
{
	return &b->policies;
}

json_t *bh_image_bundle_json(const struct bh_image_bundle *b)
{
	return b->json;
}

void bh_image_bundle_free(struct bh_image_bundle *b)
{
	if (!b)
		return;
	bh_image_policies_done(&b->policies);
	json_decref(b->json);
	free(b);
}

void bh_image_bundle_freep(struct bh_image_bundle **b)
{
	bh_image_bundle_free(*b);
	*b = NULL;
}

/* ---- opening one ---- */

static int find_contents(void *ctx, const char *path, size_t max, struct bh_blob *ret,
			 struct bh_err *err)
{
	const json_t *text = json_object_get(ctx, path);
	struct bh_blob b = {0};

	if (!json_is_string(text))
		return bh_fail(err, ENOENT, "'%s' is not in the bundle", path);
	if (bh_b64_decode(json_string_value(text), json_string_length(text), &b))
		return bh_fail(err, EINVAL, "'%s' does not decode", path);
	if (b.n > max) {
		bh_blob_done(&b);
		return bh_fail(err, EFBIG, "'%s' has more than %zu bytes", path, max);
	}
	*ret = b;
	return 0;
}

static int first_error(const struct bh_problems *problems, struct bh_err *err)
{
	for (size_t i = 0; i < problems->n; i++) {
		const struct bh_problem *p = &problems->v[i];

		if (p->level == BH_PROBLEM_ERROR)
			return bh_fail(err, EINVAL, "%s:%u:%u: %s", p->file ? p->file : "-",
				       p->line, p->col, p->text);
	}
	return 0;
}

static int open_document(const json_t *document, const struct bh_image_files *files,
			 struct bh_image_policies *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	const char *file, *text;
	int r = bh_json_get_str(document, "file", true, &file, err);

	if (!r)
		r = bh_json_get_str(document, "text", true, &text, err);
	if (r)
		return r;
	if (bh_image_policies_read(file, text, strlen(text), files, ret, &problems))
		return bh_fail(err, ENOMEM, "image policies");
	return first_error(&problems, err);
}

int bh_image_bundle_open(const json_t *bundle, struct bh_image_policies *ret, struct bh_err *err)
{
	struct bh_image_policies policies = {0};
	json_t *documents = NULL, *files = NULL;
	int r = bh_json_get_arr(bundle, "documents", true, &documents, err);

	if (!r)
		r = bh_json_get_obj(bundle, "files", true, &files, err);
	for (size_t i = 0; !r && i < json_array_size(documents); i++)
		r = open_document(json_array_get(documents, i),
				  &(struct bh_image_files){.read = find_contents, .ctx = files},
				  &policies, err);
	if (r) {
		bh_image_policies_done(&policies);
		return r;
	}
	*ret = policies;
	return 0;
}

static int restore_document(struct bh_image_bundle *b, const json_t *document, struct bh_err *err)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	const char *file, *text;
	int r = bh_json_get_str(document, "file", true, &file, err);

	if (!r)
		r = bh_json_get_str(document, "text", true, &text, err);
	if (r)
		return r;
	if (bh_image_bundle_add(b, file, text, strlen(text), &problems))
		return bh_fail(err, ENOMEM, "image policies");
	return first_error(&problems, err);
}

int bh_image_bundle_restore(const json_t *bundle, struct bh_image_bundle **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_image_bundle_freep) struct bh_image_bundle *b = NULL;
	json_t *documents = NULL, *files = NULL;
	int r = bh_json_get_arr(bundle, "documents", true, &documents, err);

	if (!r)
		r = bh_json_get_obj(bundle, "files", true, &files, err);
	if (!r)
		r = bh_image_bundle_new(
			&(struct bh_image_files){.read = find_contents, .ctx = files}, &b, err);
	for (size_t i = 0; !r && i < json_array_size(documents); i++)
		r = restore_document(b, json_array_get(documents, i), err);
	if (r)
		return r;
	*ret = BH_TAKE(b);
	return 0;
}
