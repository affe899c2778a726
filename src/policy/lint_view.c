#include "policy/lint_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/intern.h"

static bool is_eligible(const struct bh_pod *pod)
{
	return !pod->host_network && pod->phase == BH_POD_RUNNING;
}

static int pointer_order(const void *a, const void *b)
{
	return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

static int order_cmp(const void *pa, const void *pb)
{
	const struct bh_seen *a = pa, *b = pb;

	return (a->order > b->order) - (a->order < b->order);
}

static int seen_cmp(const void *pa, const void *pb)
{
	const struct bh_seen *a = pa, *b = pb;
	int r = pointer_order(a->id, b->id);

	return r ? r : order_cmp(a, b);
}

/* Drops repeated idents of one namespace. Addresses only find them: what the lints say must not
 * depend on the heap, so the order of the pods comes back. */
static void close_ns(struct bh_view *v)
{
	struct bh_view_ns *ns = &v->ns[v->n_ns - 1];
	size_t i, n = ns->first;

	qsort(v->seen + ns->first, v->n - ns->first, sizeof(*v->seen), seen_cmp);
	for (i = ns->first; i < v->n; i++) {
		if (n == ns->first || v->seen[n - 1].id != v->seen[i].id)
			v->seen[n++] = v->seen[i];
	}
	v->n = n;
	ns->n = n - ns->first;
	qsort(v->seen + ns->first, ns->n, sizeof(*v->seen), order_cmp);
}

static void gather(struct bh_view *v, const struct bh_world *w)
{
	size_t i;

	for (i = 0; i < w->n_pods; i++) {
		const struct bh_pod *pod = w->pods[i];
		const struct bh_ident *id = pod->ident;

		if (!is_eligible(pod) || (v->n && v->seen[v->n - 1].id == id))
			continue;
		if (!v->n_ns || strcmp(v->ns[v->n_ns - 1].name, id->ns)) {
			if (v->n_ns)
				close_ns(v);
			v->ns[v->n_ns++] = (struct bh_view_ns){.name = id->ns, .first = v->n};
		}
		v->seen[v->n++] = (struct bh_seen){.id = id, .example = pod, .order = (uint32_t)i};
	}
	if (v->n_ns)
		close_ns(v);
}

static int label_cmp(const void *pa, const void *pb)
{
	const struct bh_view_label *a = pa, *b = pb;
	int r = pointer_order(a->ns, b->ns);

	if (!r)
		r = pointer_order(a->key, b->key);
	return r ? r : pointer_order(a->value, b->value);
}

static int label_order(const void *pa, const void *pb)
{
	const struct bh_view_label *a = pa, *b = pb;
	int r = label_cmp(a, b);

	return r ? r : (a->seen > b->seen) - (a->seen < b->seen);
}

static int gather_labels(struct bh_view *v)
{
	size_t i, k, n = 0;

	for (i = 0; i < v->n; i++)
		n += v->seen[i].id->labels.n;
	v->labels = malloc((n + 1) * sizeof(*v->labels));
	if (!v->labels)
		return -ENOMEM;
	for (i = 0; i < v->n; i++) {
		const struct bh_ident *id = v->seen[i].id;

		for (k = 0; k < id->labels.n; k++)
			v->labels[v->n_labels++] =
				(struct bh_view_label){.ns = id->ns,
						       .key = id->labels.v[k].key,
						       .value = id->labels.v[k].value,
						       .seen = (uint32_t)i};
	}
	qsort(v->labels, v->n_labels, sizeof(*v->labels), label_order);
	return 0;
}

static int ip_cmp(const void *a, const void *b)
{
	return bh_ip_cmp(&((const struct bh_view_ip *)a)->ip, &((const struct bh_view_ip *)b)->ip);
}

static int gather_ips(struct bh_view *v, const struct bh_world *w)
{
	size_t i, k, n = 0;

	for (i = 0; i < w->n_pods; i++)
		n += is_eligible(w->pods[i]) ? w->pods[i]->n_ips : 0;
	v->ips = malloc((n + 1) * sizeof(*v->ips));
	if (!v->ips)
		return -ENOMEM;
	for (i = 0; i < w->n_pods; i++) {
		for (k = 0; is_eligible(w->pods[i]) && k < w->pods[i]->n_ips; k++)
			v->ips[v->n_ips++] =
				(struct bh_view_ip){.ip = w->pods[i]->ips[k], .pod = w->pods[i]};
	}
	qsort(v->ips, v->n_ips, sizeof(*v->ips), ip_cmp);
	return 0;
}

int bh_view_init(struct bh_view *v, const struct bh_world *w)
{
	*v = (struct bh_view){
		.seen = malloc((w->n_pods + 1) * sizeof(*v->seen)),
		.ns = malloc((w->n_namespaces + 1) * sizeof(*v->ns)),
	};
	if (!v->seen || !v->ns)
		return -ENOMEM;
	gather(v, w);
	return gather_labels(v) || gather_ips(v, w) ? -ENOMEM : 0;
}

void bh_view_done(struct bh_view *v)
{
	free(v->seen);
	free(v->ns);
	free(v->labels);
	free(v->ips);
	*v = (struct bh_view){0};
}

const struct bh_view_ns *bh_view_ns(const struct bh_view *v, const char *name)
{
	size_t lo = 0, hi = v->n_ns;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = strcmp(v->ns[mid].name, name);

		if (!r)
			return &v->ns[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* First of the labels that is not smaller. */
static size_t label_position(const struct bh_view *v, const struct bh_view_label *x)
{
	size_t lo = 0, hi = v->n_labels;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (label_cmp(&v->labels[mid], x) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct bh_requirement *narrow(const struct bh_selector *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (s->v[i].op == BH_SEL_IN)
			return &s->v[i];
	}
	return NULL;
}

/* A label that must have one of some values leads straight to those who have it. */
static void each_by_label(const struct bh_view *v, const struct bh_view_ns *ns,
			  const struct bh_selector *s, bool (*fn)(struct bh_seen *s, void *arg),
			  void *arg)
{
	const struct bh_requirement *q = narrow(s);
	struct bh_view_label x = {.ns = v->seen[ns->first].id->ns, .key = bh_intern_find(q->key)};
	size_t i, k;

	for (k = 0; x.key && k < q->n_values; k++) {
		x.value = bh_intern_find(q->values[k]);
		if (!x.value)
			continue;
		for (i = label_position(v, &x); i < v->n_labels && !label_cmp(&v->labels[i], &x);
		     i++) {
			struct bh_seen *seen = &v->seen[v->labels[i].seen];

			if (bh_selector_matches(s, &seen->id->labels) && !fn(seen, arg))
				return;
		}
	}
}

void bh_view_each(const struct bh_view *v, const struct bh_view_ns *ns, const struct bh_selector *s,
		  bool (*fn)(struct bh_seen *s, void *arg), void *arg)
{
	size_t i;

	if (!ns)
		return;
	if (narrow(s)) {
		each_by_label(v, ns, s, fn, arg);
		return;
	}
	for (i = ns->first; i < ns->first + ns->n; i++) {
		if (bh_selector_matches(s, &v->seen[i].id->labels) && !fn(&v->seen[i], arg))
			return;
	}
}

static size_t ip_position(const struct bh_view *v, const struct bh_ip *ip)
{
	size_t lo = 0, hi = v->n_ips;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (bh_ip_cmp(&v->ips[mid].ip, ip) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Position of the first address behind the last one of c. */
static size_t position_behind(const struct bh_view *v, const struct bh_cidr *c)
{
	struct bh_ip last = c->ip;
	size_t bit, i;

	for (bit = c->len; bit < 128; bit++)
		last.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	i = ip_position(v, &last);
	while (i < v->n_ips && !bh_ip_cmp(&v->ips[i].ip, &last))
		i++;
	return i;
}

static const struct bh_cidr *covering_except(const struct bh_peer *peer, const struct bh_ip *ip)
{
	size_t i;

	for (i = 0; i < peer->n_excepts; i++) {
		if (bh_cidr_has(&peer->excepts[i], ip))
			return &peer->excepts[i];
	}
	return NULL;
}

/* IPv4 stands in the middle of the order, as ::ffff:0:0/96, and belongs to no IPv6 block. */
static size_t skip_ipv4(const struct bh_view *v, const struct bh_peer *peer, size_t i)
{
	struct bh_cidr all4 = {.ip = bh_ip_from4(0), .len = 96};

	if (i < v->n_ips && bh_ip_is4(&v->ips[i].ip) && !bh_ip_is4(&peer->cidr.ip))
		return position_behind(v, &all4);
	return i;
}

const struct bh_view_ip *bh_view_covered(const struct bh_view *v, const struct bh_peer *peer)
{
	size_t i = skip_ipv4(v, peer, ip_position(v, &peer->cidr.ip));
	const struct bh_cidr *except;

	while (i < v->n_ips && bh_cidr_has(&peer->cidr, &v->ips[i].ip)) {
		except = covering_except(peer, &v->ips[i].ip);
		if (!except)
			return &v->ips[i];
		i = skip_ipv4(v, peer, position_behind(v, except));
	}
	return NULL;
}
