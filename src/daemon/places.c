#include "daemon/places.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/vec.h"
#include "daemon/mountinfo.h"

struct place_mount {
	uint64_t dev;
	char *root, *point;
};

struct bh_places {
	struct bh_mounts list;
	BH_VEC(struct place_mount) mounts; /* as they were when the list was read */
	bool is_read;
};

static void forget(struct bh_places *p)
{
	for (size_t i = 0; i < p->mounts.n; i++) {
		free(p->mounts.v[i].root);
		free(p->mounts.v[i].point);
	}
	p->mounts.n = 0;
	p->is_read = false;
}

/* Without memory it is read again the next time. */
static void read_mounts(struct bh_places *p)
{
	struct bh_mount one;

	forget(p);
	p->is_read = true;
	bh_mounts_rewind(&p->list);
	while (bh_mounts_next(&p->list, &one)) {
		struct place_mount m = {one.dev, strdup(one.root), strdup(one.point)};

		if (m.root && m.point && bh_vec_push(&p->mounts, m) == 0)
			continue;
		free(m.root);
		free(m.point);
		p->is_read = false;
	}
}

/* The kernel marks the list's descriptor when mounts change. */
static bool has_changed(const struct bh_places *p)
{
	struct pollfd fd = {.fd = fileno(p->list.f), .events = POLLPRI};

	return poll(&fd, 1, 0) != 0;
}

/* Of several mounts that show it, the one that shows it with the shortest path: the others are
 * directories that somebody mounted once more. */
static const char *find(struct bh_places *p, uint64_t dev, const char *within,
			char out[BH_PATH_MAX])
{
	size_t best = BH_PATH_MAX;

	if (!p->is_read || has_changed(p))
		read_mounts(p);
	out[0] = '\0';
	for (size_t i = 0; i < p->mounts.n; i++) {
		const struct place_mount *m = &p->mounts.v[i];
		const char *rest, *point = strcmp(m->point, "/") ? m->point : "";
		size_t len;

		if (m->dev != dev || !bh_mount_has(m->root, within))
			continue;
		rest = strcmp(m->root, "/") ? within + strlen(m->root) : within;
		len = strlen(point) + strlen(rest);
		if (len == 0 || len >= best)
			continue;
		best = len;
		memcpy(out, point, strlen(point));
		memcpy(out + strlen(point), rest, strlen(rest) + 1);
	}
	return out;
}

void bh_places_put(struct bh_places *p, struct bh_trace_event *ev)
{
	const char *const said[2] = {ev->path, ev->target};

	for (int i = 0; i < 2; i++) {
		if (*ev->place[i] && ev->place_dev[i])
			ev->place[i] = find(p, ev->place_dev[i], ev->place[i], ev->placed[i]);
		if (!strcmp(ev->place[i], said[i]))
			ev->place[i] = "";
	}
}

int bh_places_open(struct bh_places **ret, struct bh_err *err)
{
	struct bh_places *p = calloc(1, sizeof(*p));

	if (!p)
		return bh_fail(err, ENOMEM, "the node's mounts");
	if (!bh_mounts_open(&p->list, (uint32_t)getpid())) {
		free(p);
		return bh_fail(err, errno, "the node's mounts");
	}
	*ret = p;
	return 0;
}

void bh_places_close(struct bh_places *p)
{
	if (!p)
		return;
	forget(p);
	bh_vec_done(&p->mounts);
	bh_mounts_done(&p->list);
	free(p);
}
