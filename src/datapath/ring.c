/* The ring of edge announcements. Records are checked before anybody sees them: the ring is shared
 * memory that every program of the set writes. */
#include <errno.h>
#include <stdlib.h>

#include "datapath/kring.h"
#include "datapath/private.h"

struct bh_ring_user {
	void (*fn)(const struct bh_event_edge *ev, void *arg);
	void *arg;
	int n;
};

static int on_record(void *ctx, void *data, size_t size)
{
	struct bh_ring_user *u = ctx;
	const struct bh_event_edge *ev = data;

	if (size < sizeof(*ev) || ev->len != sizeof(*ev) || ev->version != BH_EVENT_VERSION ||
	    ev->type != BH_EVENT_EDGE || ev->path_len > BH_PATH_MAX)
		return 0;
	u->n++;
	u->fn(ev, u->arg);
	return 0;
}

int bh_dp_ring_open(struct bh_datapath *dp, struct bh_err *err)
{
	const struct bh_kmap *m = &dp->map[BH_M_EVENTS];
	int r;

	dp->ring_user = calloc(1, sizeof(*dp->ring_user));
	if (!dp->ring_user)
		return bh_fail(err, ENOMEM, "no memory for the ring");
	r = bh_kring_open(m->fd, m->max, on_record, dp->ring_user, &dp->ring, err);
	return r ? bh_note(err, r, "map events") : 0;
}

void bh_dp_ring_close(struct bh_datapath *dp)
{
	bh_kring_close(dp->ring);
	free(dp->ring_user);
	dp->ring = NULL;
	dp->ring_user = NULL;
}

int bh_datapath_ring_fd(const struct bh_datapath *dp)
{
	return dp->map[BH_M_EVENTS].fd;
}

int bh_datapath_ring_consume(struct bh_datapath *dp,
			     void (*fn)(const struct bh_event_edge *ev, void *arg), void *arg)
{
	int r;

	*dp->ring_user = (struct bh_ring_user){.fn = fn, .arg = arg};
	r = bh_kring_consume(dp->ring);
	return r < 0 ? r : dp->ring_user->n;
}
