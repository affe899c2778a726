/* rows_base.c - what a workload never did while it was learnt. Silent until its baseline is closed.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "detect/baseline.h"
#include "detect/rows.h"

#define SCORE_HALF_NS (600 * BH_S)
#define NEWS_NS	      (60 * BH_S)

static const struct bh_baseline *closed(const struct bh_judge *j)
{
	return j->pod->baseline && j->pod->baseline->is_closed ? j->pod->baseline : NULL;
}

bool bh_judge_baseline_has(const struct bh_judge *j, const char *use)
{
	const struct bh_baseline *b = closed(j);

	return b && bh_baseline_has(b, BH_BASE_USE, use) == BH_BASE_KNOWN;
}

static bool raise_key(struct bh_judge *j, enum bh_base_kind kind, const char *what)
{
	const struct bh_baseline *b = closed(j);
	struct bh_base_key keys[BH_BASE_KEYS_MAX];
	enum bh_base_answer answer;
	size_t i, n = b ? bh_baseline_keys(j->a, keys) : 0;

	for (i = 0; i < n; i++) {
		if (keys[i].kind != kind)
			continue;
		answer = bh_baseline_has(b, kind, keys[i].text);
		if (answer == BH_BASE_KNOWN)
			return false;
		/* one replica did it before, so it is new only to the others */
		if (answer == BH_BASE_UNCONFIRMED)
			j->severity = BH_SEVERITY_INFO;
		else if (bh_judge_is_tainted(j) && j->severity < BH_SEVERITY_HIGH)
			j->severity++;
		bh_judge_key(j, "%s", keys[i].text);
		bh_judge_say(j, "%s: %s", what, keys[i].text);
		return true;
	}
	return false;
}

bool bh_row_new_exec(struct bh_judge *j)
{
	if (!raise_key(j, BH_BASE_EXEC, "the workload never executed this"))
		return false;
	j->pod->news_ns = j->a->ts_ns;
	return true;
}

/* Whoever enters from outside is no program of the workload's: what he starts is judged by itself.
 */
bool bh_row_new_chain(struct bh_judge *j)
{
	if (j->a->process.flags & BH_PROC_FROM_OUTSIDE)
		return false;
	return raise_key(j, BH_BASE_CHAIN, "this program never started that one here");
}

bool bh_row_new_edge(struct bh_judge *j)
{
	return raise_key(j, BH_BASE_EDGE, "the workload never had this connection");
}

bool bh_row_new_port(struct bh_judge *j)
{
	return raise_key(j, BH_BASE_LISTEN, "the workload never listened here");
}

bool bh_row_new_path(struct bh_judge *j)
{
	return raise_key(j, BH_BASE_PATH, "the workload never wrote there");
}

/* ---- system calls ---- */

struct novelty {
	size_t calls;	/* system calls that are new */
	size_t bigrams; /* of those reported */
	char list[96];	/* numbers of the first few */
};

static struct novelty novelty_of(const struct bh_baseline *b, const struct bh_activity *a)
{
	struct novelty v = {0};
	size_t i, at = 0;
	char text[24];

	for (i = 0; i < a->u.syscalls.n_words * 64; i++) {
		if (!(a->u.syscalls.set[i / 64] & (1ull << (i % 64))))
			continue;
		snprintf(text, sizeof(text), "%zu", i);
		if (bh_baseline_has(b, BH_BASE_SYSCALL, text) == BH_BASE_KNOWN)
			continue;
		v.calls++;
		if (at + 12 < sizeof(v.list))
			at += (size_t)snprintf(v.list + at, sizeof(v.list) - at, " %zu", i);
	}
	for (i = 0; b->bloom && i < a->u.syscalls.n_bigrams; i++)
		v.bigrams += !bh_baseline_has_bigram(b, a->u.syscalls.bigrams[i][0],
						     a->u.syscalls.bigrams[i][1]);
	if (a->u.syscalls.new_pairs)
		v.bigrams += bh_baseline_new_bits(b, a->u.syscalls.new_pairs);
	return v;
}

