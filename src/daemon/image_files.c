#include "daemon/image_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/manifests.h"
#include "policy/image_bundle.h"
#include "policy/image_pods.h"
#include "daemon/image_glass.h"
#include "daemon/image_saved.h"
#include "verify/bytes.h"

#define REREAD_MS 5000
#define EMPTY_S	  5 /* so long an emptied file keeps its policies */

/* One manifest file that has a pod or a policy in it, or had. */
struct file {
	struct stat st;
	struct bh_image_bundle *bundle; /* the last good policies; NULL: none */
	uint64_t read_ms, seen;
	bool is_broken; /* its policies have never been right */
	char *why;	/* what is wrong with them now; NULL: nothing, or not told */
};

/* What one file says of a pod. */
struct described {
	const struct file *file;
	char *uid, *hash; /* NULL: not told */
	struct bh_image_strings images;
};

struct pod {
	BH_VEC(struct described) by;
	struct bh_image_strings
		found; /* by the last look-up; its strings are borrowed from above */
};

struct bh_image_files_set {
	const char *dir;
	struct bh_store *store;
	struct bh_image_glass *glass;
	struct bh_map files; /* by path */
	struct bh_map pods;  /* by NS/NAME */
	BH_VEC(struct bh_image_policy *) policies;
	json_t *bundle;
	char version[2 * BH_SHA256_LEN + 1];
	char trouble[BH_ERR_TEXT];
	uint64_t now_ms, round;
	bool is_changed;
};

static void file_free(void *v)
{
	struct file *f = v;

	bh_image_bundle_free(f->bundle);
	free(f->why);
	free(f);
}

static void described_done(struct described *d)
{
	bh_image_strings_done(&d->images);
	free(d->uid);
	free(d->hash);
}

static void pod_free(void *v)
{
	struct pod *p = v;

	bh_vec_each (d, &p->by)
		described_done(d);
	bh_vec_done(&p->by);
	bh_vec_done(&p->found);
	free(p);
}

/* ---- one file ---- */

static int read_named(void *ctx, const char *path, size_t max, struct bh_blob *ret,
		      struct bh_err *err)
{
	char *bytes;
	size_t n;
	int r = bh_fs_read(path, max, &bytes, &n, err);

	(void)ctx;
	if (!r)
		*ret = (struct bh_blob){.v = (unsigned char *)bytes, .n = n};
	return r;
}

static const struct bh_problem *first_error(const struct bh_problems *problems)
{
	for (size_t i = 0; i < problems->n; i++) {
		if (problems->v[i].level == BH_PROBLEM_ERROR)
			return &problems->v[i];
	}
	return NULL;
}

static void read_policies(struct bh_image_files_set *s, struct file *f, const char *path,
			  const char *text, size_t len)
{
	static const struct bh_image_files files = {.read = read_named};
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_image_bundle_freep) struct bh_image_bundle *b = NULL;
	BH_CLEANUP(bh_freep) char *was = BH_TAKE(f->why);
	const struct bh_problem *bad;
	struct bh_err err;

	if (!memmem(text, len, "ImagePolicy", 11)) {
		s->is_changed |= f->bundle || f->is_broken;
		if (f->bundle)
			bh_image_saved_drop(s->store, path);
		bh_image_bundle_free(BH_TAKE(f->bundle));
		f->is_broken = false;
		return;
	}
	s->is_changed = true;
	f->is_broken = !f->bundle;
	if (bh_image_bundle_new(&files, &b, &err) ||
	    bh_image_bundle_add(b, path, text, len, &problems))
		return;
	bad = first_error(&problems);
	if (bad) {
		f->why = bh_strf("%s:%u:%u: %s", path, bad->line, bad->col, bad->text);
		if (!f->why || !bh_streq(f->why, was)) /* it is read again and again */
			bh_error("%s", f->why ? f->why : path);
		return;
	}
	bh_image_saved_keep(s->store, path, b, f->bundle);
	bh_image_bundle_free(f->bundle);
	f->bundle = BH_TAKE(b);
	f->is_broken = false;
}

struct pods_of {
	struct bh_image_files_set *set;
	const struct file *file;
};

static int describe(struct described *d, const struct bh_image_pod *p)
{
	d->uid = p->uid ? strdup(p->uid) : NULL;
	d->hash = p->hash ? strdup(p->hash) : NULL;
	if ((p->uid && !d->uid) || (p->hash && !d->hash))
		return -ENOMEM;
	for (size_t i = 0; i < p->n_images; i++) {
		char *image = strdup(p->images[i]);

		if (!image || bh_vec_push(&d->images, image)) {
			free(image);
			return -ENOMEM;
		}
	}
	return 0;
}

