#include "verify/trust.h"

#include <errno.h>
#include <string.h>

#include "verify/image_policy.h"
#include "verify/pem.h"
#include "verify/rfc3339.h"
#include "verify/vjson.h"

#define MAX_ROOT_FILE (1u << 20)
#define MAX_ENTRIES   64

static void log_done(struct bh_log *log)
{
	bh_key_done(&log->key);
	free(log->host);
	*log = (struct bh_log){0};
}

void bh_trust_done(struct bh_trust *t)
{
	bh_vec_each (log, &t->tlogs)
		log_done(log);
	bh_vec_each (log, &t->ctlogs)
		log_done(log);
	bh_vec_each (ca, &t->cas)
		bh_ca_done(ca);
	bh_vec_each (tsa, &t->tsas)
		bh_ca_done(&tsa->ca);
	bh_vec_done(&t->tlogs);
	bh_vec_done(&t->ctlogs);
	bh_vec_done(&t->cas);
	bh_vec_done(&t->tsas);
}

bool bh_log_is(const struct bh_log *log, const void *id, size_t n)
{
	return n == sizeof(log->id) && !memcmp(log->id, id, n);
}

/* Without a start nobody knows since when an authority counts: refused. */
static int parse_validity(const json_t *owner, int64_t *ret_start, int64_t *ret_end,
			  struct bh_flaw *flaw)
{
	const json_t *span = bh_vjson_obj(owner, "validFor");
	const char *start = bh_vjson_str(span, "start"), *end = bh_vjson_str(span, "end");

	*ret_end = BH_TIME_MAX;
	if (!start || bh_rfc3339_parse(start, ret_start))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "validFor.start is missing or no time");
	if (bh_vjson_get(span, "end") && (!end || bh_rfc3339_parse(end, ret_end)))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "validFor.end is no time");
	return 0;
}

/* https://rekor.example:443/api > rekor.example:443 */
static char *host_of(const char *url)
{
	const char *host = url ? strstr(url, "://") : NULL;

	return host ? strndup(host + 3, strcspn(host + 3, "/?#")) : NULL;
}

/* {"keyId": base64} of at least n bytes; the first n are kept. */
static int parse_key_id(const json_t *j, unsigned char *ret, size_t n, struct bh_flaw *flaw)
{
	struct bh_blob id = {0};
	int r = bh_vjson_b64(j, "keyId", 128, &id, flaw);

	if (!r && id.n < n)
		r = bh_flaw(flaw, BH_WORD_MALFORMED, "a log's keyId is too short");
	if (!r)
		memcpy(ret, id.v, n);
	bh_blob_done(&id);
	return r;
}

static int parse_log_ids(const json_t *j, struct bh_log *log, struct bh_flaw *flaw)
{
	const json_t *id = bh_vjson_obj(j, "logId"), *note = bh_vjson_obj(j, "checkpointKeyId");
	int r = 0;

	memcpy(log->id, log->key.spki, sizeof(log->id));
	if (id)
		r = parse_key_id(id, log->id, sizeof(log->id), flaw);
	memcpy(log->note_id, log->id, sizeof(log->note_id));
	return !r && note ? parse_key_id(note, log->note_id, sizeof(log->note_id), flaw) : r;
}

/* 1: left out, its key is of no kind we know. */
static int parse_log(const json_t *j, struct bh_log *log, struct bh_flaw *flaw)
{
	const json_t *key = bh_vjson_obj(j, "publicKey");
	struct bh_blob der = {0};
	struct bh_flaw unknown;
	int r;

	r = parse_validity(key, &log->start_s, &log->end_s, flaw);
	if (!r)
		r = bh_vjson_b64(key, "rawBytes", 16384, &der, flaw);
	if (r)
		return r;
	r = bh_key_of_der(&log->key, der.v, der.n, &unknown);
	bh_blob_done(&der);
	if (r)
		return 1;
	log->host = host_of(bh_vjson_str(j, "baseUrl"));
	return parse_log_ids(j, log, flaw);
}

static int parse_logs(const json_t *list, struct bh_logs *logs, struct bh_flaw *flaw)
{
	size_t i;
	json_t *j;

	if (json_array_size(list) > MAX_ENTRIES)
		return bh_flaw(flaw, BH_WORD_TOO_MANY, "more than %d logs", MAX_ENTRIES);
	json_array_foreach(list, i, j)
	{
		struct bh_log log = {0};
		int r = parse_log(j, &log, flaw);

		if (!r && bh_vec_push(logs, log))
			r = bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
		if (r)
			log_done(&log);
		if (r < 0)
			return r;
	}
	return 0;
}

