/* Our two programs on an interface: TCX links where the kernel has them, else clsact filters with a
 * fixed handle and priority. Both are replaced in place, so no packet meets a bare interface. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/private.h"

/* First among the filters; the handle tells ours from others'. */
#define TC_PRIORITY 1
#define TC_HANDLE   0xb01c

/* A millisecond apart; a virtual CPU may stand still for hundreds of them. */
#define CREATE_TRIES 2000

static int prog_of(const struct bh_datapath *dp, enum bh_dir dir)
{
	return dp->prog[dir == BH_EGRESS ? BH_P_FROM_POD : BH_P_TO_POD].fd;
}

static uint32_t prog_id_of(const struct bh_datapath *dp, enum bh_dir dir)
{
	return dp->prog[dir == BH_EGRESS ? BH_P_FROM_POD : BH_P_TO_POD].id;
}

/* What a pod sends arrives at the host side. */
static enum bpf_attach_type tcx_of(enum bh_dir dir)
{
	return dir == BH_EGRESS ? BPF_TCX_INGRESS : BPF_TCX_EGRESS;
}

int bh_dp_link_pin_path(char out[BH_DP_PATH], const char *set, uint32_t ifindex, enum bh_dir dir)
{
	char name[32];

	snprintf(name, sizeof(name), "%u-%s", ifindex, dir == BH_EGRESS ? "ingress" : "egress");
	return bh_dp_path(out, set, "links", name);
}

bool bh_dp_tcx_works(int prog_fd)
{
	struct bpf_link_create_opts opts = {.sz = sizeof(opts)};
	const char *force = getenv("BULKHEAD_FORCE_CLSACT");
	int fd;

	if (force && strcmp(force, "1") == 0)
		return false;
	/* no such interface: a kernel that knows TCX says ENODEV, one that does not EINVAL */
	fd = bpf_link_create(prog_fd, INT32_MAX, BPF_TCX_INGRESS, &opts);
	if (fd >= 0)
		close(fd);
	return fd == -ENODEV;
}

static int link_info(int fd, struct bpf_link_info *info)
{
	uint32_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_link_get_info_by_fd(fd, info, &len);
}

/* The pinned link of the interface when it is still attached there, else -1. */
static int open_link(const char *path, uint32_t ifindex, struct bpf_link_info *info)
{
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return -1;
	/* the kernel sets ifindex to 0 when the device goes or somebody detaches the link */
	if (link_info(fd, info) || info->type != BPF_LINK_TYPE_TCX ||
	    info->tcx.ifindex != ifindex) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The link by which our program is attached there already although the pin is gone; -1: none. */
static int find_link(uint32_t ifindex, enum bpf_attach_type type, uint32_t prog_id)
{
	struct bpf_link_info info;
	uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (link_info(fd, &info) == 0 && info.type == BPF_LINK_TYPE_TCX &&
		    info.tcx.ifindex == ifindex && info.tcx.attach_type == type &&
		    info.prog_id == prog_id)
			return fd;
		close(fd);
	}
	return -1;
}

/* The kernel waits for a grace period in it, holding the lock of all network devices: two links of
 * one interface wait one after the other, whoever makes them, and the rest of the node waits too.
 */
static int create_link(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir)
{
	/* at the head: a program of somebody else must not let past what we would drop */
	struct bpf_link_create_opts opts = {.sz = sizeof(opts), .flags = BPF_F_BEFORE};
	bool has_hurried = bh_dp_hurry_begin(dp);
	int fd = bpf_link_create(prog_of(dp, dir), (int)ifindex, tcx_of(dir), &opts);

	bh_dp_hurry_end(dp, has_hurried);
	return fd;
}

static void detach_link(struct bh_datapath *dp, int fd)
{
	bool has_hurried = bh_dp_hurry_begin(dp);

	bpf_link_detach(fd);
	bh_dp_hurry_end(dp, has_hurried);
}

/* A link whose pin was removed dies a little later, and until then a second one is refused. */
static int make_link(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	int fd = -EEXIST;

	for (int i = 0; fd == -EEXIST && i < CREATE_TRIES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		fd = create_link(dp, ifindex, dir);
		if (fd == -EEXIST) {
			int found = find_link(ifindex, tcx_of(dir), prog_id_of(dp, dir));

			fd = found < 0 ? fd : found;
		}
	}
	return fd;
}

