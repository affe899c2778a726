/* party.h - who takes part in a connection, for reports: a pod with all its addresses, or one
 * address. Asks the reference evaluator about every pair of addresses two parties could use. */
#pragma once

#include "refeval/refeval.h"

/* A party keeps the policies that select it, so that asking about a thousand peers reads the
 * selectors once. */
struct bh_party {
	char *name;		  /* "ns/pod", or the address; owned */
	const struct bh_pod *pod; /* borrowed from the world; NULL: an address of no pod */
	struct bh_ip ip;	  /* the one address meant; pod NULL or has_ip */
	bool has_ip;		  /* false: any address of pod */
	struct bh_policies of[2]; /* by enum bh_dir */
};
int bh_party_of_pod(const struct bh_world *w, const struct bh_pod *pod, struct bh_party *ret,
		    struct bh_err *err);
/* text: "NS/POD" or an address. -ENOENT when there is no such pod, -EINVAL when it is neither. */
int bh_party_parse(const struct bh_world *w, const char *text, struct bh_party *ret,
		   struct bh_err *err);
void bh_party_done(struct bh_party *party);

/* Every running pod of a world, in its order. */
struct bh_parties {
	struct bh_party *v;
	size_t n;
};
int bh_parties_init(const struct bh_world *w, struct bh_parties *ret, struct bh_err *err);
void bh_parties_done(struct bh_parties *parties);

/* One question: two parties of w, a destination, and the answer with the addresses it is for. */
struct bh_query {
	const struct bh_world *w;
	const struct bh_party *from, *to;
	uint8_t proto;
	uint16_t port;
	const char *exe; /* as in struct bh_ask */
};
struct bh_answer {
	struct bh_cell cell;
	struct bh_end from, to;
};
/* Allowed when some pair of addresses of one family is; the answer is for that pair, else for the
 * first pair. Where no family is common to both, the answer is about their first addresses: nothing
 * will ever pass there, but that is what policy says. Where an address is not known, selectors
 * decide. */
struct bh_answer bh_party_ask(const struct bh_query *q);
/* The executables that may; see bh_refeval_exes. */
int bh_party_exes(const struct bh_query *q, const struct bh_answer *a, enum bh_dir dir,
		  struct bh_exes *ret);
