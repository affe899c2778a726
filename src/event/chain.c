#include "event/chain.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

#define CANONICAL (JSON_COMPACT | JSON_SORT_KEYS)
#define HEX_LEN	  (2 * BH_CHAIN_HASH)

/* ---- hashes ---- */

static int hash_line(const uint8_t prev[BH_CHAIN_HASH], const char *text,
		     uint8_t ret[BH_CHAIN_HASH])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0;
	int ok;

	ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
	     EVP_DigestUpdate(ctx, prev, BH_CHAIN_HASH) &&
	     EVP_DigestUpdate(ctx, text, strlen(text)) && EVP_DigestFinal_ex(ctx, ret, &n);
	EVP_MD_CTX_free(ctx);
	return ok && n == BH_CHAIN_HASH ? 0 : -ENOMEM;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(const char *text, uint8_t out[BH_CHAIN_HASH])
{
	if (!text || strlen(text) != HEX_LEN)
		return false;
	for (size_t i = 0; i < BH_CHAIN_HASH; i++) {
		int hi = hex_digit(text[2 * i]), lo = hex_digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* ---- writing ---- */

/* The event with its chain object, still without hash. */
static json_t *chained(const struct bh_chain *c, const json_t *event,
		       const struct bh_chain_gap *gap)
{
	json_t *e = json_copy((json_t *)event);
	char prev[HEX_LEN + 1];
	json_t *chain;

	bh_hex(c->hash, BH_CHAIN_HASH, prev);
	chain = json_pack("{s:I, s:s}", "seq", (json_int_t)(c->seq + 1), "prev", prev);
	if (gap->torn)
		json_object_set_new(chain, "torn", json_integer((json_int_t)gap->torn));
	if (gap->missed)
		json_object_set_new(chain, "missed", json_integer((json_int_t)gap->missed));
	if (!e || json_object_set_new(e, "chain", chain)) {
		json_decref(e);
		return NULL;
	}
	return e;
}

/* The same line with the hash as the chain's first member, which it is by its name: nothing has to
 * be dumped a second time. No other object has this head's number and hash, and quotes inside of
 * texts are escaped. NULL: no memory. */
static char *with_hash(const char *text, const json_t *chain, const char *hash)
{
	BH_CLEANUP(bh_freep) char *own = json_dumps(chain, CANONICAL);
	BH_CLEANUP(bh_freep) char *member = own ? bh_strf("\"chain\":%s", own) : NULL;
	const char *at = member ? strstr(text, member) : NULL;

	if (!at)
		return NULL;
	at += strlen("\"chain\":{");
	return bh_strf("%.*s\"hash\":\"%s\",%s\n", (int)(at - text), text, hash, at);
}

int bh_chain_line(const struct bh_chain *c, const json_t *event, const struct bh_chain_gap *gap,
		  char **ret_line, size_t *ret_len, struct bh_chain *ret_next, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = chained(c, event, gap);
	struct bh_chain next = {.seq = c->seq + 1};
	BH_CLEANUP(bh_freep) char *text = e ? json_dumps(e, CANONICAL) : NULL;
	BH_CLEANUP(bh_freep) char *line = NULL;
	char hash[HEX_LEN + 1];
	size_t len;

	if (!text || hash_line(c->hash, text, next.hash))
		return bh_fail(err, ENOMEM, "event log line");
	bh_hex(next.hash, BH_CHAIN_HASH, hash);
	line = with_hash(text, json_object_get(e, "chain"), hash);
	if (!line)
		return bh_fail(err, ENOMEM, "event log line");
	len = strlen(line);
	if (len > BH_CHAIN_MAX_LINE)
		return bh_fail(err, EMSGSIZE, "event of %zu bytes, %u are possible", len,
			       BH_CHAIN_MAX_LINE);
	*ret_line = BH_TAKE(line);
	*ret_len = len;
	*ret_next = next;
	return 0;
}

/* ---- reading ---- */

/* Takes the chain object apart; *ret_prev is what the line says it follows. */
static int read_chain(json_t *e, struct bh_chain *ret_end, struct bh_chain *ret_prev,
		      struct bh_err *err)
{
	json_t *chain = json_object_get(e, "chain");
	int64_t seq = 0;

	if (!json_is_object(chain) ||
	    bh_json_get_int(chain, "seq", true, 1, INT64_MAX, &seq, err) ||
	    !parse_hex(json_string_value(json_object_get(chain, "prev")), ret_prev->hash) ||
	    !parse_hex(json_string_value(json_object_get(chain, "hash")), ret_end->hash))
		return bh_fail(err, EBADMSG, "it has no proper chain object");
	ret_end->seq = (uint64_t)seq;
	ret_prev->seq = (uint64_t)seq - 1;
	return 0;
}

/* true when line is exactly what e dumps to. */
static bool is_canonical(const json_t *e, const char *line, size_t len)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(e, CANONICAL);

	return text && strlen(text) == len && !memcmp(text, line, len);
}

int bh_chain_read(const char *line, size_t len, struct bh_chain *ret_end, struct bh_chain *ret_prev,
		  json_t **ret_event, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *hash = NULL;
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_chain end, prev;
	uint8_t want[BH_CHAIN_HASH];
	int r = bh_json_parse(line, len, BH_CHAIN_MAX_LINE, &e, err);

	if (r)
		return bh_fail(err, r == -ENOMEM ? ENOMEM : EBADMSG, "it is not a JSON object");
	r = read_chain(e, &end, &prev, err);
	if (r)
		return r;
	if (!is_canonical(e, line, len))
		return bh_fail(err, EBADMSG, "it was written differently");
	hash = json_incref(json_object_get(json_object_get(e, "chain"), "hash"));
	json_object_del(json_object_get(e, "chain"), "hash");
	text = json_dumps(e, CANONICAL);
	if (!text || hash_line(prev.hash, text, want))
		return bh_fail(err, ENOMEM, "event log line");
	if (memcmp(want, end.hash, BH_CHAIN_HASH))
		return bh_fail(err, EBADMSG, "its hash does not belong to it, so it was changed");
	json_object_set(json_object_get(e, "chain"), "hash", hash);
	*ret_end = end;
	if (ret_prev)
		*ret_prev = prev;
	if (ret_event)
		*ret_event = BH_TAKE(e);
	return 0;
}

/* ---- proving ---- */

static int check_link(const struct bh_chain_check *k, const struct bh_chain *prev,
		      struct bh_err *err)
{
	static const uint8_t zero[BH_CHAIN_HASH];

	if (!k->has_begun) {
		if (prev->seq || !memcmp(prev->hash, zero, sizeof(zero)))
			return 0;
		return bh_fail(err, EBADMSG, "it is the first line, but follows another");
	}
	if (prev->seq > k->at.seq)
		return bh_fail(err, EBADMSG, "%llu lines before it are missing",
			       (unsigned long long)(prev->seq - k->at.seq));
	if (prev->seq < k->at.seq)
		return bh_fail(err, EBADMSG, "line %llu comes again",
			       (unsigned long long)prev->seq + 1);
	if (memcmp(prev->hash, k->at.hash, BH_CHAIN_HASH))
		return bh_fail(err, EBADMSG, "it follows another line than the one before it");
	return 0;
}

static uint64_t number_of(const json_t *chain, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(chain, key));
}

