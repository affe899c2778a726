#include "policy/tables.h"

#include "base/str.h"

static const char *const pp_names[BH_PP_COUNT] = {"tcp", "udp", "sctp"};

static void add_id(struct bh_str *s, const struct bh_content *id)
{
	char hex[2 * sizeof(id->b) + 1];

	bh_hex(id->b, sizeof(id->b), hex);
	bh_str_fmt(s, " %s", hex);
}

static void add_bits(struct bh_str *s, const char *what, const __u64 bits[BH_PORT_WORDS])
{
	const char *sep = "";

	bh_str_fmt(s, " %s{", what);
	for (unsigned first = 0, last; first < BH_PORT_CLASSES; first = last + 1) {
		last = first;
		if (!(bits[first / 64] >> first % 64 & 1))
			continue;
		while (last + 1 < BH_PORT_CLASSES && bits[(last + 1) / 64] >> (last + 1) % 64 & 1)
			last++;
		bh_str_fmt(s, last > first ? "%s%u-%u" : "%s%u", sep, first, last);
		sep = ",";
	}
	bh_str_add(s, "}");
}

static void add_row(struct bh_str *s, const struct bh_row *row)
{
	add_bits(s, "allow", row->allow);
	add_bits(s, "cond", row->cond);
	add_bits(s, "deny", row->deny);
	bh_str_add(s, "\n");
}

static void print_addresses(struct bh_str *s, const struct bh_tables *t)
{
	char ip[BH_IP_TEXT], cidr[BH_CIDR_TEXT];

	for (size_t i = 0; i < t->n_classes; i++) {
		bh_str_fmt(s, "class %zu", i);
		add_id(s, &t->classes[i].id);
		bh_str_add(s, "\n");
	}
	for (size_t i = 0; i < t->n_peers; i++)
		bh_str_fmt(s, "peer %s class %u%s\n", bh_ip_format(&t->peers[i].ip, ip),
			   t->peers[i].class, t->peers[i].is_node ? " node" : "");
	for (size_t i = 0; i < t->n_cidrs; i++)
		bh_str_fmt(s, "cidr %s class %u\n", bh_cidr_format(&t->cidrs[i].cidr, cidr),
			   t->cidrs[i].class);
}

static unsigned class_at(const struct bh_tables *t, const struct bh_tportmap *map, int pp,
			 unsigned port)
{
	return t->pages[map->page[pp][port >> 8]].class[port & 255];
}

/* As ranges of ports with their class; class 0 is left out. */
static void print_portmap(struct bh_str *s, const struct bh_tables *t, size_t n)
{
	const struct bh_tportmap *map = &t->portmaps[n];

	bh_str_fmt(s, "portmap %zu", n);
	add_id(s, &map->id);
	bh_str_add(s, "\n");
	for (int pp = 0; pp < BH_PP_COUNT; pp++) {
		for (unsigned first = 0, last; first < 65536; first = last + 1) {
			unsigned class = class_at(t, map, pp, first);

			for (last = first; last < 65535 && class_at(t, map, pp, last + 1) == class;)
				last++;
			if (class)
				bh_str_fmt(s, "  %s %u-%u class %u\n", pp_names[pp], first, last,
					   class);
		}
	}
}

static void print_procs(struct bh_str *s, const struct bh_tables *t, const struct bh_truleset *r)
{
	for (size_t i = 0; i < r->n_procs; i++) {
		const struct bh_tproc *p = &r->procs[i];

		if (p->class == BH_CLASS_DEFAULT)
			bh_str_add(s, "  default");
		else
			bh_str_fmt(s, "  class %u", p->class);
		bh_str_fmt(s, " port class %u by %s\n", p->port_class,
			   p->exe == BH_PROC_OTHER ? "others" : t->exes[p->exe - 2]);
	}
}

static void print_ruleset(struct bh_str *s, const struct bh_tables *t, size_t n)
{
	const struct bh_truleset *r = &t->rulesets[n];

	bh_str_fmt(s, "ruleset %zu", n);
	add_id(s, &r->id);
	bh_str_fmt(s, " portmap %u%s%s", r->portmap, r->flags & BH_RULESET_OPEN ? " open" : "",
		   r->flags & BH_RULESET_KEEP ? " keep" : "");
	if (r->until_s != INT64_MAX)
		bh_str_fmt(s, " until %lld then %u", (long long)r->until_s, r->next);
	bh_str_add(s, "\n  default");
	add_row(s, &r->dflt);
	for (size_t i = 0; i < r->n_rows; i++) {
		bh_str_fmt(s, "  class %u", r->rows[i].class);
		add_row(s, &r->rows[i].row);
	}
	print_procs(s, t, r);
}

char *bh_tables_print(const struct bh_tables *t)
{
	struct bh_str s = {0};

	print_addresses(&s, t);
	for (size_t i = 0; i < t->n_pages; i++) {
		bh_str_fmt(&s, "page %zu", i);
		add_id(&s, &t->pages[i].id);
		bh_str_add(&s, "\n");
	}
	for (size_t i = 0; i < t->n_portmaps; i++)
		print_portmap(&s, t, i);
	for (size_t i = 0; i < t->n_exes; i++)
		bh_str_fmt(&s, "exe %zu %s\n", i, t->exes[i]);
	for (size_t i = 0; i < t->n_rulesets; i++)
		print_ruleset(&s, t, i);
	for (size_t i = 0; i < t->n_subjects; i++)
		bh_str_fmt(&s, "pod %s/%s egress %u ingress %u\n", t->subjects[i].ns,
			   t->subjects[i].name, t->subjects[i].ruleset[BH_EGRESS],
			   t->subjects[i].ruleset[BH_INGRESS]);
	return bh_str_take(&s);
}
