/* Registering interfaces: the slot's entry, the look-ups that lead to it, the programs. */
#include "datapath/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

static bool is_bad_slot(uint32_t slot)
{
	return slot == 0 || slot >= BH_MAX_SLOTS;
}

static int put(struct bh_datapath *dp, enum bh_dp_map map, const void *key, const void *value,
	       struct bh_err *err)
{
	return bh_kmap_write(&dp->fault, &dp->map[map],
			     &(struct bh_kbatch){.keys = key, .values = value, .n = 1}, err);
}

static int del(struct bh_datapath *dp, enum bh_dp_map map, const void *key, struct bh_err *err)
{
	return bh_kmap_delete(&dp->map[map], &(struct bh_kbatch){.keys = key, .n = 1}, err);
}

static int put_ifindex(struct bh_datapath *dp, uint32_t ifindex, uint32_t slot, struct bh_err *err)
{
	if (ifindex < dp->map[BH_M_SLOT_IFINDEX].max)
		return put(dp, BH_M_SLOT_IFINDEX, &ifindex, &slot, err);
	return put(dp, BH_M_SLOT_IFINDEX_HASH, &ifindex, &slot, err);
}

/* Only entries that lead to this slot: the index may have a new owner. */
static int drop_ifindex(struct bh_datapath *dp, uint32_t ifindex, uint32_t slot, struct bh_err *err)
{
	bool is_low = ifindex < dp->map[BH_M_SLOT_IFINDEX].max;
	enum bh_dp_map map = is_low ? BH_M_SLOT_IFINDEX : BH_M_SLOT_IFINDEX_HASH;
	uint32_t has = 0, none = 0;

	if (bh_kmap_get(&dp->map[map], &ifindex, &has) || has != slot)
		return 0;
	return is_low ? put(dp, map, &ifindex, &none, err) : del(dp, map, &ifindex, err);
}

static int drop_cookie(struct bh_datapath *dp, uint64_t cookie, uint32_t slot, struct bh_err *err)
{
	uint32_t has = 0;

	if (bh_kmap_get(&dp->map[BH_M_SLOT_COOKIE], &cookie, &has) || has != slot)
		return 0;
	return del(dp, BH_M_SLOT_COOKIE, &cookie, err);
}

/* Addresses: the first of each family go into the entry, the others into `local`. */
static int put_addresses(struct bh_datapath *dp, const struct bh_attach *a, struct bh_slot *e,
			 struct bh_err *err)
{
	uint32_t n4 = 0, n6 = 0, number = 2 * BH_INLINE_ADDRS;
	int r = 0;

	for (size_t i = 0; r == 0 && i < a->n_ips; i++) {
		struct bh_local_key key = {.slot = a->slot};

		if (bh_ip_is4(&a->ips[i]) && n4 < BH_INLINE_ADDRS) {
			memcpy(e->addr4[n4++], a->ips[i].b + 12, 4);
			continue;
		}
		if (!bh_ip_is4(&a->ips[i]) && n6 < BH_INLINE_ADDRS) {
			memcpy(e->addr6[n6++], a->ips[i].b, 16);
			continue;
		}
		memcpy(key.addr, a->ips[i].b, sizeof(key.addr));
		r = put(dp, BH_M_LOCAL, &key, &number, err);
		number++;
		e->flags |= BH_SLOT_MORE_ADDRS;
	}
	return r;
}

static int check(struct bh_datapath *dp, const struct bh_attach *a, struct bh_err *err)
{
	const struct bh_slot *e;

	if (is_bad_slot(a->slot))
		return bh_fail(err, EINVAL, "slot %u is not 1-%d", a->slot, BH_MAX_SLOTS - 1);
	if (a->ifindex == 0)
		return bh_fail(err, EINVAL, "slot %u: no interface", a->slot);
	if (a->n_ips > BH_MAX_ADDRS)
		return bh_fail(err, E2BIG, "interface %u has %zu addresses, more than %d",
			       a->ifindex, a->n_ips, BH_MAX_ADDRS);
	e = &dp->slot[a->slot];
	if ((e->flags & BH_SLOT_LIVE) && e->ifindex != a->ifindex)
		return bh_fail(err, EBUSY, "slot %u belongs to interface %u", a->slot, e->ifindex);
	return 0;
}

