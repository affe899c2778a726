#include <string.h>

#include <cbor.h>

#include "base/str.h"
#include "verify/cbor_scan.h"
#include "verify/notation.h"
#include "verify/pem.h"

#define MAX_ENVELOPE (1u << 20)
#define MAX_HEADERS  64
#define NOTARY	     "io.cncf.notary."

/* Labels of RFC 9052 and 9360, and notation's algorithms. */
#define LABEL_ALG     1
#define LABEL_CRIT    2
#define LABEL_TYPE    3
#define LABEL_X5CHAIN 33
#define TAG_EPOCH     1

static int bad(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_MALFORMED, "COSE: %s", what);
}

static void item_freep(cbor_item_t **item)
{
	if (*item)
		cbor_decref(item);
}

/* The whole of the bytes as one item; NULL otherwise. The caller owns it. */
static cbor_item_t *load(const unsigned char *bytes, size_t n)
{
	struct cbor_load_result result = {0};
	cbor_item_t *item = bh_cbor_is_plain(bytes, n) ? cbor_load(bytes, n, &result) : NULL;

	if (item && result.read != n)
		cbor_decref(&item);
	return item;
}

static bool is_text(const cbor_item_t *item, const char *text)
{
	return cbor_isa_string(item) && cbor_string_is_definite(item) &&
	       cbor_string_length(item) == strlen(text) &&
	       !memcmp(cbor_string_handle(item), text, strlen(text));
}

static bool is_bytes(const cbor_item_t *item)
{
	return item && cbor_isa_bytestring(item) && cbor_bytestring_is_definite(item);
}

static bool is_label(const cbor_item_t *item, const char *text, uint64_t number)
{
	return text ? is_text(item, text) : cbor_isa_uint(item) && cbor_get_int(item) == number;
}

/* The value of a label, text or number; NULL when it is missing or there twice. Borrowed. */
static cbor_item_t *find(const cbor_item_t *map, const char *text, uint64_t number)
{
	struct cbor_pair *pairs = cbor_map_handle(map);
	cbor_item_t *found = NULL;

	for (size_t i = 0; i < cbor_map_size(map); i++) {
		if (!is_label(pairs[i].key, text, number))
			continue;
		if (found)
			return NULL;
		found = pairs[i].value;
	}
	return found;
}

static bool is_map(const cbor_item_t *item)
{
	return item && cbor_isa_map(item) && cbor_map_is_definite(item) &&
	       cbor_map_size(item) <= MAX_HEADERS;
}

static char *text_of(const cbor_item_t *item)
{
	const char *text;

	if (!item || !cbor_isa_string(item) || !cbor_string_is_definite(item))
		return NULL;
	text = (const char *)cbor_string_handle(item);
	if (!cbor_string_length(item) || memchr(text, '\0', cbor_string_length(item)))
		return NULL;
	return strndup(text, cbor_string_length(item));
}

static bool time_of(const cbor_item_t *item, int64_t *ret_s)
{
	cbor_item_t *inner;
	bool ok;

	if (!item || !cbor_isa_tag(item) || cbor_tag_value(item) != TAG_EPOCH)
		return false;
	inner = cbor_tag_item(item);
	ok = cbor_isa_uint(inner) && cbor_get_int(inner) < BH_TIME_MAX;
	if (ok)
		*ret_s = (int64_t)cbor_get_int(inner);
	cbor_decref(&inner);
	return ok;
}

static int read_algorithm(const cbor_item_t *item, struct bh_notation *n, struct bh_flaw *flaw)
{
	/* a negative number -1-n is stored as n */
	static const struct {
		uint64_t stored;
		const char *name;
	} algorithms[] = {
		{36, "PS256"}, {37, "PS384"}, {38, "PS512"},
		{6, "ES256"},  {34, "ES384"}, {35, "ES512"},
	};

	for (size_t i = 0; item && cbor_isa_negint(item) && i < BH_ARRAY_SIZE(algorithms); i++)
		if (cbor_get_int(item) == algorithms[i].stored)
			n->algorithm = strdup(algorithms[i].name);
	return n->algorithm ? 0
			    : bh_flaw(flaw, BH_WORD_ALGORITHM, "COSE: an algorithm nobody knows");
}

/* What is critical must be understood, and the scheme must be critical. */
static int check_crit(const cbor_item_t *map, struct bh_flaw *flaw)
{
	static const char *const known[] = {NOTARY "signingScheme", NOTARY "expiry",
					    NOTARY "authenticSigningTime"};
	const cbor_item_t *crit = find(map, NULL, LABEL_CRIT);
	cbor_item_t **items;
	bool has_scheme = false;

	if (!crit || !cbor_isa_array(crit) || !cbor_array_is_definite(crit))
		return bad(flaw, "nothing is critical");
	items = cbor_array_handle(crit);
	for (size_t i = 0; i < cbor_array_size(crit); i++) {
		bool is_known = cbor_isa_uint(items[i]) && cbor_get_int(items[i]) == LABEL_TYPE;

		for (size_t k = 0; k < BH_ARRAY_SIZE(known); k++)
			is_known =
				is_known || (is_text(items[i], known[k]) && find(map, known[k], 0));
		if (!is_known)
			return bad(flaw, "a critical header that is unknown or missing");
		has_scheme = has_scheme || is_text(items[i], known[0]);
	}
	return has_scheme ? 0 : bad(flaw, "the signing scheme is not critical");
}

