/* bench_compile.c - how long policy takes to compile, and how much memory the tables take.
 *
 * Usage: bench_compile [POLICIES [PEERS [LOCAL]]]. Prints a table; nothing is judged here. The
 * world: 100 namespaces with five applications each (500 idents), policies spread over them, every
 * one with two ingress and two egress rules: an application of the namespace, another team's
 * namespaces, an address block with an except, and DNS. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/str.h"
#include "policy/tables.h"

#define NAMESPACES 100
#define APPS	   5
#define RUNS	   9

static void must(int r, const struct bh_err *err)
{
	if (!r)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static void *need(void *p)
{
	if (!p)
		abort();
	return p;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- objects ---- */

/* key NULL: everything */
static void put_selector(struct bh_selector *s, const char *key, const char *value)
{
	struct bh_err err = {.text = "selector"};

	if (key) {
		s->v = need(calloc(1, sizeof(*s->v)));
		s->n = 1;
		s->v[0].key = need(strdup(key));
		s->v[0].values = need(calloc(1, sizeof(char *)));
		s->v[0].values[0] = need(strdup(value));
		s->v[0].n_values = 1;
	}
	must(bh_selector_seal(s), &err);
}

static struct bh_rule *new_rules(size_t n)
{
	struct bh_rule *v = need(calloc(n, sizeof(*v)));

	for (size_t i = 0; i < n; i++) {
		v[i].index = (unsigned)i;
		v[i].reason.expires_s = INT64_MAX;
		v[i].peers = need(calloc(1, sizeof(*v[i].peers)));
		v[i].n_peers = 1;
		v[i].ports = need(calloc(2, sizeof(*v[i].ports)));
	}
	return v;
}

static void put_port(struct bh_rule *r, uint8_t proto, unsigned port)
{
	r->ports[r->n_ports++] = (struct bh_port){.kind = BH_PORT_RANGE,
						  .proto = proto,
						  .first = (uint16_t)port,
						  .last = (uint16_t)port};
}

static void put_pods(struct bh_peer *p, const char *team, const char *app)
{
	p->has_namespaces = team != NULL;
	p->has_pods = app != NULL;
	put_selector(&p->namespaces, team ? "team" : NULL, team);
	put_selector(&p->pods, app ? "app" : NULL, app);
}

static void put_block(struct bh_peer *p, unsigned n)
{
	p->kind = BH_PEER_CIDR;
	p->cidr = (struct bh_cidr){.ip = bh_ip_from4((172u << 24) | (n % 200) << 16), .len = 112};
	p->excepts = need(calloc(1, sizeof(*p->excepts)));
	p->excepts[0] = (struct bh_cidr){.ip = p->cidr.ip, .len = 120};
	p->n_excepts = 1;
	put_pods(p, NULL, NULL);
}

static struct bh_policy *new_policy(unsigned n)
{
	struct bh_policy *p = need(calloc(1, sizeof(*p)));
	char app[16], other[16], team[16];

	p->refs = 1;
	p->ns = need(bh_strf("ns%u", n % NAMESPACES));
	p->name = need(bh_strf("policy%u", n / NAMESPACES));
	snprintf(app, sizeof(app), "a%u", n / NAMESPACES % APPS);
	snprintf(other, sizeof(other), "a%u", n / NAMESPACES / APPS % APPS);
	snprintf(team, sizeof(team), "t%u", (n + n / NAMESPACES % 2) % 10);
	put_selector(&p->pods, "app", app);
	for (int dir = 0; dir < 2; dir++) {
		struct bh_rule *r = p->rules[dir] = new_rules(2);

		p->applies[dir] = true;
		p->n_rules[dir] = 2;
		put_pods(&r[0].peers[0], NULL, other);
		put_port(&r[0], 6, 8000 + n / 500 % 20);
		put_port(&r[0], 6, 443);
		put_port(&r[1], 6, 9000 + n / 1000 % 10);
	}
	put_pods(&p->rules[BH_INGRESS][1].peers[0], team, NULL);
	put_block(&p->rules[BH_EGRESS][1].peers[0], n);
	put_port(&p->rules[BH_EGRESS][1], 17, 53);
	return p;
}