static struct pod *pod_of(struct bh_image_files_set *s, const struct bh_image_pod *p)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", p->ns, p->name);
	struct pod *pod = key ? bh_map_get_s(&s->pods, key) : NULL;

	if (pod || !key)
		return pod;
	pod = calloc(1, sizeof(*pod));
	if (pod && !bh_map_set_s(&s->pods, key, pod))
		return pod;
	free(pod);
	return NULL;
}

static int add_pod(const struct bh_image_pod *p, void *arg)
{
	struct pods_of *to = arg;
	struct pod *pod = pod_of(to->set, p);
	struct described d = {.file = to->file};

	if (pod && !describe(&d, p) && !bh_vec_push(&pod->by, d))
		return 0;
	described_done(&d);
	return -ENOMEM;
}

static void drop_pods(struct bh_image_files_set *s, const struct file *f)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&s->pods, &pos))) {
		struct pod *pod = e->value;
		size_t kept = 0;

		for (size_t i = 0; i < pod->by.n; i++) {
			if (pod->by.v[i].file == f)
				described_done(&pod->by.v[i]);
			else
				pod->by.v[kept++] = pod->by.v[i];
		}
		pod->by.n = kept;
		if (!kept)
			bh_map_del(&s->pods, e->key, e->key_len);
	}
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool is_manifest(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

/* Somebody writes it anew: what it said holds until that is done, or it stays empty. One from the
 * future is as young as can be. */
static bool is_being_written(const struct file *f, size_t len, const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return !len && f->bundle && now.tv_sec - st->st_mtim.tv_sec < EMPTY_S;
}

static int read_file(struct bh_image_files_set *s, struct file *f, const char *path,
		     const struct stat *st)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct pods_of to = {s, f};
	struct bh_err err;
	size_t len;

	if (bh_fs_read(path, BH_MANIFEST_MAX_BYTES, &text, &len, &err))
		return 0; /* it is going, or the next look reads it */
	if (is_being_written(f, len, st))
		return 0;
	f->st = *st;
	read_policies(s, f, path, text, len);
	bh_image_glass_read(s->glass, path, text, len);
	drop_pods(s, f);
	f->read_ms = s->now_ms;
	return bh_image_pods_read(text, len, add_pod, &to);
}

static int look(const char *path, void *arg)
{
	struct bh_image_files_set *s = arg;
	struct file *f = bh_map_get_s(&s->files, path);
	struct stat st;
	bool is_old;

	if (!is_manifest(path) || stat(path, &st))
		return 0;
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f || bh_map_set_s(&s->files, path, f)) {
			free(f);
			return -ENOMEM;
		}
	}
	f->seen = s->round;
	/* the keys that a policy names may be other ones by now */
	is_old = (f->bundle || f->is_broken) && s->now_ms - f->read_ms >= REREAD_MS;
	if (f->read_ms && is_same(&st, &f->st) && !is_old)
		return 0;
	return read_file(s, f, path, &st);
}

/* ---- the set ---- */

static void drop_gone(struct bh_image_files_set *s)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&s->files, &pos))) {
		struct file *f = e->value;

		if (f->seen == s->round)
			continue;
		drop_pods(s, f);
		s->is_changed |= f->bundle || f->is_broken;
		if (f->bundle)
			bh_image_saved_drop(s->store, e->key);
		bh_image_glass_gone(s->glass, e->key);
		bh_map_del(&s->files, e->key, e->key_len);
	}
}

static int set_version(struct bh_image_files_set *s)
{
	BH_CLEANUP(bh_freep)
	char *text = json_dumps(s->bundle, JSON_COMPACT | JSON_SORT_KEYS);
	unsigned char hash[BH_HASH_MAX];

	if (!text || !bh_sha256(text, strlen(text), hash))
		return -ENOMEM;
	bh_hex(hash, BH_SHA256_LEN, s->version);
	return 0;
}

static int add_bundle(struct bh_image_files_set *s, const struct bh_image_bundle *b)
{
	const struct bh_image_policies *l = bh_image_bundle_policies(b);
	const json_t *j = bh_image_bundle_json(b);

	for (size_t i = 0; i < l->n; i++) {
		if (bh_vec_push(&s->policies, l->v[i]))
			return -ENOMEM;
	}
	return json_array_extend(json_object_get(s->bundle, "documents"),
				 json_object_get(j, "documents")) ||
			       json_object_update(json_object_get(s->bundle, "files"),
						  json_object_get(j, "files"))
		       ? -ENOMEM
		       : 0;
}

