#include "detect/baseline_seq.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNSEEN	   0.02
#define MIN_STARTS 3
#define MIN_UNITS  12
#define SLICE_NS   (600ull * 1000000000ull)

static const char *const kinds[BH_BASE_KINDS] = {"exec", "chain",   "edge", "listen",
						 "path", "syscall", "use"};

const char *bh_base_kind_name(enum bh_base_kind kind)
{
	return kinds[kind];
}

/* Nobody is in a slice any more. */
static void forget_slices(struct bh_baseline *b)
{
	struct bh_map_entry *e;
	size_t pos;

	memset(b->unit_of, 0, sizeof(b->unit_of));
	for (int i = 0; i < BH_BASE_KINDS; i++) {
		for (pos = 0; (e = bh_map_next(&b->facts[i], &pos));) {
			struct bh_base_fact *f = e->value;

			memset(f->last_unit, 0, sizeof(f->last_unit));
		}
	}
}

void bh_baseline_set_options(struct bh_baseline *b, const struct bh_base_options *opt)
{
	uint64_t slice_ns = b->opt.slice_ns;

	b->opt = *opt;
	if (b->opt.unseen <= 0)
		b->opt.unseen = UNSEEN;
	if (!b->opt.min_starts)
		b->opt.min_starts = MIN_STARTS;
	if (!b->opt.min_units)
		b->opt.min_units = MIN_UNITS;
	if (!b->opt.slice_ns)
		b->opt.slice_ns = SLICE_NS;
	if (slice_ns && slice_ns != b->opt.slice_ns)
		forget_slices(b);
}

void bh_baseline_resume(struct bh_baseline *b, uint64_t now_ns)
{
	for (int i = 0; i < BH_BASE_REPLICAS; i++) {
		if (b->unit_of[i] > now_ns / b->opt.slice_ns + 1) {
			forget_slices(b);
			return;
		}
	}
}

int bh_baseline_new(const struct bh_subject *s, const struct bh_base_options *opt,
		    struct bh_baseline **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = calloc(1, sizeof(*b));
	int i;

	if (!b)
		return bh_fail(err, ENOMEM, "baseline");
	for (i = 0; i < BH_BASE_KINDS; i++)
		bh_map_init(&b->facts[i], free);
	b->ns = strdup(s->ns);
	b->owner_kind = strdup(s->owner_kind);
	b->owner = strdup(s->owner);
	b->container = strdup(s->container);
	b->image_digest = strdup(s->image_digest);
	if (!b->ns || !b->owner_kind || !b->owner || !b->container || !b->image_digest)
		return bh_fail(err, ENOMEM, "baseline");
	b->is_guessed = s->is_guessed;
	b->workload = bh_subject_workload(s);
	bh_baseline_set_options(b, opt ? opt : &(struct bh_base_options){0});
	b->threshold = BH_BASE_LEAST_THRESHOLD;
	*ret = BH_TAKE(b);
	return 0;
}

void bh_baseline_free(struct bh_baseline *b)
{
	int i;

	if (!b)
		return;
	for (i = 0; i < BH_BASE_KINDS; i++)
		bh_map_done(&b->facts[i]);
	bh_base_seq_free(b->seq);
	free(b->bloom);
	free(b->ns);
	free(b->owner_kind);
	free(b->owner);
	free(b->container);
	free(b->image_digest);
	free(b);
}

void bh_baseline_freep(struct bh_baseline **b)
{
	bh_baseline_free(*b);
	*b = NULL;
}

/* ---- estimates ---- */

double bh_baseline_unseen(const struct bh_baseline *b, enum bh_base_kind kind)
{
	double once = 0, twice = 0, all = 0, rest;
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&b->facts[kind], &pos))) {
		const struct bh_base_fact *f = e->value;

		once += f->units == 1;
		twice += f->units == 2;
		all += f->units;
	}
	if (all == 0)
		return b->units >= b->opt.min_units ? 0 : 1;
	if (once == 0)
		return 0;
	rest = (b->units > 1 ? b->units - 1.0 : 0.0) * once;
	return once / all * (rest > 0 ? rest / (rest + 2 * twice) : 1);
}

/* Half of what an intruder does is new to a workload, by assumption; what is new in its normal life
 * is what Good and Turing say. */
double bh_baseline_weight(const struct bh_baseline *b, enum bh_base_kind kind)
{
	double unseen = bh_baseline_unseen(b, kind), weight;

	if (unseen < 0.002)
		unseen = 0.002;
	weight = log(0.5 / unseen);
	if (weight < 0)
		return 0;
	return weight > BH_BASE_MOST_WEIGHT ? BH_BASE_MOST_WEIGHT : weight;
}

