#include "policy/compile_memo.h"

#include <errno.h>
#include <string.h>

/* Which of an address's bytes differ anywhere in the array. */
static void varying(const struct bh_cm_claim *v, size_t n, uint8_t ret[16])
{
	memset(ret, 0, 16);
	for (size_t i = 1; i < n; i++) {
		for (int b = 0; b < 16; b++)
			ret[b] |= v[i].ip.b[b] ^ v[0].ip.b[b];
	}
}

/* One stable pass of a byte-wise sort, from -> to. */
static void pass(const struct bh_cm_claim *from, struct bh_cm_claim *to, size_t n, int byte)
{
	size_t at[256] = {0}, sum = 0;

	for (size_t i = 0; i < n; i++)
		at[from[i].ip.b[byte]]++;
	for (int b = 0; b < 256; b++) {
		size_t count = at[b];

		at[b] = sum;
		sum += count;
	}
	for (size_t i = 0; i < n; i++)
		to[at[from[i].ip.b[byte]]++] = from[i];
}

/* Sorts by address. Least significant byte first; bytes that never vary cost nothing, so 100 000
 * IPv4 addresses of one /8 are three passes. */
static int sort_claims(struct bh_cm_claim *v, size_t n)
{
	BH_CLEANUP(bh_freep) struct bh_cm_claim *other = NULL;
	struct bh_cm_claim *from = v, *to;
	uint8_t differs[16];

	if (n < 2)
		return 0;
	other = to = malloc(n * sizeof(*other));
	if (!other)
		return -ENOMEM;
	varying(v, n, differs);
	for (int b = 15; b >= 0; b--) {
		struct bh_cm_claim *done = to;

		if (!differs[b])
			continue;
		pass(from, to, n, b);
		to = from;
		from = done;
	}
	if (from != v)
		memcpy(v, from, n * sizeof(*v));
	return 0;
}

/* true when c is among the removed from *at on; each removal counts once. */
static bool take_removed(struct bh_compile_memo *m, const struct bh_cm_claim *c, size_t *at)
{
	while (*at < m->removed.n && bh_cm_ip_cmp(&m->removed.v[*at].ip, &c->ip) < 0)
		(*at)++;
	for (size_t i = *at; i < m->removed.n; i++) {
		struct bh_cm_claim *gone = &m->removed.v[i];

		if (bh_cm_ip_cmp(&gone->ip, &c->ip) != 0)
			break;
		if (gone->ident != c->ident)
			continue;
		gone->ident = BH_CM_NONE;
		return true;
	}
	return false;
}

/* First claim at or behind ip. */
static size_t claim_at(const struct bh_compile_memo *m, const struct bh_ip *ip)
{
	size_t low = 0, high = m->claims.n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (bh_cm_ip_cmp(&m->claims.v[mid].ip, ip) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void remove_claims(struct bh_compile_memo *m)
{
	size_t i = claim_at(m, &m->removed.v[0].ip), kept = i, at = 0;

	while (i < m->claims.n && at < m->removed.n) {
		if (!take_removed(m, &m->claims.v[i], &at))
			m->claims.v[kept++] = m->claims.v[i];
		i++;
	}
	if (kept != i)
		memmove(m->claims.v + kept, m->claims.v + i,
			(m->claims.n - i) * sizeof(*m->claims.v));
	m->claims.n = kept + m->claims.n - i;
}

/* From the end, so that the claims move within their own array. */
static int add_claims(struct bh_compile_memo *m)
{
	size_t i = m->claims.n, k = m->added.n, out;

	if (bh_vec_reserve(&m->claims, i + k))
		return -ENOMEM;
	/* what lies behind all of them moves as one */
	i = claim_at(m, &m->added.v[k - 1].ip);
	out = i + k;
	memmove(m->claims.v + out, m->claims.v + i, (m->claims.n - i) * sizeof(*m->claims.v));
	m->claims.n += k;
	while (k) {
		const struct bh_cm_claim *new = &m->added.v[k - 1];

		if (i && bh_cm_ip_cmp(&m->claims.v[i - 1].ip, &new->ip) > 0)
			m->claims.v[--out] = m->claims.v[--i];
		else
			m->claims.v[--out] = m->added.v[--k];
	}
	return 0;
}

int bh_cm_claims_merge(struct bh_compile_memo *m)
{
	int r = sort_claims(m->removed.v, m->removed.n);

	if (!r)
		r = sort_claims(m->added.v, m->added.n);
	if (!r && m->removed.n)
		remove_claims(m);
	if (!r && m->added.n)
		r = add_claims(m);
	bh_vec_done(&m->added);
	bh_vec_done(&m->removed);
	return r;
}
