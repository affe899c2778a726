#include "ctl/frame.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define HEADER_LEN sizeof(struct bh_ctl_header)

int bh_frame_encode(const json_t *body, unsigned flags, char **ret, size_t *ret_len,
		    struct bh_err *err)
{
	size_t len = json_dumpb(body, NULL, 0, JSON_COMPACT);
	BH_CLEANUP(bh_freep) char *frame = NULL;
	struct bh_ctl_header h = {
		.magic = htole32(BH_CTL_MAGIC),
		.version = htole16(BH_CTL_VERSION),
		.flags = htole16((uint16_t)flags),
	};

	if (!len)
		return bh_fail(err, EINVAL, "control frame: the body is not a JSON document");
	if (len > BH_CTL_MAX_REPLY)
		return bh_fail(err, EMSGSIZE, "control frame: a body of %zu bytes is too long",
			       len);
	frame = malloc(HEADER_LEN + len);
	if (!frame)
		return bh_fail(err, ENOMEM, "control frame of %zu bytes", len);
	if (json_dumpb(body, frame + HEADER_LEN, len, JSON_COMPACT) != len)
		return bh_fail(err, ENOMEM, "control frame of %zu bytes", len);
	h.length = htole32((uint32_t)len);
	memcpy(frame, &h, HEADER_LEN);
	*ret = BH_TAKE(frame);
	*ret_len = HEADER_LEN + len;
	return 0;
}

/* Checks as much of the header as has arrived: a peer that speaks something else (HTTP, TLS) is
 * recognised by its first four bytes. *ret_len is the body's length once the header is whole. */
static int check_header(const struct bh_frame_reader *r, uint32_t *ret_len, struct bh_err *err)
{
	struct bh_ctl_header h = {0};
	uint32_t len;

	memcpy(&h, r->buf, r->n < HEADER_LEN ? r->n : HEADER_LEN);
	if (r->n >= sizeof(h.magic) && le32toh(h.magic) != BH_CTL_MAGIC)
		return bh_fail(err, EPROTO, "this is not the control protocol");
	if (r->n < HEADER_LEN)
		return 0;
	if (le16toh(h.version) != BH_CTL_VERSION)
		return bh_fail(err, EPROTO, "control protocol version %u, this side speaks %u",
			       le16toh(h.version), BH_CTL_VERSION);
	if (le16toh(h.flags) & ~BH_CTL_MORE)
		return bh_fail(err, EPROTO, "control frame with unknown flags %#x",
			       le16toh(h.flags));
	len = le32toh(h.length);
	if (!len || len > r->max)
		return bh_fail(err, EMSGSIZE, "control frame of %u bytes, 1-%u are possible", len,
			       r->max);
	*ret_len = len;
	return 0;
}

/* Room grows with what has arrived, never with what a header announces. */
static int reserve(struct bh_frame_reader *r, size_t want)
{
	size_t cap = r->cap ? r->cap : 1024;
	char *buf;

	if (want <= r->cap)
		return 0;
	while (cap < want) {
		if (cap > SIZE_MAX / 2)
			return -ENOMEM;
		cap *= 2;
	}
	buf = realloc(r->buf, cap);
	if (!buf)
		return -ENOMEM;
	r->buf = buf;
	r->cap = cap;
	return 0;
}

int bh_frame_feed(struct bh_frame_reader *r, const void *bytes, size_t n, struct bh_err *err)
{
	uint32_t len;

	if (!n)
		return 0;
	if (n > SIZE_MAX - r->n || reserve(r, r->n + n))
		return bh_fail(err, ENOMEM, "control frame");
	memcpy(r->buf + r->n, bytes, n);
	r->n += n;
	return check_header(r, &len, err);
}

int bh_frame_next(struct bh_frame_reader *r, json_t **ret_body, unsigned *ret_flags,
		  struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
	struct bh_ctl_header h;
	uint32_t len = 0;
	int res;

	if (r->n < HEADER_LEN)
		return 0;
	res = check_header(r, &len, err);
	if (res)
		return res;
	if (r->n - HEADER_LEN < len)
		return 0;
	memcpy(&h, r->buf, HEADER_LEN);
	res = bh_json_parse(r->buf + HEADER_LEN, len, r->max, &body, err);
	if (res)
		return bh_note(err, res, "control frame");
	if (!json_is_object(body))
		return bh_fail(err, EINVAL, "control frame: the body is not an object");
	r->n -= HEADER_LEN + len;
	memmove(r->buf, r->buf + HEADER_LEN + len, r->n);
	if (!r->n)
		bh_frame_done(r); /* an idle connection keeps no buffer */
	*ret_flags = le16toh(h.flags);
	*ret_body = BH_TAKE(body);
	return 1;
}

int bh_frame_is_partial(const struct bh_frame_reader *r)
{
	return r->n > 0;
}

void bh_frame_done(struct bh_frame_reader *r)
{
	free(r->buf);
	r->buf = NULL;
	r->n = r->cap = 0;
}