/* A workload whose calls come in too many orders is not judged by them, and does not wait. */
static const char *sequences_wait(const struct bh_baseline *b, char *out, size_t size)
{
	double unseen = b->seq && !b->seq->grams.refused ? bh_grams_unseen(&b->seq->grams) : 0;

	if (unseen <= b->opt.unseen)
		return NULL;
	snprintf(out, size, "%.1f %% of the orders of its calls are still to come, %.1f %% may be",
		 unseen * 100, b->opt.unseen * 100);
	return out;
}

static bool knows_nothing(const struct bh_baseline *b)
{
	for (int i = 0; i < BH_BASE_KINDS; i++)
		if (b->facts[i].count)
			return false;
	return true;
}

const char *bh_baseline_waits_for(const struct bh_baseline *b, char *out, size_t size)
{
	int i;

	/* pods whose image is still being pulled live, too */
	if (knows_nothing(b)) {
		snprintf(out, size, "nothing was seen of it yet");
		return out;
	}

	if (b->starts < b->opt.min_starts) {
		snprintf(out, size, "%u of %u starts seen", b->starts, b->opt.min_starts);
		return out;
	}
	if (b->units < b->opt.min_units) {
		snprintf(out, size, "%u of %u slices of time seen", b->units, b->opt.min_units);
		return out;
	}
	if (b->overflow) {
		snprintf(out, size, "%llu keys found no room; close it by hand",
			 (unsigned long long)b->overflow);
		return out;
	}
	for (i = 0; i < BH_BASE_KINDS; i++) {
		double unseen = bh_baseline_unseen(b, (enum bh_base_kind)i);

		if (unseen <= b->opt.unseen)
			continue;
		snprintf(out, size, "%.1f %% of its %s keys are still to come, %.1f %% may be",
			 unseen * 100, kinds[i], b->opt.unseen * 100);
		return out;
	}
	return sequences_wait(b, out, size);
}

void bh_baseline_close(struct bh_baseline *b)
{
	uint32_t n = b->n_held_out < BH_BASE_HELD ? b->n_held_out : BH_BASE_HELD, i;
	double most = 0;

	for (i = 0; i < n; i++) {
		if (b->held_out[i] > most)
			most = b->held_out[i];
	}
	b->threshold = fmax(BH_BASE_LEAST_THRESHOLD, 1.5 * most + 1);
	b->is_closed = true;
}

bool bh_baseline_try_close(struct bh_baseline *b)
{
	char why[160];

	if (!b->is_closed && !bh_baseline_waits_for(b, why, sizeof(why)))
		bh_baseline_close(b);
	return b->is_closed;
}

void bh_baseline_confirm_all(struct bh_baseline *b)
{
	struct bh_map_entry *e;
	struct bh_gram *g;
	size_t pos;
	int i;

	for (i = 0; i < BH_BASE_KINDS; i++) {
		for (pos = 0; (e = bh_map_next(&b->facts[i], &pos));)
			((struct bh_base_fact *)e->value)->is_confirmed = true;
	}
	for (pos = 0; b->seq && (g = bh_grams_next(&b->seq->grams, &pos));)
		g->is_confirmed = true;
	if (b->seq)
		b->seq->version++;
}

void bh_baseline_forget_replicas(struct bh_baseline *b)
{
	struct bh_map_entry *e;
	struct bh_gram *g;
	size_t pos;
	int i;

	memset(b->replica, 0, sizeof(b->replica));
	b->suspects = 0;
	forget_slices(b);
	for (i = 0; i < BH_BASE_KINDS; i++) {
		for (pos = 0; (e = bh_map_next(&b->facts[i], &pos));)
			((struct bh_base_fact *)e->value)->sound = 0;
	}
	for (pos = 0; b->seq && (g = bh_grams_next(&b->seq->grams, &pos));)
		g->seen_by = 0;
}

/* ---- learning ---- */

static uint32_t slice_of(const struct bh_baseline *b, const struct bh_base_sighting *s)
{
	return (uint32_t)(s->ts_ns / b->opt.slice_ns) + 1;
}

/* A free place, or that of who was not seen for a whole slice, longest ago; -1: all live. */
static int free_place(const struct bh_baseline *b, uint32_t slice)
{
	int best = 0;

	for (int i = 0; i < BH_BASE_REPLICAS; i++) {
		if (!b->replica[i])
			return i;
		if (b->unit_of[i] < b->unit_of[best])
			best = i;
	}
	return b->unit_of[best] + 1 < slice ? best : -1;
}

int bh_baseline_replica(struct bh_baseline *b, const struct bh_base_sighting *s)
{
	int i;

	for (i = 0; i < BH_BASE_REPLICAS; i++) {
		if (b->replica[i] == s->pod_id)
			return i;
	}
	i = free_place(b, slice_of(b, s));
	if (i < 0)
		return (int)(bh_hash(&s->pod_id, sizeof(s->pod_id), 0) % BH_BASE_REPLICAS);
	b->starts++;
	b->replica[i] = s->pod_id;
	b->unit_of[i] = 0;
	b->suspects &= (uint8_t) ~(1u << i);
	return i;
}