static struct bh_pod *new_pod(unsigned n, unsigned app)
{
	char ns[16], name[24], label[16];
	struct bh_label labels[] = {{"app", label}, {"version", "1"}};
	struct bh_ip ip = bh_ip_from4((10u << 24) + 1 + n);
	struct bh_pod_init init = {
		.ns = ns, .name = name, .labels = {labels, 2}, .ips = &ip, .n_ips = 1};
	struct bh_pod *pod;
	struct bh_err err;

	snprintf(ns, sizeof(ns), "ns%u", n % NAMESPACES);
	snprintf(name, sizeof(name), "pod%06u", n);
	snprintf(label, sizeof(label), "a%u", app);
	must(bh_pod_new(&init, &pod, &err), &err);
	return pod;
}

/* ---- worlds ---- */

struct bench {
	unsigned n_policies, n_peers, n_local;
	struct bh_namespace **namespaces;
	struct bh_policy **policies;
	struct bh_pod **pods;
	struct bh_subject *subjects;
	char (*names)[2][24];
};

static struct bh_namespace *new_namespace(unsigned n)
{
	char name[16], team[16];
	struct bh_label label = {"team", team};
	struct bh_labels labels = {&label, 1};
	struct bh_namespace *ns;
	struct bh_err err;

	snprintf(name, sizeof(name), "ns%u", n);
	snprintf(team, sizeof(team), "t%u", n % 10);
	must(bh_namespace_new(name, &labels, &ns, &err), &err);
	return ns;
}

static void make(struct bench *b)
{
	b->namespaces = need(calloc(NAMESPACES, sizeof(*b->namespaces)));
	b->policies = need(calloc(b->n_policies + 1, sizeof(*b->policies)));
	b->pods = need(calloc(b->n_peers, sizeof(*b->pods)));
	b->subjects = need(calloc(b->n_local, sizeof(*b->subjects)));
	b->names = need(calloc(b->n_local, sizeof(*b->names)));
	for (unsigned i = 0; i < NAMESPACES; i++)
		b->namespaces[i] = new_namespace(i);
	for (unsigned i = 0; i < b->n_policies; i++)
		b->policies[i] = new_policy(i);
	for (unsigned i = 0; i < b->n_peers; i++)
		b->pods[i] = new_pod(i, i / NAMESPACES % APPS);
	for (unsigned i = 0; i < b->n_local; i++) {
		snprintf(b->names[i][0], 24, "ns%u", i % NAMESPACES);
		snprintf(b->names[i][1], 24, "pod%06u", i);
		b->subjects[i] = (struct bh_subject){b->names[i][0], b->names[i][1]};
	}
}

static struct bh_world *build(const struct bench *b)
{
	struct bh_world *w;
	struct bh_err err;

	must(bh_world_new(&w, &err), &err);
	w->now_s = 1000;
	for (unsigned i = 0; i < NAMESPACES; i++)
		must(bh_world_add_namespace(w, b->namespaces[i]), &err);
	for (unsigned i = 0; i < b->n_policies; i++)
		must(bh_world_add_policy(w, b->policies[i]), &err);
	for (unsigned i = 0; i < b->n_peers; i++)
		must(bh_world_add_pod(w, b->pods[i]), &err);
	must(bh_world_seal(w, &err), &err);
	return w;
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static double compile(const struct bench *b, struct bh_world *w, struct bh_compile_memo *memo,
		      struct bh_tables **ret)
{
	struct bh_compile_request req = {
		.world = w, .subjects = b->subjects, .n_subjects = b->n_local, .memo = memo};
	double from = now_ms();
	struct bh_err err;

