/* check_images.c - the part of `policy check` that opens the files that ImagePolicies name. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/image_files.h"
#include "policy/image_exempt.h"
#include "cli/world.h"

#define MAX_FILE  (4u << 20)
#define WARN_DAYS 30
#define DAY_S	  86400

struct check {
	struct bh_problems *problems;
	int64_t now_s;
};

/* The form of the documents was checked before, with the other kinds. */
static bool is_told(const struct bh_problems *all, const struct bh_problem *p)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct bh_problem *q = &all->v[i];

		if (bh_streq(q->file, p->file) && q->line == p->line && q->col == p->col &&
		    bh_streq(q->text, p->text))
			return true;
	}
	return false;
}

static int add(struct bh_problems *to, const struct bh_problem *p)
{
	struct bh_about about = {.place = {.file = p->file, .line = p->line, .col = p->col},
				 .object = p->object};

	return is_told(to, p) ? 0 : bh_problems_add(to, p->level, &about, "%s", p->text);
}

static int check_keys(const struct check *c, const char *file, const struct bh_image_policy *p)
{
	const char *colon = strrchr(p->origin, ':');
	struct bh_about about = {.place = {.file = file, .col = 1}};
	BH_CLEANUP(bh_freep) char *title = bh_strf("ImagePolicy %s", p->name);
	int64_t end_s = bh_image_policy_last_key(p), left_s;

	if (end_s == BH_TIME_MAX || end_s - c->now_s > (int64_t)WARN_DAYS * DAY_S)
		return 0;
	left_s = end_s - c->now_s;
	about.place.line = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
	about.object = title;
	if (left_s < 0)
		return bh_problems_add(c->problems, BH_PROBLEM_WARNING, &about,
				       "its last key has ended: no new signature counts");
	return bh_problems_add(c->problems, BH_PROBLEM_WARNING, &about,
			       "its last key ends in %lld days", (long long)(left_s / DAY_S));
}

static int check_exception(const struct check *c, const char *file, const struct bh_image_exempt *e)
{
	BH_CLEANUP(bh_freep) char *title = bh_strf("ImageException %s", e->name);
	struct bh_about about = {.place = {.file = file, .line = e->line, .col = 1},
				 .object = title};

	if (!e->signature.n)
		return bh_problems_add(c->problems, BH_PROBLEM_ERROR, &about,
				       "it has no signature and no effect; `bulkhead image "
				       "exception` prints what is to be signed");
	if (e->until_s <= c->now_s)
		return bh_problems_add(c->problems, BH_PROBLEM_WARNING, &about, "it ended at %s",
				       e->until);
	if (e->until_s - c->now_s > (int64_t)WARN_DAYS * DAY_S)
		return bh_problems_add(c->problems, BH_PROBLEM_WARNING, &about,
				       "it holds for more than %d days", WARN_DAYS);
	return 0;
}

static int check_exceptions(const struct check *c, const char *path, const char *text, size_t len)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_image_exempts_done) struct bh_image_exempts all = {0};
	int r = bh_image_exempts_read(path, text, len, &all, &problems);

	for (size_t i = 0; !r && i < problems.n; i++)
		r = add(c->problems, &problems.v[i]);
	for (size_t i = 0; !r && i < all.n; i++)
		r = check_exception(c, path, all.v[i]);
	return r ? -ENOMEM : 0;
}

static int check_file(const char *path, void *arg)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_image_policies_done) struct bh_image_policies policies = {0};
	BH_CLEANUP(bh_freep) char *text = NULL;
	const struct check *c = arg;
	struct bh_err err;
	size_t len;

	if (bh_fs_read(path, MAX_FILE, &text, &len, &err))
		return 0;
	if (memmem(text, len, "ImageException", strlen("ImageException")) &&
	    check_exceptions(c, path, text, len))
		return -ENOMEM;
	if (!memmem(text, len, "ImagePolicy", strlen("ImagePolicy")))
		return 0;
	if (bh_image_policies_read(path, text, len, &bh_cli_image_files, &policies, &problems))
		return -ENOMEM;
	for (size_t i = 0; i < problems.n; i++) {
		if (add(c->problems, &problems.v[i]))
			return -ENOMEM;
	}
	for (size_t i = 0; i < policies.n; i++) {
		if (check_keys(c, path, policies.v[i]))
			return -ENOMEM;
	}
	return 0;
}

int bh_cli_check_images(const struct bh_args *args, struct bh_problems *problems)
{
	struct check c = {.problems = problems, .now_s = (int64_t)time(NULL)};
	struct bh_err err;
	struct stat st;

	for (size_t i = 0; i < args->operands.n; i++) {
		const char *path = args->operands.v[i];
		int r = 0;

		if (stat(path, &st))
			continue;
		r = S_ISDIR(st.st_mode) ? bh_fs_walk(path, check_file, &c, &err)
					: check_file(path, &c);
		if (r == -ENOMEM)
			return r;
	}
	return 0;
}
