/* places.h - where on the node a file is that a pod reaches through a mount of its own: a hostPath,
 * another container's directory. The pod's path says nothing about that; its file system and the
 * path within it do, by the node's own mounts. */
#pragma once

#include "event/trace.h"

struct bh_places;

int bh_places_open(struct bh_places **ret, struct bh_err *err);
void bh_places_close(struct bh_places *p);
/* What the kernel told of a file system becomes a path on the node, "" where the node has not
 * mounted it. Places that say no more than path and target do become "", too. */
void bh_places_put(struct bh_places *p, struct bh_trace_event *ev);
