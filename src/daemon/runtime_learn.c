#include "daemon/runtime_learn.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/observe.h"
#include "daemon/runtime_detect.h"
#include "daemon/runtime_seq.h"
#include "datapath/trace.h"

struct bh_learning {
	struct bh_daemon *d;
	struct bh_trace *trace;
	struct bh_detection *detection;
	struct bh_sequences *sequences;
	struct bh_trace_learn *known[BH_MAX_SLOTS]; /* as fed; owned */
	bool is_full;				    /* told once */
};

static unsigned bits_of(const __u64 *words, size_t n)
{
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++)
		bits += (unsigned)__builtin_popcountll(words[i]);
	return bits;
}

static void feed_calls(struct bh_learning *l, const struct bh_endpoint *ep,
		       const struct bh_detection_calls *calls)
{
	uint64_t ts_ns = bh_datapath_now_ns();

	bh_detection_feed_calls(l->detection, ep, calls, ts_ns, bh_wall_ms(ts_ns));
}

static void feed_new(struct bh_learning *l, const struct bh_endpoint *ep,
		     const struct bh_trace_learn *was, const struct bh_trace_learn *now)
{
	struct bh_detection_calls calls = {.n_words = BH_ARRAY_SIZE(now->calls)};
	__u64 set[BH_ARRAY_SIZE(now->calls)], pairs[BH_ARRAY_SIZE(now->bloom)];
	uint64_t copy[BH_ARRAY_SIZE(now->calls)];
	bool has_pairs;

	for (size_t i = 0; i < BH_ARRAY_SIZE(set); i++)
		copy[i] = set[i] = now->calls[i] & ~was->calls[i];
	for (size_t i = 0; i < BH_ARRAY_SIZE(pairs); i++)
		pairs[i] = now->bloom[i] & ~was->bloom[i];
	has_pairs = bits_of(pairs, BH_ARRAY_SIZE(pairs));
	calls.set = copy;
	calls.all_pairs = bits_of(now->bloom, BH_ARRAY_SIZE(now->bloom));
	calls.new_pairs = has_pairs ? (const uint8_t *)pairs : NULL;
	if (has_pairs || bits_of(set, BH_ARRAY_SIZE(set)))
		feed_calls(l, ep, &calls);
}

/* What the pod was known to do, with room for more; NULL without memory. */
static struct bh_trace_learn *known_of(struct bh_learning *l, const struct bh_endpoint *ep)
{
	struct bh_trace_learn **at = &l->known[ep->slot];

	if (!*at)
		*at = calloc(1, sizeof(**at));
	if (*at && (*at)->generation != ep->generation)
		**at = (struct bh_trace_learn){.generation = ep->generation};
	return *at;
}

static void learn(struct bh_learning *l, const struct bh_endpoint *ep)
{
	struct bh_trace_learn *was = known_of(l, ep), now;
	struct bh_err err;

	if (!was)
		return;
	if (bh_trace_learned(l->trace, ep->slot, ep->generation, &now, &err) < 0) {
		if (!l->is_full)
			bh_error("system calls are not learnt: %s", err.text);
		l->is_full = true;
		return;
	}
	if (now.total == was->total)
		return;
	feed_new(l, ep, was, &now);
	for (size_t i = 0; i < BH_ARRAY_SIZE(now.calls); i++)
		now.calls[i] |= was->calls[i];
	*was = now;
}

/* What is new among it is news first. */
static void learn_again(struct bh_learning *l, const struct bh_endpoint *ep)
{
	uint64_t calls[BH_TRACE_CALLS / 64];
	const struct bh_detection_calls again = {
		.set = calls, .n_words = BH_ARRAY_SIZE(calls), .is_repeat = true};
	struct bh_trace_learn *was = known_of(l, ep), now;

	if (!was || !bh_trace_take_calls(l->trace, ep->slot, ep->generation, calls))
		return;
	now = *was;
	for (size_t i = 0; i < BH_ARRAY_SIZE(calls); i++)
		now.calls[i] |= calls[i];
	feed_new(l, ep, was, &now);
	*was = now;
	feed_calls(l, ep, &again);
}

static void learn_waiting(struct bh_learning *l)
{
	struct bh_err err;

	if (bh_trace_learn_waiting(l->trace, &err) < 0)
		bh_error("tracing: %s", err.text);
}

void bh_learning_again(struct bh_learning *l)
{
	learn_waiting(l);
	bh_vec_each (it, &l->d->endpoints.eps) {
		if ((*it)->owns_cookie)
			learn_again(l, *it);
	}
}

static struct bh_moment moment(void)
{
	uint64_t now_ns = bh_datapath_now_ns();

	return (struct bh_moment){now_ns, bh_wall_ms(now_ns)};
}

void bh_learning_begin(struct bh_learning *l)
{
	enum bh_trace_mode mode = bh_trace_mode(l->trace);

	if (mode >= BH_TRACE_WATCH)
		bh_sequences_begin(l->sequences, moment());
	bh_vec_each (it, &l->d->endpoints.eps) {
		const struct bh_trace_learn *known = l->known[(*it)->slot];

		if (mode == BH_TRACE_LEARN && (*it)->owns_cookie &&
		    (!known || known->generation != (*it)->generation))
			learn(l, *it);
	}
}

void bh_learning_read(struct bh_learning *l)
{
	if (bh_trace_mode(l->trace) >= BH_TRACE_WATCH)
		bh_sequences_read(l->sequences, moment());
}

void bh_learning_tick(struct bh_learning *l)
{
	enum bh_trace_mode mode = bh_trace_mode(l->trace);

	if (mode >= BH_TRACE_WATCH) {
		bh_sequences_read(l->sequences, moment());
		bh_sequences_tick(l->sequences, moment());
	}
	if (mode != BH_TRACE_LEARN)
		return;
	learn_waiting(l);
	bh_vec_each (it, &l->d->endpoints.eps) {
		if ((*it)->owns_cookie)
			learn(l, *it);
	}
}

void bh_learning_forget(struct bh_learning *l, uint32_t slot)
{
	free(l->known[slot]);
	l->known[slot] = NULL;
	bh_trace_unlearn(l->trace, slot);
	bh_sequences_forget(l->sequences, slot, moment());
}

int bh_learning_open(const struct bh_learning_options *opt, struct bh_learning **ret,
		     struct bh_err *err)
{
	const struct bh_sequences_options seq = {opt->trace, opt->detection, opt->baselines,
						 &opt->d->endpoints};
	struct bh_learning *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return bh_fail(err, ENOMEM, "learning");
	l->d = opt->d;
	l->trace = opt->trace;
	l->detection = opt->detection;
	r = bh_sequences_open(&seq, &l->sequences, err);
	if (r < 0) {
		bh_learning_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void bh_learning_close(struct bh_learning *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < BH_ARRAY_SIZE(l->known); i++)
		free(l->known[i]);
	bh_sequences_close(l->sequences);
	free(l);
}
