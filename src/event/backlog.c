#include "event/backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/own.h"

struct waiting {
	struct waiting *next;
	size_t len;
	char text[];
};

struct bh_backlog {
	struct waiting *first, *last;
	size_t n, bytes, max_bytes;
	uint64_t dropped;
};

int bh_backlog_new(size_t max_bytes, struct bh_backlog **ret, struct bh_err *err)
{
	struct bh_backlog *b = calloc(1, sizeof(*b));

	if (!b)
		return bh_fail(err, ENOMEM, "events that wait for the log");
	b->max_bytes = max_bytes ? max_bytes : BH_BACKLOG_BYTES;
	*ret = b;
	return 0;
}

void bh_backlog_free(struct bh_backlog *b)
{
	if (!b)
		return;
	while (b->n)
		bh_backlog_done(b);
	free(b);
}

/* NULL beyond the limit or without memory. */
static struct waiting *waiting_new(const struct bh_backlog *b, const json_t *event)
{
	BH_CLEANUP(bh_freep) char *text = b->dropped ? NULL : json_dumps(event, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0;
	struct waiting *w;

	if (!text || len > b->max_bytes - b->bytes)
		return NULL;
	w = malloc(sizeof(*w) + len);
	if (!w)
		return NULL;
	w->next = NULL;
	w->len = len;
	memcpy(w->text, text, len);
	return w;
}

void bh_backlog_add(struct bh_backlog *b, const json_t *event)
{
	struct waiting *w = waiting_new(b, event);

	if (!w) {
		b->dropped++;
		return;
	}
	if (b->last)
		b->last->next = w;
	else
		b->first = w;
	b->last = w;
	b->n++;
	b->bytes += w->len;
}

json_t *bh_backlog_first(const struct bh_backlog *b)
{
	json_t *event = NULL;
	struct bh_err err;

	if (!b->first || bh_json_parse(b->first->text, b->first->len, b->first->len, &event, &err))
		return NULL;
	return event;
}

void bh_backlog_done(struct bh_backlog *b)
{
	struct waiting *w = b->first;

	if (!w)
		return;
	b->first = w->next;
	if (!b->first)
		b->last = NULL;
	b->n--;
	b->bytes -= w->len;
	free(w);
}

size_t bh_backlog_count(const struct bh_backlog *b)
{
	return b->n;
}

uint64_t bh_backlog_dropped(const struct bh_backlog *b)
{
	return b->dropped;
}

uint64_t bh_backlog_take_dropped(struct bh_backlog *b)
{
	uint64_t n = b->dropped;

	b->dropped = 0;
	return n;
}