/* A replica enters a slice: what was new to it in the one before is what normal life brings. The
 * first half of learning says nothing about that. */
static void begin_unit(struct bh_baseline *b, int replica, uint32_t slice)
{
	if (b->unit_of[replica] && b->units >= b->opt.min_units / 2)
		b->held_out[b->n_held_out++ % BH_BASE_HELD] = b->unit_score[replica];
	b->unit_score[replica] = 0;
	b->unit_of[replica] = slice;
	b->units++;
	bh_baseline_try_close(b);
}

/* The replica's slice; a new one begins with what is seen first in it. Returns the replica. */
static int enter_slice(struct bh_baseline *b, const struct bh_base_sighting *s)
{
	uint32_t slice = slice_of(b, s);
	int replica = bh_baseline_replica(b, s);

	if (slice > b->unit_of[replica])
		begin_unit(b, replica, slice);
	if (s->is_suspect)
		b->suspects |= (uint8_t)(1u << replica);
	return replica;
}

void bh_baseline_live(struct bh_baseline *b, const struct bh_base_sighting *s)
{
	if (!b->is_closed)
		enter_slice(b, s);
}

static struct bh_base_fact *fact_add(struct bh_baseline *b, enum bh_base_kind kind,
				     const char *text)
{
	struct bh_base_fact *f = calloc(1, sizeof(*f));

	if (f && bh_map_set_s(&b->facts[kind], text, f)) {
		free(f);
		return NULL;
	}
	return f;
}

/* What is seen while a finding is open counts for the estimate, and confirms nothing. */
static void count_sighting(struct bh_baseline *b, struct bh_base_fact *f, int replica,
			   bool is_counted)
{
	uint32_t slice = b->unit_of[replica];
	uint8_t bit = (uint8_t)(1u << replica);

	if (is_counted) {
		f->units += f->last_unit[replica] != slice;
		f->last_unit[replica] = slice;
	}
	if ((b->suspects | f->sound) & bit)
		return;
	f->sound |= bit;
	f->replicas += f->replicas < UINT8_MAX;
	f->is_confirmed |= f->replicas > 1;
}

int bh_baseline_see(struct bh_baseline *b, enum bh_base_kind kind, const char *text,
		    const struct bh_base_sighting *s)
{
	struct bh_base_fact *f;
	bool is_news;
	int replica;

	if (b->is_closed)
		return 0;
	replica = enter_slice(b, s); /* which may close it, after this last key */
	f = bh_map_get_s(&b->facts[kind], text);
	is_news = !f;
	if (is_news && b->facts[kind].count >= BH_BASE_MAX_KEYS) {
		b->overflow++;
		return 0;
	}
	if (is_news) {
		if (knows_nothing(b)) /* time before the beginning is no time seen */
			b->units = 1;
		b->unit_score[replica] += bh_baseline_weight(b, kind);
		f = fact_add(b, kind, text);
		if (!f)
			return -ENOMEM;
		f->first_s = f->last_s = s->now_s;
	}
	/* what is told late may be older */
	f->first_s = s->now_s < f->first_s ? s->now_s : f->first_s;
	f->last_s = s->now_s > f->last_s ? s->now_s : f->last_s;
	count_sighting(b, f, replica, is_news || !s->is_remembered);
	return 0;
}

int bh_baseline_see_bloom(struct bh_baseline *b, const uint8_t bits[BH_BASE_BLOOM])
{
	size_t i;

	if (b->is_closed)
		return 0;
	if (!b->bloom)
		b->bloom = calloc(1, BH_BASE_BLOOM);
	if (!b->bloom)
		return -ENOMEM;
	for (i = 0; i < BH_BASE_BLOOM; i++)
		b->bloom[i] |= bits[i];
	return 0;
}

uint32_t bh_bigram_bit(uint16_t first, uint16_t second)
{
	return ((uint32_t)first * 40503u + (uint32_t)second * 2654435761u) >> 16;
}

/* Pairs of a suspect are not learnt: bits cannot be unconfirmed. */
static int see_pairs(struct bh_baseline *b, const struct bh_activity *a,
		     const struct bh_base_sighting *s)
{
	size_t i;

	if (b->is_closed || s->is_suspect || (b->suspects & (1u << bh_baseline_replica(b, s))))
		return 0;
	if (a->u.syscalls.new_pairs)
		return bh_baseline_see_bloom(b, a->u.syscalls.new_pairs);
	if (a->u.syscalls.n_bigrams && !b->bloom)
		b->bloom = calloc(1, BH_BASE_BLOOM);
	if (a->u.syscalls.n_bigrams && !b->bloom)
		return -ENOMEM;
	for (i = 0; i < a->u.syscalls.n_bigrams; i++) {
		uint32_t bit =
			bh_bigram_bit(a->u.syscalls.bigrams[i][0], a->u.syscalls.bigrams[i][1]);

		b->bloom[bit / 8] |= (uint8_t)(1u << (bit % 8));
	}
	return 0;
}