static int tcx_attach(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bpf_link_info info;
	char path[BH_DP_PATH];
	int r = bh_dp_link_pin_path(path, dp->dir, ifindex, dir);

	if (r)
		return bh_fail(err, -r, "the pin's path is too long");
	fd = open_link(path, ifindex, &info);
	if (fd >= 0) {
		r = info.prog_id == prog_id_of(dp, dir)
			    ? 0
			    : bpf_link_update(fd, prog_of(dp, dir), NULL);
		return r ? bh_fail_sys(err, -r, "replace the program on interface %u", ifindex) : 0;
	}
	fd = make_link(dp, ifindex, dir);
	if (fd < 0)
		return bh_fail_sys(err, -fd, "attach to interface %u", ifindex);
	return bh_dp_pin(fd, path, err);
}

/* ---- clsact ---- */

static void filter_at(struct bpf_tc_hook *hook, struct bpf_tc_opts *opts, uint32_t ifindex,
		      enum bh_dir dir)
{
	*hook = (struct bpf_tc_hook){
		.sz = sizeof(*hook),
		.ifindex = (int)ifindex,
		.attach_point = dir == BH_EGRESS ? BPF_TC_INGRESS : BPF_TC_EGRESS,
	};
	*opts = (struct bpf_tc_opts){
		.sz = sizeof(*opts), .handle = TC_HANDLE, .priority = TC_PRIORITY};
}

/* Id of the program in our place; 0: none. */
static uint32_t filter_prog(uint32_t ifindex, enum bh_dir dir)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;

	filter_at(&hook, &opts, ifindex, dir);
	return bpf_tc_query(&hook, &opts) == 0 ? opts.prog_id : 0;
}

static int filter_attach(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir,
			 struct bh_err *err)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	int r;

	filter_at(&hook, &opts, ifindex, dir);
	r = bpf_tc_hook_create(&hook);
	if (r && r != -EEXIST)
		return bh_fail_sys(err, -r, "clsact on interface %u", ifindex);
	opts.prog_fd = prog_of(dp, dir);
	opts.flags = BPF_TC_F_REPLACE;
	r = bpf_tc_attach(&hook, &opts);
	return r ? bh_fail_sys(err, -r, "filter on interface %u", ifindex) : 0;
}

/* The qdisc stays: others may have filters in it. */
void bh_dp_filter_detach(uint32_t ifindex, enum bh_dir dir)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;

	filter_at(&hook, &opts, ifindex, dir);
	bpf_tc_detach(&hook, &opts);
}

/* ---- both ---- */

int bh_dp_hook_attach(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir, struct bh_err *err)
{
	if (bh_fault_room(&dp->fault, "link", 1) == 0)
		return bh_fail_sys(err, dp->fault.errnum, "attach to interface %u", ifindex);
	return dp->has_tcx ? tcx_attach(dp, ifindex, dir, err)
			   : filter_attach(dp, ifindex, dir, err);
}

void bh_dp_hook_detach(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir)
{
	struct bpf_link_info info;
	char path[BH_DP_PATH];

	if (bh_dp_link_pin_path(path, dp->dir, ifindex, dir) == 0) {
		int fd = open_link(path, ifindex, &info);

		if (fd >= 0) {
			detach_link(dp, fd);
			close(fd);
		}
		unlink(path);
	}
	if (filter_prog(ifindex, dir) == prog_id_of(dp, dir))
		bh_dp_filter_detach(ifindex, dir);
}

bool bh_dp_hook_is_on(struct bh_datapath *dp, uint32_t ifindex, enum bh_dir dir)
{
	struct bpf_link_info info = {0};
	char path[BH_DP_PATH];
	int fd;

	if (bh_dp_link_pin_path(path, dp->dir, ifindex, dir))
		return false;
	fd = open_link(path, ifindex, &info);
	if (fd >= 0) {
		close(fd);
		return info.prog_id == prog_id_of(dp, dir);
	}
	return filter_prog(ifindex, dir) == prog_id_of(dp, dir);
}