static int push_cert(STACK_OF(X509) * certs, const json_t *j, struct bh_flaw *flaw)
{
	struct bh_blob der = {0};
	X509 *cert;
	int r = bh_vjson_b64(j, "rawBytes", 65536, &der, flaw);

	if (r)
		return r;
	cert = bh_der_cert(der.v, der.n);
	bh_blob_done(&der);
	if (!cert || !sk_X509_push(certs, cert)) {
		X509_free(cert);
		return bh_flaw(flaw, BH_WORD_MALFORMED, "a certificate that cannot be read");
	}
	return 0;
}

static int parse_ca(const json_t *j, struct bh_ca *ca, struct bh_flaw *flaw)
{
	const json_t *list = bh_vjson_arr(bh_vjson_obj(j, "certChain"), "certificates");
	size_t n = json_array_size(list), i;
	json_t *item;
	int r = parse_validity(j, &ca->start_s, &ca->end_s, flaw);

	if (r)
		return r;
	if (!n || n > BH_MAX_CHAIN)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "certChain has not 1 to %d certificates",
			       BH_MAX_CHAIN);
	ca->intermediates = sk_X509_new_null();
	if (!ca->intermediates)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	json_array_foreach(list, i, item)
	{
		r = push_cert(ca->intermediates, item, flaw);
		if (r)
			return r;
	}
	ca->anchor = sk_X509_pop(ca->intermediates);
	return 0;
}

static int parse_cas(const json_t *root, struct bh_trust *t, struct bh_flaw *flaw)
{
	const json_t *cas = bh_vjson_arr(root, "certificateAuthorities");
	const json_t *tsas = bh_vjson_arr(root, "timestampAuthorities");
	size_t n = json_array_size(cas), n_tsas = json_array_size(tsas);

	if (n > MAX_ENTRIES || n_tsas > MAX_ENTRIES)
		return bh_flaw(flaw, BH_WORD_TOO_MANY, "more than %d authorities", MAX_ENTRIES);
	if (bh_vec_reserve(&t->cas, n) || bh_vec_reserve(&t->tsas, n_tsas))
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	for (size_t i = 0; i < n; i++) {
		struct bh_ca *ca = &t->cas.v[t->cas.n++];
		int r;

		*ca = (struct bh_ca){0};
		r = parse_ca(json_array_get(cas, i), ca, flaw);
		if (r)
			return bh_flaw_note(flaw, r, "certificateAuthorities");
	}
	for (size_t i = 0; i < n_tsas; i++) {
		struct bh_tsa *tsa = &t->tsas.v[t->tsas.n++];
		int r;

		*tsa = (struct bh_tsa){0};
		r = parse_ca(json_array_get(tsas, i), &tsa->ca, flaw);
		if (r)
			return bh_flaw_note(flaw, r, "timestampAuthorities");
	}
	return 0;
}

static bool type_ok(const json_t *root)
{
	static const char *const types[] = {
		"application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"application/vnd.dev.sigstore.trustedroot+json;version=0.2",
		"application/vnd.dev.sigstore.trustedroot.v0.1+json",
		"application/vnd.dev.sigstore.trustedroot.v0.2+json",
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(types); i++)
		if (bh_vjson_is(root, "mediaType", types[i]))
			return true;
	return false;
}

static int parse_root(const json_t *root, struct bh_trust *t, struct bh_flaw *flaw)
{
	int r;

	if (!type_ok(root))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "no trusted root of a version we know");
	r = parse_logs(bh_vjson_arr(root, "tlogs"), &t->tlogs, flaw);
	if (r)
		return bh_flaw_note(flaw, r, "tlogs");
	r = parse_logs(bh_vjson_arr(root, "ctlogs"), &t->ctlogs, flaw);
	if (r)
		return bh_flaw_note(flaw, r, "ctlogs");
	return parse_cas(root, t, flaw);
}

int bh_trust_parse(const void *json, size_t n, struct bh_trust *ret, struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	struct bh_trust t = {0};
	int r = bh_vjson_parse(json, n, MAX_ROOT_FILE, &root, flaw);

	if (!r)
		r = parse_root(root, &t, flaw);
	if (r) {
		bh_trust_done(&t);
		return r;
	}
	*ret = t;
	return 0;
}