static int see_syscalls(struct bh_baseline *b, const struct bh_activity *a,
			const struct bh_base_sighting *s)
{
	size_t i;
	char text[24];
	int r = 0;

	for (i = 0; !r && i < a->u.syscalls.n_words * 64; i++) {
		if (!(a->u.syscalls.set[i / 64] & (1ull << (i % 64))))
			continue;
		snprintf(text, sizeof(text), "%zu", i);
		r = bh_baseline_see(b, BH_BASE_SYSCALL, text, s);
	}
	return r ? r : see_pairs(b, a, s);
}

int bh_baseline_observe(struct bh_baseline *b, const struct bh_activity *a,
			const struct bh_base_sighting *s)
{
	struct bh_base_key keys[BH_BASE_KEYS_MAX];
	size_t i, n;
	int r = 0;

	if (b->is_closed)
		return 0;
	if (a->kind == BH_ACT_SYSCALLS)
		return see_syscalls(b, a, s);
	n = bh_baseline_keys(a, keys);
	for (i = 0; !r && i < n; i++)
		r = bh_baseline_see(b, keys[i].kind, keys[i].text, s);
	return r;
}

/* ---- asking ---- */

enum bh_base_answer bh_baseline_has(const struct bh_baseline *b, enum bh_base_kind kind,
				    const char *text)
{
	const struct bh_base_fact *f = bh_map_get_s(&b->facts[kind], text);

	if (!f)
		return BH_BASE_NEW;
	return f->is_confirmed ? BH_BASE_KNOWN : BH_BASE_UNCONFIRMED;
}

bool bh_baseline_has_bigram(const struct bh_baseline *b, uint16_t first, uint16_t second)
{
	uint32_t bit = bh_bigram_bit(first, second);

	return b->bloom && (b->bloom[bit / 8] & (1u << (bit % 8)));
}

uint32_t bh_baseline_new_bits(const struct bh_baseline *b, const uint8_t bits[BH_BASE_BLOOM])
{
	uint32_t n = 0;

	for (size_t i = 0; b->bloom && i < BH_BASE_BLOOM; i++)
		n += (uint32_t)__builtin_popcount(bits[i] & (uint8_t)~b->bloom[i]);
	return n;
}

/* ---- merging ---- */

static int merge_fact(struct bh_baseline *b, enum bh_base_kind kind, const char *text,
		      const struct bh_base_fact *from)
{
	struct bh_base_fact *f = bh_map_get_s(&b->facts[kind], text);
	uint32_t replicas;

	if (!f && b->facts[kind].count >= BH_BASE_MAX_KEYS) {
		b->overflow++;
		return 0;
	}
	if (!f) {
		f = fact_add(b, kind, text);
		if (!f)
			return -ENOMEM;
		f->first_s = from->first_s;
	}
	replicas = (uint32_t)f->replicas + from->replicas;
	f->replicas = (uint8_t)(replicas > UINT8_MAX ? UINT8_MAX : replicas);
	f->units += from->units;
	f->is_confirmed |= from->is_confirmed || f->replicas > 1;
	f->first_s = from->first_s < f->first_s ? from->first_s : f->first_s;
	f->last_s = from->last_s > f->last_s ? from->last_s : f->last_s;
	return 0;
}

int bh_baseline_merge(struct bh_baseline *b, const struct bh_baseline *from, struct bh_err *err)
{
	struct bh_map_entry *e;
	size_t pos;
	int i, r = 0;

	if (b->workload != from->workload)
		return bh_fail(err, EINVAL, "the baseline is of %s %s/%s container '%s', not of %s",
			       from->owner_kind, from->ns, from->owner, from->container, b->owner);
	for (i = 0; !r && i < BH_BASE_KINDS; i++) {
		for (pos = 0; !r && (e = bh_map_next(&from->facts[i], &pos));)
			r = merge_fact(b, (enum bh_base_kind)i, e->key, e->value);
	}
	if (!r && from->bloom) {
		bool was_closed = b->is_closed;

		b->is_closed = false;
		r = bh_baseline_see_bloom(b, from->bloom);
		b->is_closed = was_closed;
	}
	if (!r && from->seq)
		r = bh_base_seq_merge(b, from->seq);
	if (r)
		return bh_fail(err, ENOMEM, "baseline");
	b->starts += from->starts;
	b->units += from->units;
	b->overflow += from->overflow;
	b->is_closed |= from->is_closed;
	b->threshold = fmax(b->threshold, from->threshold);
	return 0;
}
