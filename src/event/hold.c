#include "event/hold.h"

#include <errno.h>
#include <stdlib.h>

struct held {
	json_t *event;
	uint64_t ticket; /* 0: complete */
	int64_t until_ms;
	bool is_main;
};

struct late {
	json_t *event; /* NULL: none */
	uint64_t ticket;
};

struct bh_hold {
	struct bh_hold_options opt;
	struct held q[BH_HOLD_MAX]; /* a ring */
	size_t first, n;
	struct late late[BH_HOLD_LATE]; /* the oldest is overwritten */
	size_t next_late;
	uint64_t added, written;
};

int bh_hold_new(const struct bh_hold_options *opt, struct bh_hold **ret, struct bh_err *err)
{
	struct bh_hold *h = calloc(1, sizeof(*h));

	if (!h)
		return bh_fail(err, ENOMEM, "events that wait");
	h->opt = *opt;
	*ret = h;
	return 0;
}

static void write_event(struct bh_hold *h, json_t *take_event)
{
	h->written++;
	h->opt.write(take_event, h->opt.arg);
}

static void remember(struct bh_hold *h, const struct held *e)
{
	struct late *l = &h->late[h->next_late];

	json_decref(l->event);
	*l = (struct late){json_incref(e->event), e->ticket};
	h->next_late = (h->next_late + 1) % BH_HOLD_LATE;
}

/* The oldest one, complete or not. */
static void write_first(struct bh_hold *h)
{
	struct held *e = &h->q[h->first];

	h->first = (h->first + 1) % BH_HOLD_MAX;
	h->n--;
	if (e->ticket) {
		h->opt.fill(e->event, NULL, "pending", h->opt.arg);
		if (e->is_main)
			remember(h, e);
	}
	write_event(h, e->event);
}

int64_t bh_hold_flush(struct bh_hold *h, int64_t now_ms)
{
	while (h->n) {
		const struct held *e = &h->q[h->first];

		if (e->ticket && e->until_ms > now_ms)
			return e->until_ms;
		write_first(h);
	}
	return INT64_MAX;
}

void bh_hold_add(struct bh_hold *h, const struct bh_hold_event *e, int64_t now_ms)
{
	if (!e->take_event)
		return;
	h->added++;
	if (!h->n && !e->ticket) {
		write_event(h, e->take_event);
		return;
	}
	if (h->n == BH_HOLD_MAX)
		write_first(h);
	h->q[(h->first + h->n++) % BH_HOLD_MAX] =
		(struct held){e->take_event, e->ticket, now_ms + BH_HOLD_MS, e->is_main};
	bh_hold_flush(h, now_ms);
}

static void tell_late(struct bh_hold *h, uint64_t ticket, const char *sha256)
{
	for (size_t i = 0; i < BH_HOLD_LATE; i++) {
		struct late l = h->late[i];

		if (!l.event || l.ticket != ticket)
			continue;
		h->late[i].event = NULL;
		if (sha256)
			h->opt.late(l.event, sha256, h->opt.arg);
		json_decref(l.event);
	}
}

void bh_hold_resolve(struct bh_hold *h, uint64_t ticket, const char *sha256, const char *why,
		     int64_t now_ms)
{
	for (size_t i = 0; i < h->n; i++) {
		struct held *e = &h->q[(h->first + i) % BH_HOLD_MAX];

		if (e->ticket != ticket)
			continue;
		h->opt.fill(e->event, sha256, why, h->opt.arg);
		e->ticket = 0;
	}
	bh_hold_flush(h, now_ms);
	tell_late(h, ticket, sha256);
}

uint64_t bh_hold_added(const struct bh_hold *h)
{
	return h->added;
}

uint64_t bh_hold_written(const struct bh_hold *h)
{
	return h->written;
}

void bh_hold_free(struct bh_hold *h)
{
	if (!h)
		return;
	bh_hold_flush(h, INT64_MAX);
	for (size_t i = 0; i < BH_HOLD_LATE; i++)
		json_decref(h->late[i].event);
	free(h);
}
