/* bench_publish.c - how long a publish takes in the kernel, and what it costs in memory.
 *
 * Usage: bench_publish [PODS [PEERS [ROWS]]]. Needs root; mounts and namespaces are the process's
 * own. Prints a table; nothing is judged here. The tables: PODS local pods with two rulesets each,
 * ROWS rows per ruleset, 200 classes over PEERS addresses, 100 prefixes. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/own.h"
#include "datapath/datapath.h"

#define BPFFS	 "/sys/fs/bpf/bh-bench"
#define CLASSES	 200
#define PREFIXES 100
#define RUNS	 41

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
	return (double)bh_datapath_now_ns() / 1e6;
}

static double rss_mb(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static struct bh_content content(uint32_t kind, uint64_t n)
{
	struct bh_content c = {0};

	memcpy(c.b, &kind, sizeof(kind));
	memcpy(c.b + 4, &n, sizeof(n));
	return c;
}

static void make_rulesets(struct bh_tables *t, size_t n, size_t rows)
{
	t->n_rulesets = n + 1;
	t->rulesets = need(calloc(n + 1, sizeof(*t->rulesets)));
	t->rulesets[0].until_s = INT64_MAX;
	for (size_t i = 1; i <= n; i++) {
		struct bh_truleset *rs = &t->rulesets[i];

		rs->id = content(4, i);
		rs->until_s = INT64_MAX;
		rs->portmap = 1;
		rs->rows = need(calloc(rows + 1, sizeof(*rs->rows)));
		rs->n_rows = rows;
		for (size_t k = 0; k < rows; k++) {
			rs->rows[k].class = (uint32_t)(k % CLASSES + 1);
			rs->rows[k].row.allow[0] = i + k;
		}
	}
}

static struct bh_tables *make_tables(size_t pods, size_t peers, size_t rows)
{
	struct bh_tables *t = need(calloc(1, sizeof(*t)));

	t->n_classes = CLASSES + 1;
	t->classes = need(calloc(t->n_classes, sizeof(*t->classes)));
	for (size_t i = 0; i < t->n_classes; i++)
		t->classes[i].id = content(1, i);
	t->n_peers = peers;
	t->peers = need(calloc(peers + 1, sizeof(*t->peers)));
	for (size_t i = 0; i < peers; i++)
		t->peers[i] = (struct bh_tpeer){.ip = bh_ip_from4((uint32_t)(0x0a000000 + i)),
						.class = (uint32_t)(i % CLASSES + 1)};
	t->n_cidrs = PREFIXES;
	t->cidrs = need(calloc(PREFIXES, sizeof(*t->cidrs)));
	for (size_t i = 0; i < PREFIXES; i++)
		t->cidrs[i] = (struct bh_tcidr){
			.cidr = {.ip = bh_ip_from4((uint32_t)(0x50000000 + (i << 16))), .len = 112},
			.class = (uint32_t)(i % CLASSES + 1)};
	t->n_pages = t->n_portmaps = 2;
	t->pages = need(calloc(2, sizeof(*t->pages)));
	t->portmaps = need(calloc(2, sizeof(*t->portmaps)));
	t->pages[1].id = content(2, 1);
	t->pages[1].class[80] = 1;
	t->portmaps[1].id = content(3, 1);
	t->portmaps[1].page[BH_PP_TCP][0] = 1;
	make_rulesets(t, pods * 2, rows);
	t->n_subjects = pods;
	t->subjects = need(calloc(pods + 1, sizeof(*t->subjects)));
	for (size_t i = 0; i < pods; i++)
		t->subjects[i] = (struct bh_tsubject){
			.ns = "bench",
			.name = "pod",
			.ruleset = {(uint32_t)(2 * i + 1), (uint32_t)(2 * i + 2)}};
	return t;
}

static struct bh_publish make_publish(const struct bh_tables *t)
{
	struct bh_publish p = {.tables = t, .now_s = 1};
	uint32_t *slots = need(calloc(t->n_subjects + 1, sizeof(*slots)));

	p.slots_of = need(calloc(t->n_subjects + 1, sizeof(*p.slots_of)));
	for (size_t i = 0; i < t->n_subjects; i++) {
		slots[i] = (uint32_t)i + 1;
		p.slots_of[i].slot = &slots[i];
		p.slots_of[i].n = 1;
	}
	return p;
}

static double publish_ms(struct bh_datapath *dp, struct bh_publish *p)
{
	struct bh_err err = {0};
	double begin = now_ms();

	p->now_ns = bh_datapath_now_ns();
	must(bh_datapath_publish(dp, p, &err), &err);
	return now_ms() - begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* One peer changes its class in every run; a pause lets the grace period end, as it would. */
static void small_changes(struct bh_datapath *dp, struct bh_publish *p, struct bh_tables *t,
			  unsigned pause_us, const char *what)
{
	double v[RUNS];

	for (size_t i = 0; i < RUNS; i++) {
		t->peers[i * 7].class = (uint32_t)(i % CLASSES + 1);
		t->peers[i * 7].class = t->peers[i * 7].class % CLASSES + 1;
		usleep(pause_us);
		v[i] = publish_ms(dp, p);
	}
	qsort(v, RUNS, sizeof(*v), compare);
	printf("%-40s p50 %7.2f ms  max %7.2f ms\n", what, v[RUNS / 2], v[RUNS - 1]);
}

static struct bh_datapath *open_handle(const char *what)
{
	struct bh_datapath_options opt = {.bpffs = BPFFS};
	struct bh_datapath *dp = NULL;
	struct bh_err err = {0};
	double begin = now_ms();

	must(bh_datapath_open(&opt, &dp, NULL, &err), &err);
	printf("%-40s     %7.2f ms\n", what, now_ms() - begin);
	return dp;
}

static void print_maps(struct bh_datapath *dp)
{
	struct bh_map_fill v[64];
	size_t n = bh_datapath_maps(dp, v, 64);
	double total = 0;

	for (size_t i = 0; i < n && i < 64; i++)
		total += (double)v[i].bytes / 1e6;
	printf("%-40s     %7.2f MB\n", "maps, as the kernel accounts them", total);
}

int main(int argc, char **argv)
{
	size_t pods = argc > 1 ? strtoul(argv[1], NULL, 10) : 250;
	size_t peers = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
	size_t rows = argc > 3 ? strtoul(argv[3], NULL, 10) : 50;
	struct bh_tables *t = make_tables(pods, peers, rows);
	struct bh_publish p = make_publish(t);
	struct bh_datapath *dp;
	struct bh_err err;
	double before;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL)) {
		perror("needs root");
		return 77;
	}
	printf("%zu pods, %zu peers, %zu rows per ruleset\n", pods, peers, rows);
	dp = open_handle("open, nothing pinned");
	before = rss_mb();
	printf("%-40s     %7.2f ms\n", "first publish", publish_ms(dp, &p));
	printf("%-40s     %7.2f ms\n", "second publish (the other side)", publish_ms(dp, &p));
	usleep(50000);
	printf("%-40s     %7.2f ms\n", "nothing changed", publish_ms(dp, &p));
	small_changes(dp, &p, t, 50000, "one peer changes its class");
	small_changes(dp, &p, t, 0, "the same, one after the other");
	printf("%-40s     %7.2f MB\n", "memory kept between publishes", rss_mb() - before);
	print_maps(dp);
	bh_datapath_close(dp);
	dp = open_handle("open and adopt");
	printf("%-40s     %7.2f ms\n", "first publish after a restart", publish_ms(dp, &p));
	bh_datapath_close(dp);
	must(bh_datapath_remove_all(BPFFS, &err), &err);
	return 0;
}
