/* From one set of maps to another, when an upgrade changes their shape. The old set goes on
 * enforcing; an interface changes over with one link update, when the new set holds its tables and
 * would not shut it. A quarantine does not wait for that. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "datapath/private.h"

bool bh_dp_migrate_has(struct bh_datapath *dp, uint32_t ifindex)
{
	char path[BH_DP_PATH];

	if (!dp->old[0])
		return false;
	for (int d = 0; d < 2; d++)
		if ((bh_dp_link_pin_path(path, dp->old, ifindex, (enum bh_dir)d) == 0 &&
		     access(path, F_OK) == 0) ||
		    bh_dp_filter_is_of(dp->old, ifindex, (enum bh_dir)d))
			return true;
	return false;
}

/* ---- carrying over ---- */

struct copy {
	int from;
	struct bh_kmap *to;
	struct bh_fault none;
	struct bh_err *err;
};

static int copy_one(const void *key, const void *value, void *arg)
{
	struct copy *c = arg;
	uint8_t k[64], v[128];

	memcpy(k, key, c->to->key_size);
	memcpy(v, value, c->to->value_size);
	return bh_kmap_write(&c->none, c->to, &(struct bh_kbatch){.keys = k, .values = v, .n = 1},
			     c->err);
}

/* Opens the old set's map when it has the shape of ours, whatever its size. */
static int open_same(const char *set, const struct bh_kmap *like)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	char path[BH_DP_PATH];
	int fd;

	if (bh_dp_path(path, set, "maps", like->name))
		return -1;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -1;
	if (bpf_map_get_info_by_fd(fd, &info, &len) == 0 && info.type == like->type &&
	    info.key_size == like->key_size && info.value_size == like->value_size)
		return fd;
	close(fd);
	return -1;
}

static int copy_hash(struct bh_datapath *dp, enum bh_dp_map map, struct bh_err *err)
{
	struct bh_kmap from = dp->map[map];
	struct copy c = {.to = &dp->map[map], .err = err};
	int r;

	from.fd = open_same(dp->old, &dp->map[map]);
	if (from.fd < 0)
		return 0;
	r = bh_kmap_each(&from, copy_one, &c, err);
	close(from.fd);
	return r;
}

/* Slots come over shut to nothing but without rulesets: these belong to tables we do not have yet.
 */
static int copy_slots(struct bh_datapath *dp, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = open_same(dp->old, &dp->map[BH_M_ENDPOINT]);
	struct bh_fault none = {0};
	int r = 0;

	for (uint32_t slot = 1; fd >= 0 && r == 0 && slot < BH_MAX_SLOTS; slot++) {
		struct bh_slot e;
		bool is_low;

		if (bpf_map_lookup_elem(fd, &slot, &e) || !(e.flags & BH_SLOT_LIVE) ||
		    (dp->slot[slot].flags & BH_SLOT_LIVE))
			continue;
		memset(e.side, 0, sizeof(e.side));
		memcpy(&dp->slot[slot], &e, sizeof(e));
		is_low = e.ifindex < dp->map[BH_M_SLOT_IFINDEX].max;
		r = bh_kmap_write(
			&none, &dp->map[is_low ? BH_M_SLOT_IFINDEX : BH_M_SLOT_IFINDEX_HASH],
			&(struct bh_kbatch){.keys = &e.ifindex, .values = &slot, .n = 1}, err);
	}
	return r;
}

static bool is_same_layout(const char *old)
{
	const char *name = strrchr(old, '/');
	int abi = 0;

	return name && sscanf(name, "/abi%d", &abi) == 1 && abi == BH_ABI_VERSION;
}

int bh_dp_migrate_begin(struct bh_datapath *dp, struct bh_err *err)
{
	static const enum bh_dp_map hashes[] = {BH_M_SLOT_COOKIE, BH_M_QUARANTINED_CGROUP,
						BH_M_LOCAL, BH_M_QALLOW, BH_M_EXE};
	int r;

	if (!is_same_layout(dp->old))
		return 0; /* the daemon attaches every pod again from its own records */
	r = copy_slots(dp, err);
	for (size_t i = 0; r == 0 && i < BH_ARRAY_SIZE(hashes); i++)
		r = copy_hash(dp, hashes[i], err);
	return r;
}

/* ---- flows and edges ---- */

/* Slots about to change over, and how many entries each got. */
struct carry {
	struct bh_datapath *dp;
	bool is_leaving[BH_MAX_SLOTS];
	struct bh_usage usage[BH_MAX_SLOTS];
};

/* A reply may be on its way to a flow that only the old set knows. It is decided again at its next
 * packet: the epoch says that no tables of this set did it. */
static int carry_flow(const void *key, const void *value, void *arg)
{
	const struct bh_flow_key *k = key;
	struct bh_flow f = *(const struct bh_flow *)value;
	struct carry *c = arg;

	/* below 2: an entry that is being removed */
	if (k->slot >= BH_MAX_SLOTS || !c->is_leaving[k->slot] || f.epoch < 2)
		return 0;
	f.epoch = UINT32_MAX;
	f.turn = 0; /* listed by the next walk */
	if (bpf_map_update_elem(c->dp->map[BH_M_FLOW].fd, k, &f, BPF_NOEXIST) == 0)
		c->usage[k->slot].flows++;
	return 0;
}