/* The flags are stored last: until then the slot is not live, or shut. */
static void store_entry(struct bh_slot *e, const struct bh_slot *value)
{
	bool is_kept = e->flags & BH_SLOT_LIVE;
	struct bh_slot fields = *value;

	if (is_kept) {
		__atomic_fetch_or(&e->flags, BH_SLOT_SHUT, __ATOMIC_SEQ_CST);
		memcpy(fields.side, e->side, sizeof(fields.side));
	}
	fields.flags = e->flags;
	memcpy(e, &fields, sizeof(fields));
	__atomic_store_n(&e->flags, value->flags, __ATOMIC_SEQ_CST);
}

static int fill(struct bh_datapath *dp, const struct bh_attach *a, struct bh_err *err)
{
	struct bh_slot value = {
		.flags = BH_SLOT_LIVE | (a->flags & (BH_SLOT_SHUT | BH_SLOT_QUARANTINE)),
		.generation = a->generation,
		.ifindex = a->ifindex,
		.nsid = a->nsid,
		.flow_quota = BH_DP_FLOW_QUOTA,
		.edge_quota = BH_DP_EDGE_QUOTA,
		.cookie = a->cookie,
	};
	uint64_t cookie = a->cookie;
	int r = bh_dp_purge_addresses(dp, a->slot, err);

	if (r)
		return r;
	if (a->has_mac)
		memcpy(value.mac, a->mac, sizeof(value.mac));
	else
		value.flags |= BH_SLOT_NO_MAC;
	r = put_addresses(dp, a, &value, err);
	if (r)
		return r;
	if (bh_fault_room(&dp->fault, "endpoint", 1) == 0)
		return bh_fail_sys(err, dp->fault.errnum, "write to map endpoint");
	if (dp->slot[a->slot].cookie != a->cookie)
		r = drop_cookie(dp, dp->slot[a->slot].cookie, a->slot, err);
	if (r)
		return r;
	store_entry(&dp->slot[a->slot], &value);
	r = put_ifindex(dp, a->ifindex, a->slot, err);
	if (r == 0 && a->owns_cookie)
		r = put(dp, BH_M_SLOT_COOKIE, &cookie, &a->slot, err);
	return r;
}

/* Removes what fill and the programs left; the entry first goes out of service. */
static int unregister(struct bh_datapath *dp, uint32_t slot, uint32_t ifindex, uint64_t cookie,
		      struct bh_err *err)
{
	int r;

	__atomic_store_n(&dp->slot[slot].flags, 0, __ATOMIC_SEQ_CST);
	for (int d = 0; d < 2; d++)
		bh_dp_hook_detach(dp, ifindex, (enum bh_dir)d);
	r = drop_ifindex(dp, ifindex, slot, err);
	if (r == 0)
		r = drop_cookie(dp, cookie, slot, err);
	if (r == 0)
		r = bh_dp_purge_slot(dp, slot, err);
	if (r == 0)
		memset(&dp->slot[slot], 0, sizeof(dp->slot[slot]));
	return r;
}

int bh_datapath_attach(struct bh_datapath *dp, const struct bh_attach *a, struct bh_err *err)
{
	struct bh_err ignored;
	bool was_live;
	int r;

	bh_fault_arm(&dp->fault);
	r = check(dp, a, err);
	if (r)
		return r;
	was_live = dp->slot[a->slot].flags & BH_SLOT_LIVE;
	if (!was_live) {
		r = bh_dp_purge_slot(dp, a->slot, err);
		if (r)
			return r;
	}
	r = fill(dp, a, err);
	/* while another set serves the interface, its program stays until publish filled this one
	 */
	for (int d = 0; r == 0 && d < 2 && !bh_dp_migrate_has(dp, a->ifindex); d++)
		r = bh_dp_hook_attach(dp, a->ifindex, (enum bh_dir)d, err);
	if (r && !was_live)
		unregister(dp, a->slot, a->ifindex, a->cookie, &ignored);
	return r ? bh_note(err, r, "slot %u", a->slot) : 0;
}