static int read_protected(const cbor_item_t *bytes, struct bh_notation *n, struct bh_flaw *flaw)
{
	BH_CLEANUP(item_freep)
	cbor_item_t *map = load(cbor_bytestring_handle(bytes), cbor_bytestring_length(bytes));
	const cbor_item_t *expiry;
	int r;

	if (!is_map(map))
		return bad(flaw, "the protected headers are no map");
	r = read_algorithm(find(map, NULL, LABEL_ALG), n, flaw);
	if (!r)
		r = check_crit(map, flaw);
	if (r)
		return r;
	n->content_type = text_of(find(map, NULL, LABEL_TYPE));
	n->scheme = text_of(find(map, NOTARY "signingScheme", 0));
	expiry = find(map, NOTARY "expiry", 0);
	if (!n->content_type || !n->scheme ||
	    !time_of(find(map, NOTARY "signingTime", 0), &n->signed_s) ||
	    (expiry && !time_of(expiry, &n->expiry_s)))
		return bad(flaw, "content type, scheme or times are missing");
	return 0;
}

static int add_cert(const cbor_item_t *item, struct bh_notation *n, struct bh_flaw *flaw)
{
	X509 *cert = is_bytes(item) ? bh_der_cert(cbor_bytestring_handle(item),
						  cbor_bytestring_length(item))
				    : NULL;

	if (!cert)
		return bad(flaw, "a certificate that cannot be read");
	return bh_notation_take_cert(n, cert, flaw);
}

static int read_chain(const cbor_item_t *item, struct bh_notation *n, struct bh_flaw *flaw)
{
	n->hints = sk_X509_new_null();
	if (is_bytes(item))
		return add_cert(item, n, flaw);
	if (!item || !cbor_isa_array(item) || !cbor_array_is_definite(item) ||
	    !cbor_array_size(item) || cbor_array_size(item) > BH_MAX_CHAIN)
		return bad(flaw, "no certificates, or too many");
	for (size_t i = 0; i < cbor_array_size(item); i++) {
		int r = add_cert(cbor_array_handle(item)[i], n, flaw);

		if (r)
			return r;
	}
	return 0;
}

static int copy_bytes(const cbor_item_t *item, struct bh_blob *ret, struct bh_flaw *flaw)
{
	if (bh_blob_copy(cbor_bytestring_handle(item), cbor_bytestring_length(item), ret))
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	return 0;
}

static int read_unprotected(const cbor_item_t *map, struct bh_notation *n, struct bh_flaw *flaw)
{
	const cbor_item_t *stamp;
	int r;

	if (!is_map(map))
		return bad(flaw, "the unprotected headers are no map");
	stamp = find(map, NOTARY "timestampSignature", 0);
	r = read_chain(find(map, NULL, LABEL_X5CHAIN), n, flaw);
	return !r && is_bytes(stamp) ? copy_bytes(stamp, &n->stamp, flaw) : r;
}

static void add_head(struct bh_str *b, size_t n)
{
	unsigned char head[9];
	size_t len = cbor_encode_bytestring_start(n, head, sizeof(head));

	bh_str_addn(b, head, len);
}

/* ["Signature1", protected, h'', payload] in CBOR: an array of four, a text of ten bytes ... */
static int build_message(const cbor_item_t *protected, struct bh_notation *n, struct bh_flaw *flaw)
{
	struct bh_str b = {0};

	bh_str_add(&b, "\x84\x6aSignature1");
	add_head(&b, cbor_bytestring_length(protected));
	bh_str_addn(&b, cbor_bytestring_handle(protected), cbor_bytestring_length(protected));
	add_head(&b, 0);
	add_head(&b, n->payload.n);
	bh_str_addn(&b, n->payload.v, n->payload.n);
	n->message.n = b.n;
	n->message.v = (unsigned char *)bh_str_take(&b);
	bh_str_done(&b);
	return n->message.v ? 0 : bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
}

static int read_parts(cbor_item_t *const *parts, struct bh_notation *n, struct bh_flaw *flaw)
{
	int r;

	if (!is_bytes(parts[0]) || !is_bytes(parts[2]) || !is_bytes(parts[3]))
		return bad(flaw, "protected headers, payload or signature are no bytes");
	r = read_protected(parts[0], n, flaw);
	if (!r)
		r = read_unprotected(parts[1], n, flaw);
	if (!r)
		r = copy_bytes(parts[2], &n->payload, flaw);
	if (!r)
		r = copy_bytes(parts[3], &n->signature, flaw);
	return r ? r : build_message(parts[0], n, flaw);
}

/* Tag 18, COSE_Sign1. libcbor 0.8 takes it for a mistake, so it is read here. */
#define SIGN1_HEAD 0xd2

static cbor_item_t *load_parts(const struct bh_blob *envelope)
{
	if (envelope->n < 2 || envelope->n > MAX_ENVELOPE || envelope->v[0] != SIGN1_HEAD)
		return NULL;
	return load(envelope->v + 1, envelope->n - 1);
}

int bh_notation_read_cose(const struct bh_blob *envelope, struct bh_notation *ret,
			  struct bh_flaw *flaw)
{
	BH_CLEANUP(item_freep) cbor_item_t *list = load_parts(envelope);
	BH_CLEANUP(bh_notation_done) struct bh_notation n = {.expiry_s = BH_TIME_MAX};
	int r;

	if (!list || !cbor_isa_array(list) || !cbor_array_is_definite(list) ||
	    cbor_array_size(list) != 4)
		return bad(flaw, "no COSE_Sign1");
	r = read_parts(cbor_array_handle(list), &n, flaw);
	if (r)
		return r;
	*ret = n;
	n = (struct bh_notation){0};
	return 0;
}
