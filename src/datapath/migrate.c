/* From one set of maps to another, when an upgrade changes their shape. The old set goes on
 * enforcing; an interface changes over with one link update, when the new set holds its tables and
 * would not shut it. A quarantine does not wait for that. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
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
		if (bh_dp_link_pin_path(path, dp->old, ifindex, (enum bh_dir)d) == 0 &&
		    access(path, F_OK) == 0)
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
	if (fd < 0)
		return bh_dp_hook_attach(dp, ifindex, dir, &ignored);
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

/* The old set is of no more use when it serves no interface; then the socket hooks change over too.
 */
static void finish(struct bh_datapath *dp)
{
	char path[BH_DP_PATH];
	struct bh_err ignored;
	size_t n = 0;

	if (bh_dp_path(path, dp->old, "links", NULL))
		return;
	bh_dp_each_name(path, count_interface, &n);
	if (n)
		return;
	if (dp->cgroup_fd >= 0)
		bh_dp_cgroup_attach(dp, &ignored);
	bh_dp_set_remove(dp->old, &ignored);
	dp->old[0] = '\0';
}

void bh_dp_migrate_ready(struct bh_datapath *dp)
{
	if (!dp->old[0])
		return;
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++) {
		const struct bh_slot *e = &dp->slot[slot];

		/* before the first publish only a quarantine may change over */
		if (!is_ready(e) || (!dp->has_published && !(e->flags & BH_SLOT_QUARANTINE)) ||
		    !bh_dp_migrate_has(dp, e->ifindex))
			continue;
		for (int d = 0; d < 2; d++)
			move_link(dp, e->ifindex, (enum bh_dir)d);
	}
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
