#include "daemon/roster.h"

#include <errno.h>
#include <string.h>

struct seat {
	struct bh_endpoint *ep;
	size_t number; /* in the table */
};

static int by_pod(const struct bh_endpoint *a, const struct bh_endpoint *b)
{
	int r = strcmp(a->ns, b->ns);

	return r ? r : strcmp(a->name, b->name);
}

static int by_seat(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;
	int r = by_pod(x->ep, y->ep);

	return r ? r : (x->number > y->number) - (x->number < y->number);
}

int bh_roster_make(const struct bh_endpoint_table *t, struct bh_roster *ret)
{
	size_t n = t->eps.n;
	BH_CLEANUP(bh_freep) struct seat *seats = malloc((n + 1) * sizeof(*seats));
	struct bh_endpoint **v = malloc((n + 1) * sizeof(struct bh_endpoint *));

	if (!seats || !v) {
		free(v);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		seats[i] = (struct seat){t->eps.v[i], i};
	qsort(seats, n, sizeof(*seats), by_seat);
	for (size_t i = 0; i < n; i++)
		v[i] = seats[i].ep;
	*ret = (struct bh_roster){v, n};
	return 0;
}

void bh_roster_done(struct bh_roster *r)
{
	free(r->v);
	*r = (struct bh_roster){0};
}

size_t bh_roster_next(const struct bh_roster *r, size_t i)
{
	size_t k = i + 1;

	while (k < r->n && !by_pod(r->v[i], r->v[k]))
		k++;
	return k;
}

struct bh_endpoint *bh_roster_speaker(const struct bh_roster *r, size_t i,
				      const struct bh_endpoint_table *t)
{
	if (bh_roster_next(r, i) == i + 1)
		return r->v[i];
	return bh_endpoint_table_pod(t, r->v[i]->ns, r->v[i]->name);
}