	must(bh_compile_run(&req, ret, &err), &err);
	return now_ms() - from;
}

static void change_pod(struct bench *b, unsigned i)
{
	struct bh_pod *pod = new_pod(i, (i / NAMESPACES + 1) % APPS);

	bh_pod_unref(b->pods[i]);
	b->pods[i] = pod;
}

static void change_policy(struct bench *b, unsigned i)
{
	bh_policy_unref(b->policies[i]);
	b->policies[i] = new_policy(i);
	b->policies[i]->rules[BH_INGRESS][0].ports[0].last = 8100;
}

static void change_nothing(struct bench *b, unsigned i)
{
	(void)b;
	(void)i;
}

static void report(const char *what, double *ms)
{
	qsort(ms, RUNS, sizeof(*ms), by_value);
	printf("%-34s %8.2f %8.2f %8.2f\n", what, ms[0], ms[RUNS / 2], ms[RUNS - 1]);
}

static void measure(struct bench *b, const char *what, struct bh_compile_memo *memo,
		    void (*change)(struct bench *b, unsigned i))
{
	double ms[RUNS];

	for (unsigned i = 0; i < RUNS; i++) {
		struct bh_tables *t = NULL;
		struct bh_world *w;

		change(b, i * 37 % b->n_policies);
		w = build(b);
		ms[i] = compile(b, w, memo, &t);
		bh_tables_free(t);
		bh_world_unref(w);
	}
	report(what, ms);
}

static void describe(const struct bench *b)
{
	size_t before, rows = 0;
	struct bh_tables *t = NULL;
	struct bh_world *w = build(b);

	before = heap();
	compile(b, w, NULL, &t);
	for (size_t i = 0; i < t->n_rulesets; i++)
		rows += t->rulesets[i].n_rows;
	printf("tables: %zu classes, %zu peers, %zu prefixes, %zu rulesets, %zu rows, %zu port "
	       "maps, "
	       "%zu pages, %.1f MB\n",
	       t->n_classes, t->n_peers, t->n_cidrs, t->n_rulesets, rows, t->n_portmaps, t->n_pages,
	       (double)(heap() - before) / 1e6);
	bh_tables_free(t);
	bh_world_unref(w);
}

static void done(struct bench *b)
{
	for (unsigned i = 0; i < NAMESPACES; i++)
		bh_namespace_unref(b->namespaces[i]);
	for (unsigned i = 0; i < b->n_policies; i++)
		bh_policy_unref(b->policies[i]);
	for (unsigned i = 0; i < b->n_peers; i++)
		bh_pod_unref(b->pods[i]);
	free(b->namespaces);
	free(b->policies);
	free(b->pods);
	free(b->subjects);
	free(b->names);
}

static unsigned number(const char *text, unsigned otherwise)
{
	long n = text ? strtol(text, NULL, 10) : 0;

	return n > 0 ? (unsigned)n : otherwise;
}

int main(int argc, char **argv)
{
	struct bench b = {.n_policies = number(argc > 1 ? argv[1] : NULL, 10000),
			  .n_peers = number(argc > 2 ? argv[2] : NULL, 100000),
			  .n_local = number(argc > 3 ? argv[3] : NULL, 250)};
	struct bh_compile_memo *memo = NULL;
	struct rusage usage;
	size_t before;
	struct bh_err err;

	make(&b);
	printf("%u policies, %u pods, %u of them local; objects: %.1f MB\n", b.n_policies,
	       b.n_peers, b.n_local, (double)heap() / 1e6);
	describe(&b);
	printf("%-34s %8s %8s %8s\n", "ms", "min", "median", "max");
	measure(&b, "from nothing", NULL, change_nothing);
	before = heap();
	must(bh_compile_memo_new(&memo, &err), &err);
	measure(&b, "with memo, nothing changed", memo, change_nothing);
	measure(&b, "with memo, one pod's label", memo, change_pod);
	measure(&b, "with memo, one policy", memo, change_policy);
	printf("memo: %.1f MB\n", (double)(heap() - before) / 1e6);
	bh_compile_memo_free(memo);
	done(&b);
	getrusage(RUSAGE_SELF, &usage);
	printf("peak RSS: %.1f MB\n", (double)usage.ru_maxrss / 1024);
	return 0;
}