/* ---- adoption ---- */

struct adopt {
	struct bh_datapath *dp;
	struct bh_err *err;
};

static int adopt_link(const char *dir, const char *name, void *arg)
{
	struct adopt *a = arg;
	BH_CLEANUP(bh_closep) int fd = -1;
	char path[BH_DP_PATH], which[16];
	struct bpf_link_info info;
	enum bh_dir from;
	uint32_t ifindex;
	int r;

	if (sscanf(name, "%u-%15s", &ifindex, which) != 2)
		return 0;
	from = strcmp(which, "ingress") == 0 ? BH_EGRESS : BH_INGRESS;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	fd = open_link(path, ifindex, &info);
	if (fd < 0) { /* its interface is gone */
		unlink(path);
		return 0;
	}
	r = bpf_link_update(fd, prog_of(a->dp, from), NULL);
	/* ENOLINK: the interface went between the two calls */
	if (r && r != -ENOLINK)
		return bh_fail_sys(a->err, -r, "replace the program on interface %u", ifindex);
	return 0;
}

/* true when prog is one of those pinned below the set: ours, of this or of an earlier daemon. */
struct own_prog {
	uint32_t id;
	bool is_own;
};

static int compare_prog(const char *dir, const char *name, void *arg)
{
	struct own_prog *own = arg;
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	char path[BH_DP_PATH];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	if (bpf_prog_get_info_by_fd(fd, &info, &len) == 0 && info.id == own->id)
		own->is_own = true;
	close(fd);
	return 0;
}

static bool is_set_prog(const char *set, uint32_t id)
{
	struct own_prog own = {.id = id};
	char path[BH_DP_PATH];

	if (id && bh_dp_path(path, set, "progs", NULL) == 0)
		bh_dp_each_name(path, compare_prog, &own);
	return own.is_own;
}

bool bh_dp_filter_is_of(const char *set, uint32_t ifindex, enum bh_dir dir)
{
	uint32_t id = filter_prog(ifindex, dir);

	return id && is_set_prog(set, id);
}

/* A registered interface with our filter: the program in it is replaced in place. What stands in
 * our place was put there by an earlier daemon of this set, for the slot is in the set's map. */
static int adopt_filters(struct bh_datapath *dp, struct bh_err *err)
{
	int r = 0;

	for (uint32_t slot = 1; r == 0 && slot < BH_MAX_SLOTS; slot++) {
		const struct bh_slot *e = &dp->slot[slot];

		if (!(e->flags & BH_SLOT_LIVE))
			continue;
		for (int d = 0; r == 0 && d < 2; d++)
			if (filter_prog(e->ifindex, (enum bh_dir)d))
				r = filter_attach(dp, e->ifindex, (enum bh_dir)d, err);
	}
	return r;
}

int bh_dp_hooks_adopt(struct bh_datapath *dp, struct bh_err *err)
{
	struct adopt a = {.dp = dp, .err = err};
	char path[BH_DP_PATH];
	int r = bh_dp_path(path, dp->dir, "links", NULL);

	if (r == 0)
		r = bh_dp_each_name(path, adopt_link, &a);
	return r ? r : adopt_filters(dp, err);
}

void bh_dp_filters_remove(const char *set)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	char path[BH_DP_PATH];

	if (bh_dp_path(path, set, "maps", "endpoint"))
		return;
	fd = bpf_obj_get(path);
	/* slots of another layout say nothing; such filters go with their interfaces */
	if (fd >= 0 &&
	    (bpf_map_get_info_by_fd(fd, &info, &len) || info.value_size != sizeof(struct bh_slot)))
		return;
	for (uint32_t slot = 1; fd >= 0 && slot < BH_MAX_SLOTS; slot++) {
		struct bh_slot e;

		if (bpf_map_lookup_elem(fd, &slot, &e) || !(e.flags & BH_SLOT_LIVE))
			continue;
		for (int d = 0; d < 2; d++)
			if (bh_dp_filter_is_of(set, e.ifindex, (enum bh_dir)d))
				bh_dp_filter_detach(e.ifindex, (enum bh_dir)d);
	}
}
