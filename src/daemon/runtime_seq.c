#include "daemon/runtime_seq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/vec.h"
#include "daemon/baselines.h"
#include "daemon/runtime_activity.h"
#include "daemon/runtime_detect.h"
#include "daemon/whose.h"
#include "datapath/trace.h"
#include "detect/baseline_seq.h"
#include "endpoint/table.h"

#define LIMIT	    12 /* unknown grams of 64: one new call alone makes seven */
#define MODELS	    2  /* trained ones that are kept: four megabytes at most, mostly a tenth */
#define WINDOWS_MAX 64 /* in one turn of the loop */

BH_VEC_TYPE(gram_list, struct bh_gram);

/* What the kernel was told about a slot. */
struct asked {
	uint32_t generation, flags; /* BH_SEQ_* */
	uint64_t workload;
	uint32_t version;		    /* of the baseline's sequences */
	uint64_t told[BH_TRACE_CALLS / 64]; /* system calls that the detectors heard of */
};

struct model {
	uint64_t workload, used; /* used 0: none */
	uint32_t version;
	struct bh_seq *seq; /* NULL: of this version none can be made */
};

struct bh_sequences {
	struct bh_sequences_options opt;
	struct asked asked[BH_MAX_SLOTS];
	struct model models[MODELS];
	uint64_t clock;		/* of models */
	struct gram_list grams; /* of the slot that is being fetched */
	struct bh_gram_key of;
	struct bh_moment now;
	bool is_full; /* told once */
};

/* ---- whose ---- */

static const struct bh_endpoint *tenant(const struct bh_sequences *q, uint32_t slot,
					uint32_t generation)
{
	const struct bh_endpoint *ep =
		slot < BH_MAX_SLOTS ? bh_endpoint_table_slot(q->opt.endpoints, slot) : NULL;

	return ep && ep->generation == generation ? ep : NULL;
}

static struct bh_base_sighting sighting(const struct bh_sequences *q, const struct bh_endpoint *ep,
					const struct bh_subject *s)
{
	return (struct bh_base_sighting){.pod_id = s->pod_id,
					 .ts_ns = q->now.ts_ns,
					 .now_s = q->now.wall_ms / 1000,
					 .is_suspect =
						 bh_detection_is_suspect(q->opt.detection, ep)};
}

/* ---- counted grams ---- */

static void flush(struct bh_sequences *q)
{
	const struct bh_endpoint *ep = tenant(q, q->of.slot, q->of.generation);
	struct bh_base_sighting s;
	struct bh_subject subject;
	struct bh_whose whose;

	if (ep && q->grams.n) {
		bh_detection_subject(q->opt.detection, ep,
				     &(struct bh_detection_moment){q->now.ts_ns, q->now.wall_ms},
				     &whose, &subject);
		s = sighting(q, ep, &subject);
		bh_baselines_see_grams(q->opt.baselines, &subject, q->grams.v, q->grams.n, &s);
	}
	q->grams.n = 0;
}

static void on_gram(const struct bh_gram_key *key, uint64_t count, void *arg)
{
	struct bh_sequences *q = arg;
	struct bh_gram g = {.gram = key->gram,
			    .count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX};

	if (key->slot != q->of.slot || key->generation != q->of.generation)
		flush(q);
	q->of = *key;
	if (bh_vec_push(&q->grams, g))
		bh_error("sequences of system calls are lost: no memory");
}

static void fetch(struct bh_sequences *q)
{
	struct bh_err err = {0};

	memset(&q->of, 0, sizeof(q->of));
	if (bh_trace_grams(q->opt.trace, on_gram, q, &err) < 0)
		bh_error("sequences of system calls: %s", err.text);
	flush(q);
}

/* ---- what the kernel is asked ---- */

/* Counted while the workload is learnt, judged when it is known well enough. */
static uint32_t flags_for(const struct bh_sequences *q, const struct bh_baseline *b)
{
	if (b && b->is_closed)
		return bh_baseline_seq_lacks(b) ? 0 : BH_SEQ_JUDGE;
	return bh_baselines_is_on(q->opt.baselines) ? BH_SEQ_COUNT : 0;
}