int bh_datapath_detach(struct bh_datapath *dp, uint32_t slot, struct bh_err *err)
{
	const struct bh_slot *e;

	if (is_bad_slot(slot))
		return bh_fail(err, EINVAL, "slot %u is not 1-%d", slot, BH_MAX_SLOTS - 1);
	e = &dp->slot[slot];
	bh_fault_arm(&dp->fault);
	bh_dp_migrate_drop(dp, e->ifindex);
	return unregister(dp, slot, e->ifindex, e->cookie, err);
}

int bh_datapath_check(struct bh_datapath *dp, uint32_t slot, uint32_t ifindex, struct bh_err *err)
{
	const struct bh_slot *e;

	if (is_bad_slot(slot))
		return bh_fail(err, EINVAL, "slot %u is not 1-%d", slot, BH_MAX_SLOTS - 1);
	e = &dp->slot[slot];
	if (!(e->flags & BH_SLOT_LIVE) || e->ifindex != ifindex)
		return bh_fail(err, ENOENT, "interface %u is not registered in slot %u", ifindex,
			       slot);
	for (int d = 0; d < 2; d++)
		if (!bh_dp_hook_is_on(dp, ifindex, (enum bh_dir)d) &&
		    !bh_dp_migrate_has(dp, ifindex))
			return bh_fail(err, ENOENT,
				       "the %s program is not attached to interface %u",
				       d == BH_EGRESS ? "egress" : "ingress", ifindex);
	return 0;
}

int bh_datapath_mend(struct bh_datapath *dp, uint32_t slot, uint32_t ifindex, struct bh_err *err)
{
	int r;

	if (is_bad_slot(slot) || !(dp->slot[slot].flags & BH_SLOT_LIVE))
		return bh_fail(err, ENOENT, "slot %u is not registered", slot);
	bh_fault_arm(&dp->fault);
	r = put_ifindex(dp, ifindex, slot, err);
	for (int d = 0; r == 0 && d < 2; d++)
		if (!bh_dp_hook_is_on(dp, ifindex, (enum bh_dir)d))
			r = bh_dp_hook_attach(dp, ifindex, (enum bh_dir)d, err);
	return r;
}

int bh_datapath_slots(struct bh_datapath *dp,
		      int (*fn)(uint32_t slot, const struct bh_slot *entry, void *arg), void *arg)
{
	int r = 0;

	for (uint32_t slot = 1; r == 0 && slot < BH_MAX_SLOTS; slot++)
		if (dp->slot[slot].flags & BH_SLOT_LIVE)
			r = fn(slot, &dp->slot[slot], arg);
	return r;
}

int bh_datapath_set_flags(struct bh_datapath *dp, uint32_t slot, uint32_t set, uint32_t clear)
{
	uint32_t *flags, old, want;

	if (is_bad_slot(slot))
		return -EINVAL;
	flags = &dp->slot[slot].flags;
	old = __atomic_load_n(flags, __ATOMIC_SEQ_CST);
	if (!(old & BH_SLOT_LIVE))
		return -ENOENT;
	do
		want = (old & ~clear) | set;
	while (!__atomic_compare_exchange_n(flags, &old, want, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST));
	bh_dp_migrate_ready(dp);
	return 0;
}

/* ---- quarantine ---- */

static int purge_qallow(struct bh_datapath *dp, uint32_t slot, struct bh_err *err)
{
	return bh_dp_purge_slot_map(dp, BH_M_QALLOW, slot, err);
}

static struct bh_qallow_key qallow_key(uint32_t slot, const struct bh_cidr *c)
{
	struct bh_qallow_key key = {.prefixlen = 32u + c->len, .slot = slot};

	memcpy(key.addr, c->ip.b, sizeof(key.addr));
	return key;
}

static bool has_port(const struct bh_qallow *q, const struct bh_qallow_entry *e)
{
	for (uint32_t i = 0; i < q->n; i++)
		if (q->port[i].port == htons(e->port) && q->port[i].proto == e->proto)
			return true;
	return false;
}

