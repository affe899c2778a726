#include "daemon/runtime_rates.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/vec.h"
#include "daemon/daemon.h"
#include "daemon/observe.h"
#include "daemon/runtime_detect.h"
#include "daemon/runtime_hosts.h"
#include "datapath/trace.h"

/* One reading of a slot; ts_ns 0: none. */
struct reading {
	uint64_t ts_ns;
	uint32_t generation;
	struct bh_rates_total total;
};

struct bh_rates {
	struct bh_rates_options opt;
	struct bh_source *timer;
	BH_VEC(uint32_t) slots;
	BH_VEC(struct bh_trace_rate) rates; /* of slots, as long */
	BH_VEC(const struct bh_endpoint *) eps;
	struct reading last[BH_TRACE_SLOTS];
	uint64_t now_ns, readings;
	bool has_failed; /* told once */
};

static int add(struct bh_rates *r, const struct bh_endpoint *ep)
{
	const struct bh_trace_rate none = {0};

	if (!ep)
		return 0;
	return bh_vec_push(&r->slots, ep->slot) || bh_vec_push(&r->rates, none) ||
			       bh_vec_push(&r->eps, ep)
		       ? -ENOMEM
		       : 0;
}

/* Every pod once: by its first interface, or by the number that stands for its cgroup. */
static int collect(struct bh_rates *r)
{
	int res = 0;

	r->slots.n = r->rates.n = r->eps.n = 0;
	bh_vec_each (it, &r->opt.d->endpoints.eps)
		if (res == 0 && (*it)->owns_cookie)
			res = add(r, *it);
	for (uint32_t i = BH_MAX_SLOTS; res == 0 && i < BH_TRACE_SLOTS; i++)
		res = add(r, bh_runtime_hosts_at(r->opt.hosts, i));
	return res;
}

static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static struct bh_rates_total total_of(const struct bh_rates *r, const struct bh_endpoint *ep,
				      const struct bh_trace_rate *rate)
{
	struct bh_trace_slot books = bh_trace_books(r->opt.trace, ep->slot);
	struct bh_rates_total t = {0};

	if (rate->generation == ep->generation) {
		t.cpu_ns = rate->cpu_live_ns + rate->cpu_ended_ns;
		t.dns = rate->dns;
	}
	if (books.generation == ep->generation)
		t.execs = books.execs;
	if (ep->slot < BH_MAX_SLOTS)
		t.connections = bh_datapath_flows_ever(r->opt.d->dp, ep->slot);
	return t;
}

int bh_rates_each(struct bh_rates *r, bh_rates_fn *fn, void *arg, struct bh_err *err)
{
	int res = collect(r);

	if (res)
		return bh_fail(err, -res, "no memory for rates");
	if (r->slots.n)
		res = bh_trace_rates(r->opt.trace, r->slots.v, r->slots.n, r->rates.v, err);
	for (size_t i = 0; res == 0 && i < r->slots.n; i++) {
		struct bh_rates_total t = total_of(r, r->eps.v[i], &r->rates.v[i]);

		fn(r->eps.v[i], &t, arg);
	}
	return res;
}

static void feed(const struct bh_endpoint *ep, const struct bh_rates_total *t, void *arg)
{
	struct bh_rates *r = arg;
	struct reading *was = &r->last[ep->slot];
	struct reading now = {r->now_ns, ep->generation, *t};

	if (was->ts_ns && was->generation == now.generation) {
		const struct bh_detection_rate out = {
			.interval_ns = now.ts_ns - was->ts_ns,
			.cpu_ns = since(t->cpu_ns, was->total.cpu_ns),
			.execs = since(t->execs, was->total.execs),
			.connections = since(t->connections, was->total.connections),
			.dns = since(t->dns, was->total.dns),
		};

		bh_detection_feed_rate(r->opt.detection, ep, &out, now.ts_ns,
				       bh_wall_ms(now.ts_ns));
		/* what was missing for a moment is not news when it is there again */
		if (t->cpu_ns < was->total.cpu_ns)
			now.total.cpu_ns = was->total.cpu_ns;
	}
	*was = now;
}

static void on_timer(void *arg)
{
	struct bh_rates *r = arg;
	struct bh_err err;

	if (bh_trace_mode(r->opt.trace) == BH_TRACE_OFF)
		return;
	r->now_ns = bh_datapath_now_ns();
	if (bh_rates_each(r, feed, r, &err) == 0) {
		r->readings++;
		return;
	}
	if (!r->has_failed)
		bh_error("what pods use up is not known: %s", err.text);
	r->has_failed = true;
}

uint64_t bh_rates_readings(const struct bh_rates *r)
{
	return r->readings;
}

int bh_rates_open(const struct bh_rates_options *opt, struct bh_rates **ret, struct bh_err *err)
{
	struct bh_rates *r = calloc(1, sizeof(*r));
	uint64_t ms = opt->d->cfg->runtime.rates_ms;
	int res;

	if (!r)
		return bh_fail(err, ENOMEM, "rates");
	r->opt = *opt;
	res = bh_loop_timer(opt->d->loop, ms, ms, on_timer, r, &r->timer, err);
	if (res < 0) {
		free(r);
		return res;
	}
	*ret = r;
	return 0;
}

void bh_rates_close(struct bh_rates *r)
{
	if (!r)
		return;
	bh_source_free(r->timer);
	bh_vec_done(&r->slots);
	bh_vec_done(&r->rates);
	bh_vec_done(&r->eps);
	free(r);
}