static int check_line(struct bh_chain_check *k, const char *line, size_t len, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *e = NULL;
	struct bh_chain end, prev;
	int r = bh_chain_read(line, len, &end, &prev, &e, err);

	if (!r)
		r = check_link(k, &prev, err);
	if (r)
		return r;
	if (end.seq == k->expected.seq && memcmp(end.hash, k->expected.hash, BH_CHAIN_HASH))
		return bh_fail(err, EBADMSG, "it is not the line %llu that was noted",
			       (unsigned long long)end.seq);
	if (!k->has_begun)
		k->first_seq = end.seq;
	k->has_begun = true;
	k->at = end;
	k->lines++;
	k->gaps.torn += number_of(json_object_get(e, "chain"), "torn");
	k->gaps.missed += number_of(json_object_get(e, "chain"), "missed");
	return 0;
}

int bh_chain_check_file(struct bh_chain_check *k, const char *name, struct bh_err *err)
{
	if (k->open_tail)
		return bh_fail(err, EBADMSG, "%s line %zu: it is cut short", k->name,
			       k->line_no + 1);
	k->name = name;
	k->line_no = 0;
	return 0;
}

int bh_chain_check_text(struct bh_chain_check *k, const char *text, size_t len, struct bh_err *err)
{
	while (len) {
		const char *end = memchr(text, '\n', len);
		int r;

		if (!end) {
			k->open_tail = len;
			return 0;
		}
		k->line_no++;
		r = check_line(k, text, (size_t)(end - text), err);
		if (r)
			return bh_note(err, r, "%s line %zu", k->name, k->line_no);
		len -= (size_t)(end - text) + 1;
		text = end + 1;
	}
	return 0;
}

int bh_chain_check_end(const struct bh_chain_check *k, struct bh_err *err)
{
	if (k->expected.seq > k->at.seq)
		return bh_fail(err, EBADMSG, "the log ends with line %llu, but %llu were written",
			       (unsigned long long)k->at.seq, (unsigned long long)k->expected.seq);
	if (k->has_begun && k->expected_first && k->first_seq > k->expected_first)
		return bh_fail(err, EBADMSG, "the log begins with line %llu, but %llu was kept",
			       (unsigned long long)k->first_seq,
			       (unsigned long long)k->expected_first);
	return 0;
}
