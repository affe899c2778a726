/* frame.h - length-prefixed JSON frames (bulkhead/ctl.h): encode, and decode from a byte stream.
 * Pure: no sockets here, so the decoder can be fuzzed. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "bulkhead/ctl.h"

/* Serialises one frame; the caller frees *ret. */
int bh_frame_encode(const json_t *body, unsigned flags, char **ret, size_t *ret_len,
		    struct bh_err *err);

/* Gathers bytes until a frame is whole. Zero-initialised is ready; max is the limit on length. */
struct bh_frame_reader {
	uint32_t max;
	char *buf;
	size_t n, cap;
};
/* Takes n bytes. Returns 0 or -errno (bad magic, version, length): the stream is then useless. */
int bh_frame_feed(struct bh_frame_reader *r, const void *bytes, size_t n, struct bh_err *err);
/* 1 and *ret_body (owned by the caller), *ret_flags when a frame was whole; 0 when more bytes are
 * needed; -errno when the JSON is bad. */
int bh_frame_next(struct bh_frame_reader *r, json_t **ret_body, unsigned *ret_flags,
		  struct bh_err *err);
/* true while part of a frame has arrived. */
int bh_frame_is_partial(const struct bh_frame_reader *r);
void bh_frame_done(struct bh_frame_reader *r);
