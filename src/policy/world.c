/* world.c - snapshots: gathered, then sorted once and sealed. */
#include "policy/model.h"

#include <errno.h>
#include <string.h>

#include "policy/order.h"
#include "policy/shelf.h"

typedef int cmp_fn(const void *a, const void *b);

int bh_world_new(struct bh_world **ret, struct bh_err *err)
{
	struct bh_world *w = calloc(1, sizeof(*w));

	if (!w)
		return bh_fail(err, ENOMEM, "world: no memory");
	w->refs = 1;
	*ret = w;
	return 0;
}

/* Capacity is the next power of two from 8 up, so that it need not be kept. Returns the array with
 * room for one more, or NULL (the old one then stays). */
static void *room(void *v, size_t n, size_t size)
{
	if (n && (n < 8 || (n & (n - 1))))
		return v;
	return realloc(v, (n ? n * 2 : 8) * size);
}

static int push(void ***v, size_t *n, void *x)
{
	void **bigger = room(*v, *n, sizeof(**v));

	if (!bigger)
		return -ENOMEM;
	*v = bigger;
	bigger[(*n)++] = x;
	return 0;
}

int bh_world_add_namespace(struct bh_world *w, struct bh_namespace *ns)
{
	int r = push((void ***)&w->namespaces, &w->n_namespaces, ns);

	if (!r)
		bh_namespace_ref(ns);
	return r;
}

int bh_world_add_pod(struct bh_world *w, struct bh_pod *pod)
{
	int r = push((void ***)&w->pods, &w->n_pods, pod);

	if (!r)
		bh_pod_ref(pod);
	return r;
}

int bh_world_add_policy(struct bh_world *w, struct bh_policy *p)
{
	int r = push((void ***)&w->policies, &w->n_policies, p);

	if (!r)
		bh_policy_ref(p);
	return r;
}

int bh_world_add_node_address(struct bh_world *w, const struct bh_ip *ip)
{
	struct bh_ip *v = room(w->node_addresses, w->n_node_addresses, sizeof(*v));

	if (!v)
		return -ENOMEM;
	w->node_addresses = v;
	v[w->n_node_addresses++] = *ip;
	return 0;
}

static int namespace_cmp(const void *a, const void *b)
{
	return bh_namespace_order(a, b);
}

static int pod_cmp(const void *a, const void *b)
{
	return bh_pod_order(a, b);
}

static int policy_cmp(const void *a, const void *b)
{
	return bh_policy_order(a, b);
}

/* Merges the two sorted halves v[0..mid) and v[mid..n). */
static void merge(void **v, size_t mid, size_t n, void **tmp, cmp_fn *cmp)
{
	size_t i = 0, j = mid, k = 0;

	memcpy(tmp, v, mid * sizeof(*v));
	while (i < mid && j < n) {
		if (cmp(tmp[i], v[j]) <= 0)
			v[k++] = tmp[i++];
		else
			v[k++] = v[j++];
	}
	memcpy(v + k, tmp + i, (mid - i) * sizeof(*v));
}

/* Stable, and linear on what is sorted already: the object set adds its pods in order. */
static void sort(void **v, size_t n, void **tmp, cmp_fn *cmp)
{
	size_t mid = n / 2;

	if (n < 2)
		return;
	sort(v, mid, tmp, cmp);
	sort(v + mid, n - mid, tmp, cmp);
	if (cmp(v[mid - 1], v[mid]) > 0)
		merge(v, mid, n, tmp, cmp);
}

static void drop_namespace(void *x)
{
	bh_namespace_unref(x);
}

static void drop_pod(void *x)
{
	bh_pod_unref(x);
}

static void drop_policy(void *x)
{
	bh_policy_unref(x);
}

