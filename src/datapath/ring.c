/* The ring of edge announcements. Records are checked before anybody sees them: the ring is shared
 * memory that every program of the set writes. */
#include <errno.h>
#include <stdlib.h>

#include <bpf/libbpf.h>

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
	dp->ring_user = calloc(1, sizeof(*dp->ring_user));
	if (!dp->ring_user)
		return bh_fail(err, ENOMEM, "no memory for the ring");
	dp->ring = ring_buffer__new(dp->map[BH_M_EVENTS].fd, on_record, dp->ring_user, NULL);
	if (!dp->ring)
		return bh_fail_sys(err, errno, "map events");
	return 0;
}

void bh_dp_ring_close(struct bh_datapath *dp)
{
	ring_buffer__free(dp->ring);
	free(dp->ring_user);
	dp->ring = NULL;
	dp->ring_user = NULL;
}

int bh_datapath_ring_fd(const struct bh_datapath *dp)
{
	return ring_buffer__epoll_fd(dp->ring);
}

int bh_datapath_ring_consume(struct bh_datapath *dp,
			     void (*fn)(const struct bh_event_edge *ev, void *arg), void *arg)
{
	int r;

	*dp->ring_user = (struct bh_ring_user){.fn = fn, .arg = arg};
	r = ring_buffer__consume(dp->ring);
	return r < 0 ? r : dp->ring_user->n;
}
