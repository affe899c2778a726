/* Names that pods ask for: the program that the packet programs pass DNS on to, and its set. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "datapath/trace_private.h"
#include "dns.skel.h"

/* fd -1 while the object is not loaded. */
static struct bh_kmap names_of(const struct bh_trace *t)
{
	const struct bh_kmap *m = bh_trace_map(&t->dns, "trace_dns");

	return m ? *m : (struct bh_kmap){.name = "trace_dns", .fd = -1};
}

int bh_trace_names_begin(struct bh_trace *t, struct bh_err *err)
{
	static const struct bh_trace_source source = {"dns", dns_bpf__elf_bytes, NULL};
	uint32_t zero = 0;
	int r = t->dns.is_loaded ? 0 : bh_trace_load(t, &source, &t->dns, err), fd;

	if (r)
		return r;
	fd = bh_trace_prog(&t->dns, "bh_dns");
	r = bpf_map_update_elem(t->dp->map[BH_M_NAMES].fd, &zero, &fd, BPF_ANY);
	return r ? bh_fail_sys(err, -r, "names that pods ask for are not seen: map names") : 0;
}

/* The element is pinned with its map: also one that a former daemon left goes. */
void bh_trace_names_end(struct bh_trace *t)
{
	uint32_t zero = 0;

	bpf_map_delete_elem(t->dp->map[BH_M_NAMES].fd, &zero);
}

struct walk {
	int fd;
	bh_trace_name_fn *fn;
	void *arg;
};

static int sweep_name(const void *key, const void *value, void *arg)
{
	const struct bh_dns *d = value;
	const struct walk *w = arg;
	struct bh_dns_key k;
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = &k, .ctx_size_in = sizeof(k)};

	if (!(d->flags & BH_TRACE_F_UNSENT))
		return 0;
	memcpy(&k, key, sizeof(k));
	if (bpf_prog_test_run_opts(w->fd, &opts) || opts.retval != 1)
		return 0;
	return w->fn(&k, d, w->arg);
}

int bh_trace_names_sweep(struct bh_trace *t, bh_trace_name_fn *fn, void *arg, struct bh_err *err)
{
	struct walk w = {bh_trace_prog(&t->dns, "bh_dns_sent"), fn, arg};
	struct bh_kmap map = names_of(t);

	if (map.fd < 0 || w.fd < 0 || !bh_trace_has_unsent(t))
		return 0;
	return bh_kmap_each(&map, sweep_name, &w, err);
}

static int call_each(const void *key, const void *value, void *arg)
{
	const struct walk *w = arg;

	return w->fn(key, value, w->arg);
}

int bh_trace_names(struct bh_trace *t, bh_trace_name_fn *fn, void *arg, struct bh_err *err)
{
	struct walk w = {-1, fn, arg};
	struct bh_kmap map = names_of(t);

	return map.fd < 0 ? 0 : bh_kmap_each(&map, call_each, &w, err);
}

uint32_t bh_trace_names_forget(struct bh_trace *t, uint64_t before_ns)
{
	struct bh_dns_forget_args args = {.before_ns = before_ns};
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = &args, .ctx_size_in = sizeof(args)};
	int fd = bh_trace_prog(&t->dns, "bh_dns_forget");

	return fd < 0 || bpf_prog_test_run_opts(fd, &opts) ? 0 : args.forgotten;
}