/* Sorts; of equal ones the last added stays, the others are given to drop. */
static int sort_unique(void **v, size_t *n, cmp_fn *cmp, void (*drop)(void *))
{
	void **tmp = malloc((*n / 2 + 1) * sizeof(*tmp));
	size_t i, k = 0;

	if (!tmp)
		return -ENOMEM;
	sort(v, *n, tmp, cmp);
	free(tmp);
	for (i = 0; i < *n; i++) {
		if (k && !cmp(v[k - 1], v[i]))
			drop(v[--k]);
		v[k++] = v[i];
	}
	*n = k;
	return 0;
}

/* First pod of the sorted front that does not stand before `pod`. */
static size_t pod_position(const struct bh_world *w, size_t n, const struct bh_pod *pod)
{
	size_t lo = 0;

	while (lo < n) {
		size_t mid = lo + (n - lo) / 2;

		if (pod_cmp(w->pods[mid], pod) < 0)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

/* Pods that are at the front already take their places there; returns how many others remain. */
static size_t replace_pods(struct bh_world *w, size_t front, size_t tail)
{
	struct bh_pod **late = w->pods + front;
	size_t i, n = 0;

	for (i = 0; i < tail; i++) {
		size_t at = pod_position(w, front, late[i]);

		if (at < front && !pod_cmp(w->pods[at], late[i])) {
			bh_pod_unref(w->pods[at]);
			w->pods[at] = late[i];
		} else {
			late[n++] = late[i];
		}
	}
	return n;
}

/* A hundred thousand pods come in order from the object set, a few hundred behind them from
 * elsewhere: those are put in their places from the back, without a look at all the others. */
static int sort_pods(struct bh_world *w)
{
	size_t front = w->n_sorted_pods, tail = w->n_pods - front, at;
	struct bh_pod **v = w->pods, **late;

	if (!tail)
		return 0;
	if (sort_unique((void **)v + front, &tail, pod_cmp, drop_pod))
		return -ENOMEM;
	late = malloc(tail * sizeof(struct bh_pod *));
	if (!late)
		return -ENOMEM;
	tail = replace_pods(w, front, tail);
	w->n_pods = front + tail;
	memcpy(late, v + front, tail * sizeof(struct bh_pod *));
	while (tail) {
		at = pod_position(w, front, late[--tail]);
		memmove(v + at + tail + 1, v + at, (front - at) * sizeof(struct bh_pod *));
		v[at + tail] = late[tail];
		front = at;
	}
	free(late);
	return 0;
}

static int ip_cmp(const void *a, const void *b)
{
	return bh_ip_cmp(a, b);
}

void bh_world_sort_node_addresses(struct bh_world *w)
{
	size_t i, k = 0;

	if (!w->n_node_addresses)
		return;
	qsort(w->node_addresses, w->n_node_addresses, sizeof(*w->node_addresses), ip_cmp);
	for (i = 0; i < w->n_node_addresses; i++) {
		if (!k || bh_ip_cmp(&w->node_addresses[k - 1], &w->node_addresses[i]))
			w->node_addresses[k++] = w->node_addresses[i];
	}
	w->n_node_addresses = k;
}

/* ---- ownership ---- */

static void *ref_namespace(void *x)
{
	return bh_namespace_ref(x);
}

static void *ref_pod(void *x)
{
	return bh_pod_ref(x);
}

static void *ref_policy(void *x)
{
	return bh_policy_ref(x);
}

static int64_t next_end_of(const void *x, int64_t after_s)
{
	const struct bh_policy *p = x;
	int64_t next = INT64_MAX;

	for (int dir = 0; dir < 2; dir++) {
		for (size_t i = 0; i < p->n_rules[dir]; i++) {
			int64_t end_s = p->rules[dir][i].reason.expires_s;

			if (end_s > after_s && end_s < next)
				next = end_s;
		}
	}
	return next;
}

/* Gives the arrays to shelves. */
static int shelve(struct bh_world *w)
{
	static const struct bh_shelf_kind namespaces = {ref_namespace, drop_namespace, NULL},
					  pods = {ref_pod, drop_pod, NULL},
					  policies = {ref_policy, drop_policy, next_end_of};

	if (bh_shelf_new(&namespaces, (void ***)&w->namespaces, w->n_namespaces,
			 &w->namespace_shelf))
		return -ENOMEM;
	w->namespaces = (struct bh_namespace **)w->namespace_shelf->v;
	if (bh_shelf_new(&pods, (void ***)&w->pods, w->n_pods, &w->pod_shelf))
		return -ENOMEM;
	w->pods = (struct bh_pod **)w->pod_shelf->v;
	if (bh_shelf_new(&policies, (void ***)&w->policies, w->n_policies, &w->policy_shelf))
		return -ENOMEM;
	w->policies = (struct bh_policy **)w->policy_shelf->v;
	return 0;
}

int64_t bh_world_next_end(const struct bh_world *w)
{
	return bh_shelf_next_end(w->policy_shelf, w->now_s);
}

static int add_implicit_namespaces(struct bh_world *w, struct bh_err *err)
{
	const char *last = NULL;
	size_t i, known = w->n_namespaces;

	for (i = 0; i < w->n_pods; i++) {
		const char *name = w->pods[i]->ident->ns;
		struct bh_namespace *ns;
		struct bh_world seen = {.namespaces = w->namespaces, .n_namespaces = known};
		int r;

		if (last && (last == name || !strcmp(last, name)))
			continue;
		last = name;
		if (bh_world_namespace(&seen, name))
			continue;
		r = bh_namespace_new(name, NULL, &ns, err);
		if (r)
			return r;
		ns->is_implied = true;
		r = bh_world_add_namespace(w, ns);
		bh_namespace_unref(ns);
		if (r)
			return bh_fail(err, ENOMEM, "world: no memory");
	}
	return 0;
}

int bh_world_seal(struct bh_world *w, struct bh_err *err)
{
	int r;

	if (sort_pods(w) ||
	    sort_unique((void **)w->policies, &w->n_policies, policy_cmp, drop_policy) ||
	    sort_unique((void **)w->namespaces, &w->n_namespaces, namespace_cmp, drop_namespace))
		return bh_fail(err, ENOMEM, "world: no memory");
	r = add_implicit_namespaces(w, err);
	if (r)
		return r;
	if (sort_unique((void **)w->namespaces, &w->n_namespaces, namespace_cmp, drop_namespace))
		return bh_fail(err, ENOMEM, "world: no memory");
	bh_world_sort_node_addresses(w);
	return shelve(w) ? bh_fail(err, ENOMEM, "world: no memory") : 0;
}

struct bh_world *bh_world_ref(struct bh_world *w)
{
	w->refs++;
	return w;
}

/* What no shelf owns yet. */
static void drop_all(void *v, size_t n, void (*drop)(void *))
{
	for (size_t i = 0; i < n; i++)
		drop(((void **)v)[i]);
	free(v);
}

void bh_world_unref(struct bh_world *w)
{
	if (!w || --w->refs)
		return;
	if (!w->namespace_shelf)
		drop_all(w->namespaces, w->n_namespaces, drop_namespace);
	if (!w->pod_shelf)
		drop_all(w->pods, w->n_pods, drop_pod);
	if (!w->policy_shelf)
		drop_all(w->policies, w->n_policies, drop_policy);
	bh_shelf_unref(w->namespace_shelf);
	bh_shelf_unref(w->pod_shelf);
	bh_shelf_unref(w->policy_shelf);
	free(w->node_addresses);
	free(w);
}

void bh_world_unrefp(struct bh_world **w)
{
	bh_world_unref(*w);
	*w = NULL;
}

const struct bh_namespace *bh_world_namespace(const struct bh_world *w, const char *name)
{
	size_t lo = 0, hi = w->n_namespaces;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = strcmp(w->namespaces[mid]->name, name);

		if (!r)
			return w->namespaces[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct bh_pod *bh_world_pod(const struct bh_world *w, const char *ns, const char *name)
{
	size_t lo = 0, hi = w->n_pods;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = strcmp(w->pods[mid]->ident->ns, ns);

		if (!r)
			r = strcmp(w->pods[mid]->name, name);
		if (!r)
			return w->pods[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
