#include "verify/envelope.h"

#include <string.h>

#include "base/str.h"
#include "verify/verify.h"

/* "DSSEv1 <bytes of type> <type> <bytes of payload> <payload>" */
static int build_pae(struct bh_evidence *ev, struct bh_flaw *flaw)
{
	struct bh_str pae = {0};

	bh_str_fmt(&pae, "DSSEv1 %zu %s %zu ", strlen(ev->payload_type), ev->payload_type,
		   ev->payload.n);
	bh_str_addn(&pae, ev->payload.v, ev->payload.n);
	ev->message.n = pae.n;
	ev->message.v = (unsigned char *)bh_str_take(&pae);
	bh_str_done(&pae);
	return ev->message.v ? 0 : bh_flaw(flaw, BH_WORD_TOO_LARGE, "out of memory");
}

/* A bundle has exactly one signature; a bare envelope may be signed by several. */
static int read_signatures(const json_t *sigs, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	size_t n = json_array_size(sigs), max = ev->form == BH_SIG_CLASSIC ? 1 + BH_MAX_OTHERS : 1;
	int r;

	if (!n || n > max)
		return bh_flaw(flaw, BH_WORD_MALFORMED,
			       "the envelope has %zu signatures, not 1 to %zu", n, max);
	r = bh_vjson_b64(json_array_get(sigs, 0), "sig", 65536, &ev->signature, flaw);
	for (size_t i = 1; !r && i < n; i++)
		r = bh_vjson_b64(json_array_get(sigs, i), "sig", 65536, &ev->others[ev->n_others++],
				 flaw);
	return r;
}

int bh_envelope_read(const json_t *envelope, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	const char *type = bh_vjson_str(envelope, "payloadType");
	int r;

	if (!type || !*type)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "the envelope has no payloadType");
	ev->content = BH_CONTENT_DSSE;
	ev->payload_type = strdup(type);
	if (!ev->payload_type)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	r = read_signatures(bh_vjson_arr(envelope, "signatures"), ev, flaw);
	if (!r)
		r = bh_vjson_b64(envelope, "payload", BH_IMAGE_MAX_ATTESTATION, &ev->payload, flaw);
	return r ? r : build_pae(ev, flaw);
}
