#include "daemon/image_glass.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "verify/pem.h"

#define MAX_KEY	 (64u << 10)
#define MAX_KEYS 16

struct bh_image_glass {
	struct bh_key keys[MAX_KEYS];
	size_t n_keys;
	struct bh_map files; /* lists of signed ones, by path */
	struct bh_map used;  /* by name; when, in s since 1970 */
};

struct list {
	struct bh_image_exempts all;
};

static void list_free(void *v)
{
	struct list *l = v;

	bh_image_exempts_done(&l->all);
	free(l);
}

/* ---- keys ---- */

static int add_key(struct bh_image_glass *g, const char *path, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *pem = NULL;
	struct bh_flaw flaw = {0};
	EVP_PKEY *key = NULL;
	size_t n = 0;
	int r = bh_fs_read(path, MAX_KEY, &pem, &n, err);

	if (r)
		return bh_note(err, r, "images.breakGlassKeys");
	if (bh_pem_key_file(pem, n, &key, &flaw))
		return bh_fail(err, EINVAL, "images.breakGlassKeys: '%s' %s", path, flaw.err.text);
	if (bh_key_init(&g->keys[g->n_keys], key, &flaw))
		return bh_fail(err, EINVAL,
			       "images.breakGlassKeys: '%s': a kind of key that is "
			       "not supported",
			       path);
	g->n_keys++;
	return 0;
}

int bh_image_glass_open(const json_t *key_files, struct bh_image_glass **ret, struct bh_err *err)
{
	struct bh_image_glass *g = calloc(1, sizeof(*g));
	const json_t *path;
	int r = 0;
	size_t i;

	if (!g)
		return bh_fail(err, ENOMEM, "image exceptions");
	bh_map_init(&g->files, list_free);
	bh_map_init(&g->used, NULL);
	if (json_array_size(key_files) > MAX_KEYS)
		r = bh_fail(err, E2BIG, "images.breakGlassKeys: more than %d", MAX_KEYS);
	json_array_foreach(key_files, i, path)
	{
		if (!r)
			r = add_key(g, json_string_value(path), err);
	}
	if (r) {
		bh_image_glass_close(g);
		return r;
	}
	*ret = g;
	return 0;
}

void bh_image_glass_close(struct bh_image_glass *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_keys; i++)
		bh_key_done(&g->keys[i]);
	bh_map_done(&g->files);
	bh_map_done(&g->used);
	free(g);
}

/* ---- manifests ---- */

static void keep_signed(const struct bh_image_glass *g, const char *path,
			struct bh_image_exempts *from, struct bh_image_exempts *to)
{
	bh_vec_each (it, from) {
		struct bh_image_exempt *e = *it;

		if (!bh_image_exempt_is_signed(e, g->keys, g->n_keys)) {
			bh_error(
				"%s:%u: ImageException '%s' has no effect: no key of "
				"images.breakGlassKeys has signed it",
				path, e->line, e->name);
			continue;
		}
		if (!bh_vec_push(to, e))
			*it = NULL;
	}
}

void bh_image_glass_read(struct bh_image_glass *g, const char *path, const char *text, size_t len)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_image_exempts_done) struct bh_image_exempts found = {0};
	struct list *l;

	bh_map_del_s(&g->files, path);
	if (!memmem(text, len, "ImageException", 14) ||
	    bh_image_exempts_read(path, text, len, &found, &problems))
		return;
	bh_vec_each (p, &problems) {
		if (p->level == BH_PROBLEM_ERROR)
			bh_error("%s:%u:%u: %s", path, p->line, p->col, p->text);
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return;
	keep_signed(g, path, &found, &l->all);
	if (!l->all.n || bh_map_set_s(&g->files, path, l))
		list_free(l);
}

void bh_image_glass_gone(struct bh_image_glass *g, const char *path)
{
	bh_map_del_s(&g->files, path);
}

/* ---- use ---- */

const struct bh_image_exempt *bh_image_glass_find(struct bh_image_glass *g, const char *ns,
						  const struct bh_image_ref *ref,
						  const char *digest)
{
	int64_t now_s = bh_now_s();
	struct bh_map_entry *m;
	size_t pos = 0;

	while ((m = bh_map_next(&g->files, &pos))) {
		const struct list *l = m->value;

		for (size_t i = 0; i < l->all.n; i++) {
			const struct bh_image_exempt *e = l->all.v[i];

			if (now_s >= e->until_s || !bh_image_exempt_covers(e, ns, ref, digest))
				continue;
			bh_map_set_s(&g->used, e->name, (void *)(uintptr_t)now_s);
			return e;
		}
	}
	return NULL;
}

uint64_t bh_image_glass_stamp(const struct bh_image_glass *g, int64_t now_s)
{
	struct bh_map_entry *m;
	uint64_t stamp = 0;
	size_t pos = 0;

	while ((m = bh_map_next(&g->files, &pos))) {
		const struct list *l = m->value;

		for (size_t i = 0; i < l->all.n; i++) {
			const struct bh_blob *s = &l->all.v[i]->signature;

			if (now_s < l->all.v[i]->until_s)
				stamp ^= bh_hash(s->v, s->n, 0);
		}
	}
	return stamp;
}

json_t *bh_image_glass_answer(const struct bh_image_exempt *e, const char *reference,
			      const char *digest)
{
	BH_CLEANUP(bh_freep) char *policy = bh_strf("ImageException %s", e->name);
	BH_CLEANUP(bh_freep)
	char *detail = bh_strf("exempt until %s: %s%s%s%s", e->until, e->why, e->owner ? " (" : "",
			       e->owner ? e->owner : "", e->owner ? ")" : "");

	return json_pack("{s:s, s:s, s:s, s:s?, s:n, s:s, s:n, s:[{s:s, s:b, s:s?}], s:n}",
			 "reference", reference, "digest", digest, "verdict", "accept", "policy",
			 policy, "signer", "reason", "exception", "until", "checks", "name",
			 "exception", "ok", 1, "detail", detail, "contents");
}

json_t *bh_image_glass_rows(const struct bh_image_glass *g, int64_t now_s)
{
	json_t *rows = json_array();
	struct bh_map_entry *m;
	size_t pos = 0;

	while ((m = bh_map_next(&g->files, &pos))) {
		const struct list *l = m->value;

		for (size_t i = 0; i < l->all.n; i++) {
			const struct bh_image_exempt *e = l->all.v[i];
			BH_CLEANUP(bh_freep) char *rule = bh_strf("ImageException %s", e->name);
			uintptr_t used = (uintptr_t)bh_map_get_s(&g->used, e->name);
			char at[32];

			json_array_append_new(
				rows,
				json_pack("{s:s?, s:s, s:n, s:s?, s:s, s:b, s:s?, s:s, s:i}",
					  "rule", rule, "why", e->why, "useCase", "owner", e->owner,
					  "expires", e->until, "expired", now_s >= e->until_s,
					  "lastUsed",
					  used ? bh_time_format((int64_t)used, at) : NULL, "file",
					  (const char *)m->key, "line", (int)e->line));
		}
	}
	return rows;
}
