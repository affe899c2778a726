/* Control frames: any bytes, in pieces, never crash; how they are cut never changes what comes out;
 * what comes out encodes and decodes to the same. The first byte gives the size of the pieces. */
#include "ctl/frame.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"

#define MAX_FRAMES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	json_t *body[MAX_FRAMES];
	unsigned flags[MAX_FRAMES];
	size_t n;
	int r;
};

static void check_round_trip(const json_t *body, unsigned flags)
{
	struct bh_frame_reader r = {.max = BH_CTL_MAX_REPLY};
	BH_CLEANUP(bh_freep) char *frame = NULL;
	json_t *again = NULL;
	unsigned flags_again;
	struct bh_err err = {0};
	size_t len;

	if (bh_frame_encode(body, flags, &frame, &len, &err) ||
	    bh_frame_feed(&r, frame, len, &err) ||
	    bh_frame_next(&r, &again, &flags_again, &err) != 1)
		abort();
	if (flags != flags_again || bh_frame_is_partial(&r))
		abort();
	json_decref(again);
	bh_frame_done(&r);
}

static void decode(const uint8_t *data, size_t size, size_t piece, struct outcome *o)
{
	struct bh_frame_reader r = {.max = BH_CTL_MAX_REQUEST};
	struct bh_err err = {0};

	while (size && o->r >= 0 && o->n < MAX_FRAMES) {
		size_t n = size < piece ? size : piece;

		o->r = bh_frame_feed(&r, data, n, &err);
		data += n;
		size -= n;
		while (o->r >= 0 && o->n < MAX_FRAMES &&
		       (o->r = bh_frame_next(&r, &o->body[o->n], &o->flags[o->n], &err)) == 1)
			o->n++;
	}
	if (o->r < 0 && (err.code != o->r || !*err.text))
		abort();
	bh_frame_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = {0}, pieces = {0};
	size_t piece;

	if (!size)
		return 0;
	piece = (size_t)*data + 1;
	decode(data + 1, size - 1, 1, &pieces);
	decode(data + 1, size - 1, piece, &whole);
	/* a bad second header shows before or after the first body, depending on the cut */
	if (whole.n > pieces.n || (pieces.r >= 0 && (whole.n != pieces.n || whole.r < 0)))
		abort();
	for (size_t i = 0; i < whole.n; i++) {
		if (!json_equal(whole.body[i], pieces.body[i]) || whole.flags[i] != pieces.flags[i])
			abort();
		check_round_trip(whole.body[i], whole.flags[i]);
		json_decref(whole.body[i]);
	}
	for (size_t i = 0; i < pieces.n; i++)
		json_decref(pieces.body[i]);
	return 0;
}
