#include "policy/tables.h"

#include <linux/in.h>
#include <stdlib.h>
#include <string.h>

void bh_tables_free(struct bh_tables *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_rulesets; i++) {
		free(t->rulesets[i].rows);
		free(t->rulesets[i].procs);
	}
	for (size_t i = 0; i < t->n_exes; i++)
		free(t->exes[i]);
	for (size_t i = 0; i < t->n_subjects; i++) {
		free((char *)t->subjects[i].ns);
		free((char *)t->subjects[i].name);
	}
	free(t->classes);
	free(t->peers);
	free(t->cidrs);
	free(t->pages);
	free(t->portmaps);
	free(t->rulesets);
	free(t->exes);
	free(t->subjects);
	free(t);
}

void bh_tables_freep(struct bh_tables **t)
{
	bh_tables_free(*t);
	*t = NULL;
}

/* ---- look-ups ---- */

static int cmp_subject(const void *key, const void *elem)
{
	const struct bh_subject *a = key;
	const struct bh_tsubject *b = elem;
	int c = strcmp(a->ns, b->ns);

	return c ? c : strcmp(a->name, b->name);
}

const struct bh_tsubject *bh_tables_subject(const struct bh_tables *t, const char *ns,
					    const char *name)
{
	struct bh_subject key = {.ns = ns, .name = name};

	if (!t->n_subjects)
		return NULL;
	return bsearch(&key, t->subjects, t->n_subjects, sizeof(*t->subjects), cmp_subject);
}

static int cmp_peer(const void *key, const void *elem)
{
	return bh_ip_cmp(key, &((const struct bh_tpeer *)elem)->ip);
}

static int cmp_cidr(const void *key, const void *elem)
{
	return bh_cidr_cmp(key, &((const struct bh_tcidr *)elem)->cidr);
}

static struct bh_ip mask(const struct bh_ip *ip, unsigned len)
{
	struct bh_ip r = {{0}};

	memcpy(r.b, ip->b, len / 8);
	if (len % 8)
		r.b[len / 8] = (uint8_t)(ip->b[len / 8] & 0xff << (8 - len % 8));
	return r;
}

/* The kernel asks one of two prefix tables, so a short IPv6 prefix never answers for an IPv4
 * address. */
static uint32_t cidr_class(const struct bh_tables *t, const struct bh_ip *ip)
{
	int shortest = bh_ip_is4(ip) ? 96 : 0;

	for (int len = 128; t->n_cidrs && len >= shortest; len--) {
		struct bh_cidr key = {.ip = mask(ip, (unsigned)len), .len = (uint8_t)len};
		const struct bh_tcidr *c =
			bsearch(&key, t->cidrs, t->n_cidrs, sizeof(*t->cidrs), cmp_cidr);

		if (c)
			return c->class;
	}
	return 0;
}

uint32_t bh_tables_class(const struct bh_tables *t, const struct bh_ip *ip, bool *ret_is_node)
{
	const struct bh_tpeer *p = NULL;

	if (t->n_peers)
		p = bsearch(ip, t->peers, t->n_peers, sizeof(*t->peers), cmp_peer);
	*ret_is_node = p && p->is_node;
	return p ? p->class : cidr_class(t, ip);
}

/* ---- deciding ---- */

struct cell {
	const struct bh_truleset *r;
	uint32_t class; /* the row's, or BH_CLASS_DEFAULT */
	const struct bh_row *row;
	uint16_t port_class;
};

static bool has_bit(const __u64 bits[BH_PORT_WORDS], unsigned n)
{
	return bits[n / 64] >> n % 64 & 1;
}

static uint16_t port_class(const struct bh_tables *t, const struct bh_truleset *r, uint8_t proto,
			   uint16_t port)
{
	const struct bh_tportmap *map = &t->portmaps[r->portmap];
	enum bh_port_proto pp;

	switch (proto) {
	case IPPROTO_TCP:
		pp = BH_PP_TCP;
		break;
	case IPPROTO_UDP:
		pp = BH_PP_UDP;
		break;
	case IPPROTO_SCTP:
		pp = BH_PP_SCTP;
		break;
	default:
		return 0;
	}
	return t->pages[map->page[pp][port >> 8]].class[port & 255];
}

