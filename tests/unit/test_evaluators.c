/* The compiled tables against the reference evaluator, on random worlds: two programs written apart
 * from the same rules. Tables are made at one time and also asked at later ones. */
#include "worldgen.h"

#include "bh_agree.h"

#define WORLDS 1500
#define ASKS   300

struct tally {
	size_t n, allowed;
};

static struct bh_end self_of(const struct bh_pod *pod)
{
	struct bh_end end = {.pod = pod};

	end.has_ip = pod->n_ips > 0;
	if (end.has_ip)
		end.ip = pod->ips[0];
	return end;
}

/* Any address of a world's small ranges, edges of its blocks, and some outside. */
static struct bh_ip any_ip(struct wg_pool *p, const struct bh_world *w)
{
	const struct bh_pod *pod = w->pods[wg_below(&p->r, (unsigned)w->n_pods)];

	if (wg_one_in(&p->r, 2) && pod->n_ips)
		return pod->ips[wg_below(&p->r, (unsigned)pod->n_ips)];
	return wk_ip(wg_pick(&p->r, wg_ask_ips));
}

/* Where several claim one address the reference looks at one of them only; the tables must not
 * allow what it denies. */
static size_t ask_contested(const struct bh_world *w, const struct bh_tables *t,
			    const struct bh_ask *ask)
{
	const struct bh_pod *pod = ask->self.pod;
	struct bh_half half = bh_refeval_ask(w, ask);
	struct bh_tverdict got;

	if (pod->host_network)
		return 0;
	got = bh_tables_ask(
		t, &(struct bh_tquestion){bh_tables_subject(t, pod->ident->ns, pod->name), ask->dir,
					  ask->peer.ip, ask->proto, ask->port, ask->exe, w->now_s});
	if (got.verdict == BH_ALLOWED && half.verdict == BH_DENIED)
		bh_agree_fail_(ask, &half, &got);
	return 1;
}

static void ask_some(struct wg_pool *p, const struct bh_world *w, const struct bh_tables *t,
		     struct tally *tally)
{
	for (int i = 0; i < ASKS; i++) {
		const struct bh_pod *pod = w->pods[wg_below(&p->r, (unsigned)w->n_pods)];
		struct bh_ip ip = any_ip(p, w);
		struct bh_ask ask = {
			.dir = (enum bh_dir)wg_below(&p->r, 2),
			.self = self_of(pod),
			.peer = bh_refeval_end(w, &ip),
			.proto = wg_pick(&p->r, wg_ask_protos),
			.port = wg_pick(&p->r, wg_ask_ports),
			.exe = wg_pick(&p->r, wg_ask_exes),
		};

		if (pod->phase != BH_POD_RUNNING)
			continue;
		tally->n += p->is_plain ? bh_agree_half(w, t, &ask) : ask_contested(w, t, &ask);
		tally->allowed += bh_refeval_ask(w, &ask).verdict == BH_ALLOWED;
	}
}

/* is_plain: every address belongs to one pod at most. */
static void compare(bool is_plain)
{
	struct tally tally = {0};

	for (uint64_t seed = 0; seed < WORLDS; seed++) {
		struct wg_pool p = {.is_plain = is_plain};
		struct bh_tables *t;
		struct bh_world *w;

		wg_init(&p, seed);
		w = wg_build(&p, false);
		t = bh_agree_compile(w);
		ask_some(&p, w, t, &tally);
		bh_world_unref(w);
		if (p.is_short) { /* no chain is cut, so the tables know the future exactly */
			p.now_s += wg_below(&p.r, 60);
			w = wg_build(&p, false);
			ask_some(&p, w, t, &tally);
			bh_world_unref(w);
		}
		bh_tables_free(t);
		wg_done(&p);
	}
	print_message("%zu halves, %zu of them allowed\n", tally.n, tally.allowed);
	/* both answers must be common, or nothing has been compared */
	assert_true(tally.n > WORLDS * 100);
	assert_true(tally.allowed > tally.n / 10 && tally.allowed < tally.n - tally.n / 10);
}

static void test_plain_worlds(void **state)
{
	(void)state;
	compare(true);
}

static void test_contested_worlds(void **state)
{
	(void)state;
	compare(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_worlds),
		cmocka_unit_test(test_contested_worlds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