static void ask(struct bh_sequences *q, const struct bh_endpoint *ep, uint32_t flags,
		const struct bh_baseline *b)
{
	BH_CLEANUP(bh_freep) struct bh_trace_seq *want = calloc(1, sizeof(*want));
	uint64_t words[BH_SEQ_WORDS] = {0};
	struct bh_err err = {0};

	if (!want)
		return;
	if (!flags) {
		bh_trace_seq_unset(q->opt.trace, ep->slot);
		return;
	}
	want->generation = ep->generation;
	want->flags = flags;
	want->limit = LIMIT;
	if (flags & BH_SEQ_JUDGE)
		bh_grams_filter(&b->seq->grams, words);
	memcpy(want->word, words, sizeof(words));
	if (bh_trace_seq_set(q->opt.trace, ep->slot, want, &err) == 0)
		return;
	if (!q->is_full)
		bh_error("the order of system calls is not looked at: %s", err.text);
	q->is_full = true;
}

static void look_at(struct bh_sequences *q, const struct bh_endpoint *ep)
{
	struct asked *was = &q->asked[ep->slot], now = {.generation = ep->generation};
	const struct bh_baseline *b;
	struct bh_subject subject;
	struct bh_whose whose;

	bh_detection_subject(q->opt.detection, ep,
			     &(struct bh_detection_moment){q->now.ts_ns, q->now.wall_ms}, &whose,
			     &subject);
	b = bh_baselines_find(q->opt.baselines, &subject);
	now.flags = flags_for(q, b);
	now.workload = subject.workload;
	now.version = now.flags & BH_SEQ_JUDGE ? b->seq->version : 0;
	if (was->generation == now.generation && was->flags == now.flags &&
	    was->workload == now.workload && was->version == now.version)
		return;
	/* a former daemon may have asked */
	if (now.flags || was->flags || was->generation != now.generation)
		ask(q, ep, now.flags, b);
	*was = now;
}

void bh_sequences_tick(struct bh_sequences *q, struct bh_moment now)
{
	q->now = now;
	fetch(q);
	bh_vec_each (it, &q->opt.endpoints->eps) {
		if ((*it)->owns_cookie && (*it)->slot < BH_MAX_SLOTS)
			look_at(q, *it);
	}
}

void bh_sequences_begin(struct bh_sequences *q, struct bh_moment now)
{
	q->now = now;
	bh_vec_each (it, &q->opt.endpoints->eps) {
		if ((*it)->owns_cookie && (*it)->slot < BH_MAX_SLOTS &&
		    q->asked[(*it)->slot].generation != (*it)->generation)
			look_at(q, *it);
	}
}

/* ---- windows ---- */

static struct bh_seq *model_for(struct bh_sequences *q, const struct bh_baseline *b)
{
	struct model *m = &q->models[0];
	struct bh_err err = {0};

	for (size_t i = 0; i < MODELS; i++) {
		struct model *c = &q->models[i];

		if (c->used && c->workload == b->workload && c->version == b->seq->version) {
			c->used = ++q->clock;
			return c->seq;
		}
		if (c->used < m->used)
			m = c;
	}
	bh_seq_freep(&m->seq);
	*m = (struct model){
		.workload = b->workload, .used = ++q->clock, .version = b->seq->version};
	if (bh_baseline_model(b, &m->seq, &err) < 0)
		bh_error("baseline of %s/%s: %s", b->ns, b->owner, err.text);
	return m->seq;
}

static struct bh_activity activity_of(const struct bh_trace_window *w, enum bh_act kind)
{
	struct bh_activity a = {.kind = kind, .ts_ns = w->ts_ns};

	a.process = a.parent = bh_act_nobody;
	a.process.pid = w->pid;
	a.process.uid = w->uid;
	a.process.exec_id = w->exec_id;
	a.process.comm = w->comm;
	a.process.path = w->path;
	return a;
}

/* Calls that the pod never made, as far as the detectors know. */
static void feed_calls(struct bh_sequences *q, const struct bh_endpoint *ep,
		       const struct bh_trace_window *w, const struct bh_trace *t)
{
	struct bh_activity a = activity_of(w, BH_ACT_SYSCALLS);
	uint64_t set[BH_TRACE_CALLS / 64] = {0}, *told = q->asked[ep->slot].told, any = 0;

	for (size_t i = 0; i < t->n; i++)
		set[t->calls[i] / 64] |= 1ull << (t->calls[i] % 64);
	for (size_t i = 0; i < BH_ARRAY_SIZE(set); i++) {
		set[i] &= ~told[i];
		told[i] |= set[i];
		any |= set[i];
	}
	a.u.syscalls.set = set;
	a.u.syscalls.n_words = BH_ARRAY_SIZE(set);
	if (any)
		bh_detection_feed_activity(q->opt.detection, ep, &a, q->now.wall_ms);
}

