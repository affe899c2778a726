#include "daemon/policy_news.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/map.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "event/ocsf.h"

/* A RuntimePolicy in force, or one version of a policy that is refused. */
struct known {
	struct bh_runtime_policy *policy; /* referenced; NULL of a refused one */
	char *why;			  /* of a refused one */
	unsigned look;			  /* the last one that found it */
};

struct bh_policy_news {
	struct bh_daemon *d;
	struct bh_map known; /* "RuntimePolicy NS/NAME", of a refused one " FILE" > struct known */
	unsigned looks;
	uint64_t seen; /* the objects' policy revision at the last look */
	bool has_no_memory;
};

static void known_free(void *v)
{
	struct known *k = v;

	bh_runtime_policy_unref(k->policy);
	free(k->why);
	free(k);
}

static void tell(const struct bh_policy_news *n, struct bh_ocsf_config c)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	c.time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	c.revision = bh_reconcile_state(n->d->reconciler).revision;
	bh_journal_event(n->d->journal, bh_ocsf_config(bh_journal_ocsf(n->d->journal), &c));
}

static struct known *get(struct bh_policy_news *n, const char *key)
{
	struct known *k = bh_map_get_s(&n->known, key);
	bool is_new = !k;

	if (is_new)
		k = calloc(1, sizeof(*k));
	if (k && is_new && bh_map_set_s(&n->known, key, k)) {
		free(k);
		k = NULL;
	}
	n->has_no_memory |= !k;
	if (k)
		k->look = n->looks;
	return k;
}

static void look_at_force(struct bh_policy_news *n, const char *object,
			  const struct bh_policy_state *s)
{
	BH_CLEANUP(bh_freep)
	char *place = bh_strf("%s:%u", s->runtime->place.file, s->runtime->place.line);
	struct known *k = get(n, object);
	bool is_new = k && !k->policy;

	if (!k || !s->is_live || k->policy == s->runtime)
		return;
	bh_runtime_policy_unref(k->policy);
	k->policy = bh_runtime_policy_ref((struct bh_runtime_policy *)s->runtime);
	if (n->looks > 1)
		tell(n,
		     (struct bh_ocsf_config){.change = is_new ? BH_CHANGE_ADDED : BH_CHANGE_CHANGED,
					     .object = object,
					     .place = place});
}

/* "file:line": of what is wrong where the sentence begins with that, as all about files do; else of
 * the policy itself. The caller's. */
static char *place_of(const struct bh_policy_state *s)
{
	size_t n = strlen(s->file), digits = 0;

	if (!strncmp(s->why, s->file, n) && s->why[n] == ':')
		digits = strspn(s->why + n + 1, "0123456789");
	if (digits)
		return bh_strf("%.*s", (int)(n + 1 + digits), s->why);
	return s->line ? bh_strf("%s:%u", s->file, s->line) : bh_strf("%s", s->file);
}

static void look_at_refusal(struct bh_policy_news *n, const char *object,
			    const struct bh_policy_state *s)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s %s", object, s->file);
	BH_CLEANUP(bh_freep) char *place = place_of(s);
	struct known *k = key ? get(n, key) : NULL;

	if (!k || (k->why && !strcmp(k->why, s->why)))
		return;
	free(k->why);
	k->why = bh_strf("%s", s->why);
	tell(n, (struct bh_ocsf_config){.change = BH_CHANGE_REFUSED,
					.object = object,
					.place = place,
					.text = s->why});
}

static int look_at(const struct bh_policy_state *s, void *arg)
{
	struct bh_policy_news *n = arg;
	BH_CLEANUP(bh_freep) char *object = NULL;

	if (!s->runtime && s->is_live)
		return 0;
	object = bh_strf("%s %s/%s", s->kind, s->ns, s->name);
	if (!object)
		return -ENOMEM;
	if (s->runtime)
		look_at_force(n, object, s);
	if (!s->is_live && !s->is_restored)
		look_at_refusal(n, object, s);
	return 0;
}

static void forget_gone(struct bh_policy_news *n)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&n->known, &pos))) {
		const struct known *k = e->value;

		if (k->look == n->looks)
			continue;
		if (k->policy)
			tell(n, (struct bh_ocsf_config){.change = BH_CHANGE_REMOVED,
							.object = e->key});
		bh_map_del_s(&n->known, e->key);
	}
}

void bh_policy_news_look(struct bh_policy_news *n)
{
	uint64_t revision;

	if (!n)
		return;
	revision = bh_objects_policy_revision(n->d->objects);
	if (n->looks && revision == n->seen)
		return;
	n->looks++;
	n->has_no_memory = false;
	if (bh_objects_policies(n->d->objects, look_at, n) < 0 || n->has_no_memory) {
		bh_error("no memory to tell what became of policies");
		return;
	}
	forget_gone(n);
	n->seen = revision;
}

void bh_policy_news_by(struct bh_policy_news *n, const char *object, const char *text,
		       const struct bh_caller *by)
{
	tell(n, (struct bh_ocsf_config){.change = BH_CHANGE_CHANGED,
					.object = object,
					.text = text,
					.actor = {true, by->pid, by->uid, by->exe}});
}

int bh_policy_news_open(struct bh_daemon *d, struct bh_policy_news **ret, struct bh_err *err)
{
	struct bh_policy_news *n = calloc(1, sizeof(*n));

	if (!n)
		return bh_fail(err, ENOMEM, "news of policies");
	n->d = d;
	bh_map_init(&n->known, known_free);
	bh_policy_news_look(n);
	*ret = n;
	return 0;
}

void bh_policy_news_close(struct bh_policy_news *n)
{
	if (!n)
		return;
	bh_map_done(&n->known);
	free(n);
}