static int cmp_row(const void *key, const void *elem)
{
	uint32_t a = *(const uint32_t *)key, b = ((const struct bh_trow *)elem)->class;

	return a < b ? -1 : a > b;
}

static struct cell find_cell(const struct bh_truleset *r, uint32_t class, uint16_t port)
{
	struct cell c = {.r = r, .class = BH_CLASS_DEFAULT, .row = &r->dflt, .port_class = port};
	const struct bh_trow *row = NULL;

	if (r->n_rows)
		row = bsearch(&class, r->rows, r->n_rows, sizeof(*r->rows), cmp_row);
	if (row) {
		c.class = class;
		c.row = &row->row;
	}
	return c;
}

static int cmp_proc(const void *key, const void *elem)
{
	const struct bh_tproc *a = key, *b = elem;

	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	if (a->port_class != b->port_class)
		return a->port_class < b->port_class ? -1 : 1;
	return a->exe < b->exe ? -1 : a->exe > b->exe;
}

static int cmp_exe(const void *key, const void *elem)
{
	return strcmp(key, *(char *const *)elem);
}

/* A path longer than the kernel reads cannot be told from any other. */
static uint16_t proc_id(const struct bh_tables *t, const char *exe)
{
	char **found = NULL;

	if (!exe || strlen(exe) >= BH_PATH_MAX)
		return BH_PROC_UNKNOWN;
	if (t->n_exes)
		found = bsearch(exe, t->exes, t->n_exes, sizeof(*t->exes), cmp_exe);
	return found ? (uint16_t)(found - t->exes + 2) : BH_PROC_OTHER;
}

static struct bh_tverdict decide_cell(const struct cell *c, uint16_t proc)
{
	struct bh_tproc key = {.class = c->class, .port_class = c->port_class, .exe = proc};
	struct bh_tverdict v = {.verdict = BH_DENIED, .reason = BH_R_DEFAULT_DENY};

	if (has_bit(c->row->allow, c->port_class)) {
		v.verdict = BH_ALLOWED;
		v.reason = c->r->flags & BH_RULESET_OPEN ? BH_R_DEFAULT_ALLOW : BH_R_POLICY;
	} else if (has_bit(c->row->cond, c->port_class)) {
		v.is_conditional = true;
		v.reason = proc == BH_PROC_UNKNOWN ? BH_R_PROCESS_UNKNOWN : BH_R_PROCESS;
		if (proc != BH_PROC_UNKNOWN && c->r->n_procs &&
		    bsearch(&key, c->r->procs, c->r->n_procs, sizeof(key), cmp_proc)) {
			v.verdict = BH_ALLOWED;
			v.reason = BH_R_POLICY;
		}
	} else if (has_bit(c->row->deny, c->port_class)) {
		v.reason = BH_R_POLICY_DENY;
	}
	return v;
}

struct bh_tverdict bh_tables_ask(const struct bh_tables *t, const struct bh_tquestion *q)
{
	const struct bh_truleset *first = &t->rulesets[q->subject->ruleset[q->dir]], *r = first;
	bool is_node;
	uint32_t class = bh_tables_class(t, &q->peer, &is_node);
	uint16_t proc = proc_id(t, q->exe);
	struct bh_tverdict v;
	struct cell c;

	for (int i = 1; i < BH_UNTIL_CHAIN && q->now_s >= r->until_s; i++)
		r = &t->rulesets[r->next];
	c = find_cell(r, class, port_class(t, r, q->proto, q->port));
	v = decide_cell(&c, proc);
	if (r == first || v.verdict == BH_ALLOWED)
		return v;
	c = find_cell(first, class, port_class(t, first, q->proto, q->port));
	if (decide_cell(&c, proc).verdict == BH_ALLOWED)
		v.reason = BH_R_EXPIRED;
	return v;
}