/* The longest prefix decides in the kernel, so it has what shorter ones say as well; "everything"
 * among them wins. */
static int gather(const struct bh_qallow_entry *v, size_t n, size_t first, struct bh_qallow *ret)
{
	*ret = (struct bh_qallow){0};
	for (size_t i = 0; i < n; i++) {
		if (!bh_cidr_covers(&v[i].cidr, &v[first].cidr) || has_port(ret, &v[i]))
			continue;
		if (v[i].port == 0 && v[i].proto == 0) {
			*ret = (struct bh_qallow){0};
			return 0;
		}
		if (ret->n == BH_QALLOW_PORTS)
			return -E2BIG;
		ret->port[ret->n].port = htons(v[i].port);
		ret->port[ret->n++].proto = v[i].proto;
	}
	return 0;
}

/* As bits are compared, where IPv4 lies within IPv6. */
static bool has_all4(const struct bh_cidr *c)
{
	static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff};
	unsigned whole = c->len / 8, rest = c->len % 8;

	return !bh_ip_is4(&c->ip) && c->len < 96 && memcmp(c->ip.b, mapped, whole) == 0 &&
	       (!rest || c->ip.b[whole] >> (8 - rest) == mapped[whole] >> (8 - rest));
}

/* Takes IPv4 out of IPv6 prefixes that have all of it, where no entry is about all of IPv4. */
static int put_gap(struct bh_datapath *dp, uint32_t slot, const struct bh_qallow_entry *v, size_t n,
		   struct bh_err *err)
{
	const struct bh_cidr all4 = {.ip = bh_ip_from4(0), .len = 96};
	struct bh_qallow_key key = qallow_key(slot, &all4);
	/* a protocol without ports has none of this number */
	struct bh_qallow nothing = {.n = 1, .port = {{.port = htons(1), .proto = 255}}};
	bool is_covered = false;

	for (size_t i = 0; i < n; i++) {
		if (bh_cidr_cmp(&v[i].cidr, &all4) == 0)
			return 0;
		is_covered |= has_all4(&v[i].cidr);
	}
	return is_covered ? put(dp, BH_M_QALLOW, &key, &nothing, err) : 0;
}

static bool is_repeated(const struct bh_qallow_entry *v, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (bh_cidr_cmp(&v[k].cidr, &v[i].cidr) == 0)
			return true;
	return false;
}

int bh_datapath_set_qallow(struct bh_datapath *dp, uint32_t slot, const struct bh_qallow_entry *v,
			   size_t n, struct bh_err *err)
{
	int r;

	if (is_bad_slot(slot))
		return bh_fail(err, EINVAL, "slot %u is not 1-%d", slot, BH_MAX_SLOTS - 1);
	bh_fault_arm(&dp->fault);
	r = purge_qallow(dp, slot, err);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct bh_qallow_key key = qallow_key(slot, &v[i].cidr);
		struct bh_qallow value;

		if (is_repeated(v, i))
			continue;
		if (gather(v, n, i, &value))
			return bh_fail(err, E2BIG,
				       "more than %d ports for one prefix of the "
				       "quarantine's allow-list",
				       BH_QALLOW_PORTS);
		r = put(dp, BH_M_QALLOW, &key, &value, err);
	}
	return r ? r : put_gap(dp, slot, v, n, err);
}

int bh_datapath_quarantine_cgroup(struct bh_datapath *dp, uint64_t cgroup_id, bool on,
				  struct bh_err *err)
{
	uint64_t n = 0;
	uint32_t one = 1;
	int r;

	bh_fault_arm(&dp->fault);
	r = on ? put(dp, BH_M_QUARANTINED_CGROUP, &cgroup_id, &one, err)
	       : del(dp, BH_M_QUARANTINED_CGROUP, &cgroup_id, err);
	if (r == 0)
		r = bh_kmap_count(&dp->map[BH_M_QUARANTINED_CGROUP], &n, err);
	if (r == 0)
		__atomic_store_n(&dp->config->has_hostnet_quarantine, n > 0, __ATOMIC_SEQ_CST);
	return r;
}