bool bh_row_new_syscall(struct bh_judge *j)
{
	const struct bh_baseline *b = closed(j);
	uint32_t all = j->a->u.syscalls.all_bigrams;
	struct novelty v;
	double share;

	if (!b)
		return false;
	v = novelty_of(b, j->a);
	share = all ? (double)v.bigrams / all : 0;
	/* one new pair is chance; a tenth of all pairs being new is another program */
	if (!v.calls && (v.bigrams < 8 || share < 0.1))
		return false;
	/* nobody's calls may be a new program's, of which it is said that it is new */
	if ((v.calls < 3 && share < 0.1) ||
	    (!j->a->process.exec_id && j->pod->news_ns && j->a->ts_ns < j->pod->news_ns + NEWS_NS))
		j->severity = BH_SEVERITY_INFO;
	bh_judge_key(j, "calls%s", v.list);
	bh_judge_say(j, "%zu system calls (%s) and %zu pairs of them were never seen here", v.calls,
		     *v.list ? v.list + 1 : "-", v.bigrams);
	return true;
}

/* ---- all together ---- */

/* Calls in an order of their own come in crowds too, and say nothing about what they are for: each
 * further window within the half-life weighs less than the one before. */
static double surprise_of_sequence(struct bh_judge *j)
{
	const struct bh_activity *a = j->a;
	double over =
		a->u.sequence.threshold > 0 ? a->u.sequence.score / a->u.sequence.threshold : 0;

	if (over <= 1)
		return 0;
	/* what somebody types is no order of the workload's: a program must go on with it */
	if (j->proc && (j->proc->line & BH_LINE_ENTERED) && !j->proc->was_odd) {
		j->proc->was_odd = true;
		return 0;
	}
	j->pod->sequences += 1;
	return fmin(2 * over, BH_BASE_MOST_WEIGHT) / j->pod->sequences;
}

/* That a new program does what no other one did is no second thing beside that it runs. */
static bool is_of_new_program(const struct bh_judge *j)
{
	const struct bh_activity *a = j->a;

	return (a->kind == BH_ACT_SEQUENCE || a->kind == BH_ACT_SYSCALLS) && j->proc &&
	       j->proc->is_news;
}

static double surprise(struct bh_judge *j, const struct bh_baseline *b)
{
	struct bh_base_key keys[BH_BASE_KEYS_MAX];
	size_t i, n;
	double sum = 0;

	if (is_of_new_program(j))
		return 0;
	if (j->a->kind == BH_ACT_SEQUENCE)
		return surprise_of_sequence(j);
	if (j->a->kind == BH_ACT_SYSCALLS) {
		struct novelty v = novelty_of(b, j->a);

		/* pairs come in crowds: one new call makes dozens of them */
		sum = (double)(v.calls < 3 ? v.calls : 3) * bh_baseline_weight(b, BH_BASE_SYSCALL) /
		      2;
		sum += log2(1 + (double)v.bigrams) / 4;
		/* nobody's may be those of one new program, which counts already */
		return j->a->process.exec_id ? sum : fmin(sum, BH_BASE_MOST_WEIGHT);
	}
	n = bh_baseline_keys(j->a, keys);
	for (i = 0; i < n; i++) {
		switch (bh_baseline_has(b, keys[i].kind, keys[i].text)) {
		case BH_BASE_NEW:
			if (keys[i].kind == BH_BASE_EXEC && j->proc)
				j->proc->is_news = true;
			sum += bh_baseline_weight(b, keys[i].kind);
			break;
		case BH_BASE_UNCONFIRMED:
			sum += bh_baseline_weight(b, keys[i].kind) / 4;
			break;
		default:
			break;
		}
	}
	/* one program with its parent and user is one deed, not three */
	return sum > BH_BASE_MOST_WEIGHT ? BH_BASE_MOST_WEIGHT : sum;
}

bool bh_row_anomaly(struct bh_judge *j)
{
	const struct bh_baseline *b = closed(j);
	double add, age, left;

	if (!b)
		return false;
	age = ((double)j->a->ts_ns - (double)j->pod->score_ns) / (double)SCORE_HALF_NS;
	left = exp2(-(age > 0 ? age : 0));
	j->pod->sequences *= left;
	add = surprise(j, b);
	j->pod->score = j->pod->score * left + add;
	if (age > 0)
		j->pod->score_ns = j->a->ts_ns;
	if (add <= 0)
		return false;
	if (j->pod->score <= b->threshold)
		return false;
	if (j->pod->score > 2 * b->threshold)
		j->severity = BH_SEVERITY_HIGH;
	j->score = j->pod->score;
	j->usual = b->threshold;
	bh_judge_key(j, "score");
	bh_judge_say(j, "much that is new at once: score %.1f, its own normal stays below %.1f",
		     j->pod->score, b->threshold);
	return true;
}