/* Each order is told once: from now on the pod's filter knows the window's. */
static void know(struct bh_sequences *q, const struct bh_endpoint *ep, const struct bh_trace *t)
{
	BH_CLEANUP(bh_freep) struct bh_trace_seq *s = calloc(1, sizeof(*s));
	struct bh_err err = {0};
	uint64_t gram = 0;

	if (!s || bh_trace_seq_get(q->opt.trace, ep->slot, s) || s->generation != ep->generation)
		return;
	for (size_t i = 0; i < t->n; i++) {
		gram = bh_gram_push(gram, t->calls[i]);
		if (i + 1 >= BH_GRAM_LEN || t->n < BH_SEQ_WINDOW)
			s->word[bh_gram_word(bh_gram_hash(gram))] |=
				bh_gram_bits(bh_gram_hash(gram));
	}
	bh_trace_seq_set(q->opt.trace, ep->slot, s, &err);
}

static void judge(struct bh_sequences *q, const struct bh_endpoint *ep,
		  const struct bh_trace_window *w, const struct bh_trace *t)
{
	struct bh_activity a = activity_of(w, BH_ACT_SEQUENCE);
	const struct bh_baseline *b;
	struct bh_subject subject;
	struct bh_seq_score score;
	struct bh_seq *m;
	struct bh_whose whose;

	bh_detection_subject(q->opt.detection, ep,
			     &(struct bh_detection_moment){w->ts_ns, q->now.wall_ms}, &whose,
			     &subject);
	b = bh_baselines_find(q->opt.baselines, &subject);
	m = b && !bh_baseline_seq_lacks(b) ? model_for(q, b) : NULL;
	if (!m)
		return;
	feed_calls(q, ep, w, t);
	bh_seq_score(m, t, &score);
	a.u.sequence.score = score.total;
	a.u.sequence.threshold = bh_seq_threshold(m, 0.01);
	a.u.sequence.calls = (uint32_t)t->n;
	a.u.sequence.unknown = w->n_unknown;
	bh_debug("sequence: pod=%s/%s pid=%u score=%.1f threshold=%.1f calls=%zu", ep->ns, ep->name,
		 w->pid, score.total, a.u.sequence.threshold, t->n);
	bh_detection_feed_activity(q->opt.detection, ep, &a, q->now.wall_ms);
	know(q, ep, t);
}

static void on_window(const void *record, size_t len, void *arg)
{
	struct bh_sequences *q = arg;
	const struct bh_endpoint *ep;
	struct bh_base_sighting s;
	uint16_t calls[BH_SEQ_WINDOW];
	struct bh_trace t = {.calls = calls};
	struct bh_trace_window w;
	struct bh_subject subject;
	struct bh_whose whose;

	if (len != sizeof(w))
		return;
	memcpy(&w, record, sizeof(w));
	w.comm[sizeof(w.comm) - 1] = w.path[sizeof(w.path) - 1] = '\0';
	ep = w.version == BH_TRACE_VERSION ? tenant(q, w.slot, w.generation) : NULL;
	if (!ep)
		return;
	t.n = w.n < BH_SEQ_WINDOW ? w.n : BH_SEQ_WINDOW;
	for (size_t i = 0; i < t.n; i++)
		calls[i] = w.call[(w.n - t.n + i) % BH_SEQ_WINDOW] % BH_TRACE_CALLS;
	if (w.n_unknown) {
		judge(q, ep, &w, &t);
		return;
	}
	bh_detection_subject(q->opt.detection, ep,
			     &(struct bh_detection_moment){w.ts_ns, q->now.wall_ms}, &whose,
			     &subject);
	s = sighting(q, ep, &subject);
	bh_baselines_see_window(q->opt.baselines, &subject, &t, &s);
}

void bh_sequences_read(struct bh_sequences *q, struct bh_moment now)
{
	q->now = now;
	bh_trace_windows(q->opt.trace, WINDOWS_MAX, on_window, q);
}

void bh_sequences_forget(struct bh_sequences *q, uint32_t slot, struct bh_moment now)
{
	bh_sequences_read(q, now);
	if (q->asked[slot].flags & BH_SEQ_COUNT)
		fetch(q);
	bh_trace_seq_unset(q->opt.trace, slot);
	memset(&q->asked[slot], 0, sizeof(q->asked[slot]));
}

int bh_sequences_open(const struct bh_sequences_options *opt, struct bh_sequences **ret,
		      struct bh_err *err)
{
	struct bh_sequences *q = calloc(1, sizeof(*q));

	if (!q)
		return bh_fail(err, ENOMEM, "sequences");
	q->opt = *opt;
	*ret = q;
	return 0;
}

void bh_sequences_close(struct bh_sequences *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < MODELS; i++)
		bh_seq_free(q->models[i].seq);
	bh_vec_done(&q->grams);
	free(q);
}