static int gather(struct bh_image_files_set *s)
{
	struct bh_map_entry *e;
	struct bh_err why;
	size_t pos = 0;

	json_decref(s->bundle);
	s->bundle = json_pack("{s:[], s:{}}", "documents", "files");
	s->policies.n = 0;
	s->trouble[0] = '\0';
	if (!s->bundle)
		return -ENOMEM;
	while ((e = bh_map_next(&s->files, &pos))) {
		const struct file *f = e->value;

		if (f->is_broken) {
			/* an error's text stays UTF-8 where it is cut */
			bh_fail(&why, EINVAL, "an ImagePolicy is not valid: %s",
				f->why ? f->why : (const char *)e->key);
			memcpy(s->trouble, why.text, sizeof(s->trouble));
		}
		if (f->bundle && add_bundle(s, f->bundle))
			return -ENOMEM;
	}
	return set_version(s);
}

int bh_image_files_refresh(struct bh_image_files_set *s, uint64_t now_ms, struct bh_err *err)
{
	int r = 0;

	s->now_ms = now_ms;
	s->round++;
	if (s->dir)
		r = bh_fs_walk(s->dir, look, s, err);
	if (r == -ENOENT) /* as for the set of objects: a source that went away changes nothing */
		return 0;
	if (r == -ENOMEM)
		return bh_fail(err, ENOMEM, "image policies");
	if (r)
		return bh_note(err, r, "image policies");
	drop_gone(s);
	if (!s->is_changed && s->bundle)
		return 0;
	if (gather(s))
		return bh_fail(err, ENOMEM, "image policies");
	s->is_changed = false;
	return 0;
}

struct bh_image_policy *const *bh_image_files_policies(const struct bh_image_files_set *s,
						       size_t *ret_n)
{
	*ret_n = s->policies.n;
	return s->policies.v;
}

static bool is_about(const struct described *d, const char *uid)
{
	if (!uid || !*uid || !d->uid)
		return true;
	return bh_streq(d->uid, uid) || bh_streq(d->hash, uid);
}

char *const *bh_image_files_pod(struct bh_image_files_set *s, const struct bh_image_who *who,
				size_t *ret_n)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", who->ns, who->name);
	struct pod *p = key ? bh_map_get_s(&s->pods, key) : NULL;
	static char *const none[] = {NULL};
	bool is_told = false;

	if (!p)
		return NULL;
	p->found.n = 0;
	bh_vec_each (d, &p->by) {
		if (!is_about(d, who->uid))
			continue;
		is_told = true;
		bh_vec_each (image, &d->images) {
			if (bh_vec_push(&p->found, *image))
				return NULL;
		}
	}
	*ret_n = p->found.n;
	return !is_told ? NULL : p->found.n ? p->found.v : none;
}

json_t *bh_image_files_bundle(const struct bh_image_files_set *s)
{
	return s->bundle;
}

const char *bh_image_files_version(const struct bh_image_files_set *s)
{
	return s->version;
}

const char *bh_image_files_trouble(const struct bh_image_files_set *s)
{
	return s->trouble[0] ? s->trouble : NULL;
}

static int restore(const char *path, struct bh_image_bundle **take, void *arg)
{
	struct bh_image_files_set *s = arg;
	struct file *f = calloc(1, sizeof(*f));

	if (!f || bh_map_set_s(&s->files, path, f)) {
		free(f);
		return -ENOMEM;
	}
	f->bundle = BH_TAKE(*take);
	s->is_changed = true;
	return 0;
}

int bh_image_files_open(const char *dir, struct bh_store *store, struct bh_image_glass *glass,
			struct bh_image_files_set **ret, struct bh_err *err)
{
	struct bh_image_files_set *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return bh_fail(err, ENOMEM, "image policies");
	s->dir = dir;
	s->store = store;
	s->glass = glass;
	bh_map_init(&s->files, file_free);
	bh_map_init(&s->pods, pod_free);
	s->bundle = json_pack("{s:[], s:{}}", "documents", "files");
	if (dir)
		r = bh_image_saved_each(store, restore, s, err);
	if (r) {
		bh_image_files_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void bh_image_files_close(struct bh_image_files_set *s)
{
	if (!s)
		return;
	bh_map_done(&s->pods);
	bh_map_done(&s->files);
	bh_vec_done(&s->policies);
	json_decref(s->bundle);
	free(s);
}
