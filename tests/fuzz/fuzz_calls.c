/* Texts of trace data sets: whatever they hold, calls within bounds come of it, the same ones
 * again, and a model can be made of them. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "detect/baseline_seq.h"
#include "eval/calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bh_calls parse(const uint8_t *data, size_t size, struct bh_words *words)
{
	struct bh_calls c = {0};

	if (bh_calls_parse((const char *)data, size, words, &c))
		abort();
	return c;
}

static void model(const struct bh_calls *c)
{
	BH_CLEANUP(bh_seq_freep) struct bh_seq *m = NULL;
	const struct bh_seq_options opt = {.max_nodes = 1000};
	const struct bh_trace t[] = {{c->v, c->n / 2}, {c->v + c->n / 2, c->n - c->n / 2}};
	struct bh_seq_score score;
	struct bh_err err;

	if (bh_seq_new(&opt, &m, &err) || bh_seq_train(m, t, 2, &err))
		abort();
	bh_seq_score(m, &t[1], &score);
	if (!(score.total > -100 && score.total < 100))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bh_words words = {0};
	struct bh_calls once = parse(data, size, &words), again = parse(data, size, &words);

	for (size_t i = 0; i < once.n; i++) {
		if (once.v[i] >= BH_SEQ_CALLS)
			abort();
	}
	if (once.n != again.n || (once.n && memcmp(once.v, again.v, once.n * sizeof(*once.v))))
		abort();
	if (once.n > 1 && once.n < 2000)
		model(&once);
	bh_vec_done(&once);
	bh_vec_done(&again);
	bh_words_done(&words);
	return 0;
}
