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

int bh_envelope_read(const json_t *envelope, struct bh_evidence *ev, struct bh_flaw *flaw)
{
	const json_t *sigs = bh_vjson_arr(envelope, "signatures");
	const char *type = bh_vjson_str(envelope, "payloadType");
	int r;

	if (json_array_size(sigs) != 1)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "the envelope has not one signature");
	if (!type || !*type)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "the envelope has no payloadType");
	ev->content = BH_CONTENT_DSSE;
	ev->payload_type = strdup(type);
	if (!ev->payload_type)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	r = bh_vjson_b64(json_array_get(sigs, 0), "sig", 65536, &ev->signature, flaw);
	if (!r)
		r = bh_vjson_b64(envelope, "payload", BH_IMAGE_MAX_ATTESTATION, &ev->payload, flaw);
	return r ? r : build_pae(ev, flaw);
}