static int carry_edge(const void *key, const void *value, void *arg)
{
	const struct bh_edge_key *k = key;
	struct carry *c = arg;

	if (k->slot >= BH_MAX_SLOTS || !c->is_leaving[k->slot])
		return 0;
	if (bpf_map_update_elem(c->dp->map[BH_M_EDGE].fd, k, value, BPF_NOEXIST) == 0)
		c->usage[k->slot].edges++;
	return 0;
}

/* Best effort: what does not fit or is made meanwhile is a connection that starts again. No program
 * of our set has seen these slots yet, so their usage can be written plainly. */
static void carry_over(struct carry *c)
{
	static const struct {
		enum bh_dp_map map;
		int (*fn)(const void *key, const void *value, void *arg);
	} parts[] = {{BH_M_EDGE, carry_edge}, {BH_M_FLOW, carry_flow}};
	struct bh_datapath *dp = c->dp;
	struct bh_err ignored;

	if (!is_same_layout(dp->old))
		return;
	for (size_t i = 0; i < BH_ARRAY_SIZE(parts); i++) {
		struct bh_kmap from = dp->map[parts[i].map];

		from.fd = open_same(dp->old, &dp->map[parts[i].map]);
		if (from.fd < 0)
			continue;
		bh_kmap_each(&from, parts[i].fn, c, &ignored);
		close(from.fd);
	}
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++)
		if (c->is_leaving[slot])
			bpf_map_update_elem(dp->map[BH_M_USAGE].fd, &slot, &c->usage[slot],
					    BPF_ANY);
}

/* ---- changing over ---- */

/* One store of the link's program; then our pin, then the old one goes. */
static int move_link(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	char from[BH_DP_PATH], to[BH_DP_PATH];
	struct bh_err ignored;
	int r;

	if (bh_dp_link_pin_path(from, dp->old, ifindex, dir) ||
	    bh_dp_link_pin_path(to, dp->dir, ifindex, dir))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(from);
	if (fd < 0) { /* a filter, replaced in place; or beside a link it is one too many */
		r = bh_dp_hook_attach(dp, ifindex, dir, &ignored);
		if (r == 0 && bh_dp_filter_is_of(dp->old, ifindex, dir))
			bh_dp_filter_detach(ifindex, dir);
		return r;
	}
	r = bpf_link_update(fd, dp->prog[dir == BH_EGRESS ? BH_P_FROM_POD : BH_P_TO_POD].fd, NULL);
	if (r)
		return r;
	r = bh_dp_pin(fd, to, &ignored);
	if (r == 0)
		unlink(from);
	return r;
}

static bool is_ready(const struct bh_slot *e)
{
	return (e->flags & BH_SLOT_LIVE) &&
	       (!(e->flags & BH_SLOT_SHUT) || (e->flags & BH_SLOT_QUARANTINE));
}

static int count_interface(const char *dir, const char *name, void *arg)
{
	(void)dir;
	if (name[0] >= '0' && name[0] <= '9')
		++*(size_t *)arg;
	return 0;
}

/* Interfaces behind the old set's links, and slots of ours behind its filters. */
static size_t count_served(struct bh_datapath *dp)
{
	char path[BH_DP_PATH];
	size_t n = 0;

	if (bh_dp_path(path, dp->old, "links", NULL))
		return 1;
	bh_dp_each_name(path, count_interface, &n);
	for (uint32_t slot = 1; n == 0 && slot < BH_MAX_SLOTS; slot++)
		n = (dp->slot[slot].flags & BH_SLOT_LIVE) &&
		    bh_dp_migrate_has(dp, dp->slot[slot].ifindex);
	return n;
}

/* The old set is of no more use when it serves no interface; then the socket hooks change over too.
 */
static void finish(struct bh_datapath *dp)
{
	struct bh_err ignored;

	if (count_served(dp))
		return;
	if (dp->cgroup_fd >= 0)
		bh_dp_cgroup_attach(dp, &ignored);
	bh_dp_set_remove(dp->old, &ignored);
	dp->old[0] = '\0';
}

/* Before the first publish only a quarantine may change over. */
static bool is_leaving(struct bh_datapath *dp, const struct bh_slot *e)
{
	return is_ready(e) && (dp->has_published || (e->flags & BH_SLOT_QUARANTINE)) &&
	       bh_dp_migrate_has(dp, e->ifindex);
}

void bh_dp_migrate_ready(struct bh_datapath *dp)
{
	BH_CLEANUP(bh_freep) struct carry *c = NULL;
	size_t n = 0;

	if (!dp->old[0])
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		return; /* the old set goes on serving; the next call tries again */
	c->dp = dp;
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++) {
		c->is_leaving[slot] = is_leaving(dp, &dp->slot[slot]);
		n += c->is_leaving[slot];
	}
	if (n)
		carry_over(c);
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++)
		for (int d = 0; d < 2 && c->is_leaving[slot]; d++)
			move_link(dp, dp->slot[slot].ifindex, (enum bh_dir)d);
	if (dp->has_published)
		finish(dp);
}

void bh_dp_migrate_drop(struct bh_datapath *dp, uint32_t ifindex)
{
	char path[BH_DP_PATH];

	if (!dp->old[0])
		return;
	for (int d = 0; d < 2; d++) {
		int fd;

		if (bh_dp_filter_is_of(dp->old, ifindex, (enum bh_dir)d))
			bh_dp_filter_detach(ifindex, (enum bh_dir)d);
		if (bh_dp_link_pin_path(path, dp->old, ifindex, (enum bh_dir)d))
			continue;
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			bpf_link_detach(fd);
			close(fd);
		}
		unlink(path);
	}
}
