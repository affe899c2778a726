#include "event/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/own.h"
#include "base/str.h"

#define HEX 64

struct held {
	struct held *next;
	uint64_t ticket; /* 0: complete */
	int64_t until_ms;
	const char *why; /* it has no digest, borrowed; NULL: it has one, or is not asked for */
	char sha256[HEX + 1];
	bool is_main;
	size_t len;
	char text[];
};

struct list {
	struct held *first, *last;
	size_t bytes;
};

struct bh_hold {
	struct bh_hold_options opt;
	struct list waiting;
	struct list late; /* went without */
	struct bh_hold_count count;
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

/* ---- lists ---- */

static size_t size_of(size_t len)
{
	return sizeof(struct held) + len;
}

static void put_last(struct list *l, struct held *take)
{
	take->next = NULL;
	if (l->last)
		l->last->next = take;
	else
		l->first = take;
	l->last = take;
	l->bytes += size_of(take->len);
}

static struct held *take_first(struct list *l)
{
	struct held *e = l->first;

	l->first = e->next;
	if (!l->first)
		l->last = NULL;
	l->bytes -= size_of(e->len);
	return e;
}

/* ---- events as text ---- */

/* NULL: it has no place here. */
static struct held *pack(const struct bh_hold_event *e)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(e->take_event, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	struct held *h = text && size_of(len) <= BH_HOLD_BYTES ? calloc(1, size_of(len)) : NULL;

	if (!h)
		return NULL;
	h->ticket = e->ticket;
	h->is_main = e->is_main;
	h->len = len;
	memcpy(h->text, text, len);
	return h;
}

/* NULL: no memory. */
static json_t *unpack(const struct held *e)
{
	json_t *event = NULL;
	struct bh_err err;

	return bh_json_parse(e->text, e->len, e->len, &event, &err) ? NULL : event;
}

/* ---- writing ---- */

static void write_event(struct bh_hold *h, json_t *take_event)
{
	h->count.written++;
	h->opt.write(take_event, h->opt.arg);
}

static void remember(struct bh_hold *h, struct held *take)
{
	put_last(&h->late, take);
	while (h->late.bytes > BH_HOLD_LATE_BYTES) {
		free(take_first(&h->late));
		h->count.forgotten++;
	}
}

/* The oldest one, complete or not. */
static void write_first(struct bh_hold *h)
{
	struct held *e = take_first(&h->waiting);
	json_t *event = unpack(e);

	if (event && e->ticket)
		h->opt.fill(event, NULL, "pending", h->opt.arg);
	else if (event && (e->why || e->sha256[0]))
		h->opt.fill(event, e->why ? NULL : e->sha256, e->why, h->opt.arg);
	h->count.pending += e->ticket != 0;
	if (e->ticket && e->is_main)
		remember(h, e);
	else
		free(e);
	write_event(h, event);
}

int64_t bh_hold_flush(struct bh_hold *h, int64_t now_ms)
{
	while (h->waiting.first) {
		const struct held *e = h->waiting.first;

		if (e->ticket && e->until_ms > now_ms)
			return e->until_ms;
		write_first(h);
	}
	return INT64_MAX;
}

/* Behind all that wait, none of which does from now on. */
static void write_at_once(struct bh_hold *h, const struct bh_hold_event *e)
{
	bh_hold_flush(h, INT64_MAX);
	if (e->ticket) {
		h->opt.fill(e->take_event, NULL, "pending", h->opt.arg);
		h->count.pending++;
		h->count.forgotten += e->is_main;
	}
	write_event(h, e->take_event);
}

void bh_hold_add(struct bh_hold *h, const struct bh_hold_event *e, int64_t now_ms)
{
	struct held *held = NULL;

	if (!e->take_event)
		return;
	h->count.added++;
	if (h->waiting.first || e->ticket)
		held = pack(e);
	if (!held) {
		write_at_once(h, e);
		return;
	}
	json_decref(e->take_event);
	held->until_ms = now_ms + BH_HOLD_MS;
	while (h->waiting.bytes + size_of(held->len) > BH_HOLD_BYTES)
		write_first(h);
	put_last(&h->waiting, held);
	bh_hold_flush(h, now_ms);
}

/* ---- digests ---- */

/* Those of the ticket leave the list first: what is told about them may come to wait, too. */
static void tell_late(struct bh_hold *h, uint64_t ticket, const char *sha256)
{
	struct list all = h->late, due = {0};

	h->late = (struct list){0};
	while (all.first) {
		struct held *e = take_first(&all);

		put_last(e->ticket == ticket ? &due : &h->late, e);
	}
	while (due.first) {
		struct held *e = take_first(&due);
		BH_CLEANUP(bh_json_decrefp) json_t *event = sha256 ? unpack(e) : NULL;

		if (event)
			h->opt.late(event, sha256, h->opt.arg);
		else if (sha256)
			h->count.forgotten++;
		free(e);
	}
}

void bh_hold_resolve(struct bh_hold *h, uint64_t ticket, const char *sha256, const char *why,
		     int64_t now_ms)
{
	for (struct held *e = h->waiting.first; e; e = e->next) {
		if (e->ticket != ticket)
			continue;
		snprintf(e->sha256, sizeof(e->sha256), "%s", sha256 ? sha256 : "");
		e->why = sha256 ? NULL : why;
		e->ticket = 0;
	}
	bh_hold_flush(h, now_ms);
	tell_late(h, ticket, sha256);
}

/* ---- the rest ---- */

struct bh_hold_count bh_hold_count(const struct bh_hold *h)
{
	struct bh_hold_count c = h->count;

	c.bytes = h->waiting.bytes + h->late.bytes;
	return c;
}

void bh_hold_free(struct bh_hold *h)
{
	if (!h)
		return;
	bh_hold_flush(h, INT64_MAX);
	while (h->late.first)
		free(take_first(&h->late));
	free(h);
}
