/* baseline_keys.c - what of an activity is worth remembering about a workload, as text. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "detect/baseline.h"
#include "detect/names.h"

static struct bh_base_key *add(struct bh_base_key *ret, size_t *n, enum bh_base_kind kind)
{
	struct bh_base_key *k = &ret[(*n)++];

	k->kind = kind;
	k->text[0] = '\0';
	return k;
}

/* Another origin makes another key: the same path with other bytes is new. */
static const char *origin(enum bh_provenance p)
{
	return bh_provenance_is_foreign(p) ? bh_provenance_name(p) : "";
}

static void exec_keys(const struct bh_activity *a, struct bh_base_key *ret, size_t *n)
{
	const struct bh_act_process *p = &a->process;
	const char *from =
		*origin(p->provenance) ? origin(p->provenance) : origin(p->script_provenance);
	struct bh_base_key *k = add(ret, n, BH_BASE_EXEC);
	char script[BH_BASE_KEY / 2] = "", program[BH_BASE_KEY / 2];

	if (*p->script)
		bh_path_collapse(p->script, 6, script, sizeof(script));
	bh_path_collapse(p->path, 8, program, sizeof(program));
	snprintf(k->text, sizeof(k->text), "%s%s%s%s%s", program, *script ? " " : "", script,
		 *from ? " from " : "", from);
	/* of what ran before we looked nobody knows who started it */
	if (p->flags & BH_PROC_FROM_OUTSIDE || *a->parent.path) {
		k = add(ret, n, BH_BASE_CHAIN);
		snprintf(k->text, sizeof(k->text), "%.150s > %.150s",
			 (p->flags & BH_PROC_FROM_OUTSIDE) ? "(outside)" : a->parent.path, program);
	}
	k = add(ret, n, BH_BASE_USE);
	snprintf(k->text, sizeof(k->text), "user %u", p->uid);
}

static void edge_key(const struct bh_act_edge *e, struct bh_base_key *k)
{
	char proto[8], ip[BH_IP_TEXT];
	const char *dir = e->is_egress ? "out" : "in";

	bh_proto_format(e->proto, proto);
	if (e->peer == BH_EDGE_POD && *e->peer_name)
		snprintf(k->text, sizeof(k->text), "%s %s %u pod %.250s", dir, proto, e->port,
			 e->peer_name);
	else if (e->peer == BH_EDGE_NODE)
		snprintf(k->text, sizeof(k->text), "%s %s %u node", dir, proto, e->port);
	else if (!e->is_egress)
		/* clients come and go; where a service lets the outside in is what counts */
		snprintf(k->text, sizeof(k->text), "in %s %u outside", proto, e->port);
	else
		snprintf(k->text, sizeof(k->text), "out %s %u ip %s", proto, e->port,
			 bh_ip_format(&e->remote, ip));
}

static void path_key(const struct bh_act_file *f, struct bh_base_key *k)
{
	/* names there are made up at random, so that each would be new */
	static const char *const scratch[] = {"/tmp/*", "/var/tmp/*", "/dev/shm/*", "/run/shm/*",
					      NULL};
	bool is_moved = (f->op == BH_FILE_RENAME || f->op == BH_FILE_LINK) && *f->target;
	const char *path = is_moved ? f->target : f->path;
	int depth = !bh_path_fits(path, scratch) ? 4 : !strncmp(path, "/tmp/", 5) ? 1 : 2;

	bh_path_collapse(path, depth, k->text, sizeof(k->text));
}

static const char *use_of(const struct bh_activity *a)
{
	switch (a->kind) {
	case BH_ACT_IO_URING:
		return "io_uring";
	case BH_ACT_MEMFD:
		return "memfd";
	case BH_ACT_USERFAULTFD:
		return "userfaultfd";
	case BH_ACT_PTRACE:
		return "ptrace";
	case BH_ACT_MEMORY:
		return "memory of others";
	case BH_ACT_NAMESPACE:
		return "namespaces";
	case BH_ACT_MOUNT:
		return "mount";
	case BH_ACT_BPF:
		return "bpf";
	case BH_ACT_SOCKET:
		return "special sockets";
	case BH_ACT_MAP_EXEC:
		return bh_provenance_is_foreign(a->u.map.provenance)
			       ? bh_provenance_name(a->u.map.provenance)
			       : NULL;
	default:
		return NULL;
	}
}

static size_t keys_of(const struct bh_activity *a, struct bh_base_key ret[BH_BASE_KEYS_MAX])
{
	const char *use = use_of(a);
	char proto[8];
	size_t n = 0;

	if (use) {
		snprintf(add(ret, &n, BH_BASE_USE)->text, BH_BASE_KEY, "%s%s",
			 a->kind == BH_ACT_MAP_EXEC ? "map " : "", use);
	} else if (a->kind == BH_ACT_EXEC && *a->process.path) {
		exec_keys(a, ret, &n);
	} else if (a->kind == BH_ACT_EDGE && !a->u.edge.is_denied) {
		edge_key(&a->u.edge, add(ret, &n, BH_BASE_EDGE));
	} else if (a->kind == BH_ACT_LISTEN && !a->u.listen.is_loopback) {
		snprintf(add(ret, &n, BH_BASE_LISTEN)->text, BH_BASE_KEY, "%s %u",
			 bh_proto_format(a->u.listen.proto, proto), a->u.listen.port);
	} else if (a->kind == BH_ACT_FILE && a->u.file.op != BH_FILE_READ && *a->u.file.path) {
		path_key(&a->u.file, add(ret, &n, BH_BASE_PATH));
	} else if (a->kind == BH_ACT_SETID) {
		snprintf(add(ret, &n, BH_BASE_USE)->text, BH_BASE_KEY, "user %u",
			 a->u.setid.new_uid);
	}
	return n;
}

/* Baselines are JSON, so that a name that is no UTF-8, or was cut within a character, would keep
 * all of it from being saved. */
size_t bh_baseline_keys(const struct bh_activity *a, struct bh_base_key ret[BH_BASE_KEYS_MAX])
{
	size_t n = keys_of(a, ret);

	for (size_t i = 0; i < n; i++)
		bh_utf8_mend(ret[i].text);
	return n;
}
