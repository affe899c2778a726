/* trust.h - a trusted_root.json: the authorities and logs the operator trusts.
 *
 * Entries with a key of a kind we do not know are left out, for nothing can be verified with them;
 * everything else that is not as it must be refuses the file: a root that is half understood would
 * trust less, or more, than the operator thinks. */
#pragma once

#include <stdbool.h>

#include "base/vec.h"
#include "verify/cert.h"
#include "verify/key.h"

struct bh_log {
	struct bh_key key;
	unsigned char id[BH_SHA256_LEN]; /* logId.keyId */
	unsigned char note_id[4];	 /* of checkpointKeyId, else of logId: names it in notes */
	char *host;			 /* of baseUrl; NULL when there is none */
	int64_t start_s, end_s;		 /* both ends inclusive */
};
BH_VEC_TYPE(bh_logs, struct bh_log);

struct bh_tsa {
	struct bh_ca ca; /* the intermediates hold the leaf too: tokens may come without it */
};

struct bh_trust {
	struct bh_logs tlogs, ctlogs;
	BH_VEC(struct bh_ca) cas;
	BH_VEC(struct bh_tsa) tsas;
};

/* Parses; the word of a flaw is of no use here, its sentence is. */
int bh_trust_parse(const void *json, size_t n, struct bh_trust *ret, struct bh_flaw *flaw);
void bh_trust_done(struct bh_trust *t);

/* true when that is its id. One log may be listed several times, with other spans of time. */
bool bh_log_is(const struct bh_log *log, const void *id, size_t n);

static inline bool bh_within(int64_t at_s, int64_t start_s, int64_t end_s)
{
	return at_s >= start_s && at_s <= end_s;
}

/* Several trust roots that count together. */
struct bh_trusts {
	const struct bh_trust *const *v;
	size_t n;
};
