#include "eval/live.h"

#define LIMIT 12 /* as the daemon asks for */

void bh_live_filter(const struct bh_trace *t, size_t n, uint64_t filter[BH_SEQ_WORDS])
{
	for (size_t i = 0; i < n; i++) {
		uint64_t gram = 0;

		for (size_t k = 0; k < t[i].n; k++) {
			gram = bh_gram_push(gram, t[i].calls[k]);
			filter[bh_gram_word(bh_gram_hash(gram))] |=
				bh_gram_bits(bh_gram_hash(gram));
		}
	}
}

double bh_live_score(const struct bh_seq *m, const uint64_t filter[BH_SEQ_WORDS],
		     const struct bh_trace *t)
{
	uint64_t gram = 0, unknown = 0;
	double most = 0;

	for (size_t i = 0; i < t->n; i++) {
		size_t n = i + 1 < BH_SEQ_WINDOW ? i + 1 : BH_SEQ_WINDOW;
		const struct bh_trace window = {t->calls + i + 1 - n, n};
		struct bh_seq_score score;

		gram = bh_gram_push(gram, t->calls[i]);
		unknown = unknown << 1 | !bh_filter_has(filter, gram);
		if (!(unknown & 1) || __builtin_popcountll(unknown) < LIMIT)
			continue;
		unknown = 0;
		bh_seq_score(m, &window, &score);
		most = score.total > most ? score.total : most;
	}
	return most;
}
