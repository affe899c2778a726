/* probe.h - which peers and ports are worth asking when tables are proved: every address at which a
 * prefix begins or ends, one pod of each kind that policy can tell apart, every port at which a
 * range begins or ends. Pure. */
#pragma once

#include "base/vec.h"
#include "policy/tables.h"

struct bh_probe_port {
	uint8_t proto;
	uint16_t port;
};
struct bh_probe_peer {
	struct bh_ip ip;
	const struct bh_pod *pod; /* that runs with this address; NULL: none */
	uint32_t class;		  /* by the tables */
	uint32_t first;		  /* index of the first of its kind: itself for a representative */
};

/* All pod addresses of a world, and the probes for the pod at hand. */
struct bh_probe {
	const struct bh_world *w;
	BH_VEC(struct bh_probe_peer) pods;  /* sorted by address */
	BH_VEC(struct bh_probe_peer) peers; /* for the pod at hand */
	BH_VEC(struct bh_probe_port) ports; /* for the pod at hand */
};

/* Lists the pods' addresses; w and t are borrowed. 0 or -ENOMEM. */
int bh_probe_init(struct bh_probe *p, const struct bh_world *w, const struct bh_tables *t);
/* Fills peers and ports for one direction of a pod. 0 or -ENOMEM. */
int bh_probe_fill(struct bh_probe *p, const struct bh_pod *pod, enum bh_dir dir);
void bh_probe_done(struct bh_probe *p);
