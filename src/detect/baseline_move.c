/* baseline_move.c - a baseline of one place for another: staging's for production. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "detect/baseline.h"

/* The key under its new name: peers of the old namespace are peers of the new one. */
static char *moved_key(const char *text, const char *from_ns, const char *to_ns)
{
	const char *peer = strstr(text, " pod ");
	size_t n = strlen(from_ns);

	if (!peer || strncmp(peer + 5, from_ns, n) || peer[5 + n] != '/')
		return strdup(text);
	return bh_strf("%.*s%s%s", (int)(peer + 5 - text), text, to_ns, peer + 5 + n);
}

static int move_edges(struct bh_baseline *b, const char *to_ns)
{
	struct bh_map moved, *facts = &b->facts[BH_BASE_EDGE];
	struct bh_map_entry *e;
	size_t pos = 0;
	int r = 0;

	bh_map_init(&moved, free);
	while (!r && (e = bh_map_next(facts, &pos))) {
		BH_CLEANUP(bh_freep) char *key = moved_key(e->key, b->ns, to_ns);
		struct bh_base_fact *f = malloc(sizeof(*f));

		if (f)
			memcpy(f, e->value, sizeof(*f));
		r = !key || !f ? -ENOMEM : bh_map_set_s(&moved, key, f);
		if (r)
			free(f);
	}
	if (r) {
		bh_map_done(&moved);
		return r;
	}
	bh_map_done(facts);
	*facts = moved;
	return 0;
}

/* Another text for *at, where there is one. */
static int change(char **at, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (!text)
		return 0;
	if (!copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

int bh_baseline_move(struct bh_baseline *b, const struct bh_base_place *to, struct bh_err *err)
{
	int r = to->ns ? move_edges(b, to->ns) : 0;

	if (!r)
		r = change(&b->ns, to->ns);
	if (!r)
		r = change(&b->owner_kind, to->owner_kind);
	if (!r)
		r = change(&b->owner, to->owner);
	if (!r)
		r = change(&b->image_digest, to->image_digest);
	if (r)
		return bh_fail(err, ENOMEM, "baseline");
	b->workload = bh_subject_workload(&(struct bh_subject){.ns = b->ns,
							       .owner_kind = b->owner_kind,
							       .owner = b->owner,
							       .container = b->container,
							       .image_digest = b->image_digest});
	return 0;
}
