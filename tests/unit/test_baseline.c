/* Baselines: what they learn, when they stop, what they say afterwards, and their files. */
#include "detect_rig.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/own.h"
#include "base/str.h"
#include "detect/baseline.h"

#define SLICE 600ull

static const struct bh_subject web = {.ns = "shop",
				      .owner_kind = "Deployment",
				      .owner = "web",
				      .container = "web",
				      .image_digest = "sha256:11",
				      .pod = "web-1",
				      .pod_id = 1};

static struct bh_baseline *fresh(void)
{
	struct bh_baseline *b = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_baseline_new(&web, NULL, &b, &err));
	return b;
}

/* Never closes by itself. */
static struct bh_baseline *endless(void)
{
	const struct bh_base_options opt = {.min_units = 100000};
	struct bh_baseline *b = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_baseline_new(&web, &opt, &b, &err));
	return b;
}

static void see(struct bh_baseline *b, enum bh_base_kind kind, const char *text, uint64_t pod,
		uint64_t slice)
{
	const struct bh_base_sighting s = {
		.pod_id = pod, .ts_ns = slice * SLICE * S, .now_s = 1700000000 + (int64_t)slice};

	assert_int_equal(bh_baseline_see(b, kind, text, &s), 0);
}

/* One slice of a pod's ordinary life. */
static void live(struct bh_baseline *b, uint64_t pod, uint64_t slice)
{
	see(b, BH_BASE_EXEC, "/usr/sbin/app", pod, slice);
	see(b, BH_BASE_CHAIN, "(outside) > /usr/sbin/app", pod, slice);
	see(b, BH_BASE_EDGE, "out TCP 5432 pod shop/StatefulSet/db", pod, slice);
	see(b, BH_BASE_EDGE, "in TCP 80 outside", pod, slice);
	see(b, BH_BASE_LISTEN, "TCP 80", pod, slice);
	see(b, BH_BASE_PATH, "/var/log/app", pod, slice);
	see(b, BH_BASE_SYSCALL, "0", pod, slice);
	see(b, BH_BASE_SYSCALL, "1", pod, slice);
	see(b, BH_BASE_USE, "user 33", pod, slice);
}

static void learn(struct bh_baseline *b)
{
	uint64_t slice, pod;

	for (slice = 1; slice <= 8; slice++) {
		for (pod = 1; pod <= 3; pod++)
			live(b, pod, slice);
	}
}

static void test_stops_by_itself(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = fresh(), *busy = fresh();
	char text[64], why[160];
	uint64_t i;

	(void)state;
	live(b, 1, 1);
	assert_false(b->is_closed);
	assert_non_null(strstr(bh_baseline_waits_for(b, why, sizeof(why)), "1 of 3 starts"));
	for (i = 2; i < 40; i++)
		live(b, 1, i); /* however long, one start is one start */
	assert_false(b->is_closed);
	for (i = 40; i < 44; i++) {
		live(b, 2, i);
		live(b, 3, i);
	}
	assert_true(b->is_closed);
	assert_null(bh_baseline_waits_for(b, why, sizeof(why)));
	/* something new in each slice: there is more to come */
	for (i = 1; i < 200; i++) {
		live(busy, 1 + i % 3, i);
		snprintf(text, sizeof(text), "/usr/bin/tool-%c%c", 'a' + (int)(i / 26),
			 'a' + (int)(i % 26));
		see(busy, BH_BASE_EXEC, text, 1 + i % 3, i);
	}
	assert_false(busy->is_closed);
	assert_non_null(strstr(bh_baseline_waits_for(busy, why, sizeof(why)), "exec"));
	assert_true(bh_baseline_unseen(busy, BH_BASE_EXEC) > 0.1);
	assert_true(bh_baseline_unseen(busy, BH_BASE_LISTEN) < 0.02);
}

/* Repeating oneself within a slice is not evidence of anything. */
static void test_repetition_does_not_count(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = fresh();
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		see(b, BH_BASE_EXEC, "/bin/a", 1, 1);
	assert_true(bh_baseline_unseen(b, BH_BASE_EXEC) > 0.9);
	assert_int_equal(b->units, 1);
}

static void test_confirmation(void **state)
{
	struct bh_base_sighting s = {.pod_id = 2, .ts_ns = 5 * SLICE * S, .is_suspect = true};
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = fresh();

	(void)state;
	see(b, BH_BASE_EXEC, "/bin/once", 1, 1);
	see(b, BH_BASE_EXEC, "/bin/once", 1, 2);
	see(b, BH_BASE_EXEC, "/bin/shell", 1, 1);
	assert_int_equal(bh_baseline_see(b, BH_BASE_EXEC, "/bin/shell", &s), 0);
	learn(b);
	bh_baseline_close(b);
	assert_int_equal(bh_baseline_has(b, BH_BASE_EXEC, "/usr/sbin/app"), BH_BASE_KNOWN);
	assert_int_equal(bh_baseline_has(b, BH_BASE_EXEC, "/bin/once"), BH_BASE_UNCONFIRMED);
	assert_int_equal(bh_baseline_has(b, BH_BASE_EXEC, "/bin/shell"), BH_BASE_UNCONFIRMED);
	assert_int_equal(bh_baseline_has(b, BH_BASE_EXEC, "/bin/never"), BH_BASE_NEW);
	see(b, BH_BASE_EXEC, "/bin/later", 1, 90); /* closed: learns nothing */
	assert_int_equal(bh_baseline_has(b, BH_BASE_EXEC, "/bin/later"), BH_BASE_NEW);
	bh_baseline_confirm_all(b);
	assert_int_equal(bh_baseline_has(b, BH_BASE_EXEC, "/bin/once"), BH_BASE_KNOWN);
}

static void test_keys_are_bounded(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = fresh();
	char text[32], why[160];
	int i;

	(void)state;
	for (i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "TCP %d", i);
		see(b, BH_BASE_LISTEN, text, (uint64_t)(1 + i % 4), (uint64_t)(1 + i % 50));
	}
	assert_int_equal(b->facts[BH_BASE_LISTEN].count, BH_BASE_MAX_KEYS);
	assert_int_equal(b->overflow, 5000 - BH_BASE_MAX_KEYS);
	assert_non_null(strstr(bh_baseline_waits_for(b, why, sizeof(why)), "no room"));
}

static void test_merge(void **state)
{
	struct bh_subject other = web;
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *a = fresh(), *b = fresh(), *c = NULL;
	struct bh_err err;

	(void)state;
	live(a, 1, 1);
	live(b, 9, 1);
	see(b, BH_BASE_EXEC, "/bin/only-b", 9, 1);
	bh_assert_ok(&err, bh_baseline_merge(a, b, &err));
	assert_int_equal(bh_baseline_has(a, BH_BASE_EXEC, "/usr/sbin/app"), BH_BASE_KNOWN);
	assert_int_equal(bh_baseline_has(a, BH_BASE_EXEC, "/bin/only-b"), BH_BASE_UNCONFIRMED);
	assert_int_equal(a->starts, 2);
	other.image_digest = "sha256:22";
	bh_assert_ok(&err, bh_baseline_new(&other, NULL, &c, &err));
	bh_assert_fails(&err, -EINVAL, "web", bh_baseline_merge(a, c, &err));
}

/* ---- detectors on it ---- */

static void feed_all(struct rig *r)
{
	static const char *const words[] = {"/usr/sbin/app -d", "/bin/true"};
	size_t i;

	for (i = 0; i < BH_ARRAY_SIZE(words); i++)
		rig_exec(r, words[i]);
}

static void test_detectors(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless();
	struct bh_base_key keys[BH_BASE_KEYS_MAX];
	struct bh_activity a;
	struct bh_err err;
	struct rig r;
	uint64_t pod, slice;
	size_t i, n;

	(void)state;
	rig_init(&r, 600);
	for (slice = 1; slice <= 6; slice++) {
		for (pod = 1; pod <= 3; pod++) {
			live(b, pod, slice);
			a = rig_act(&r, BH_ACT_EXEC, "/usr/sbin/app");
			n = bh_baseline_keys(&a, keys);
			assert_int_equal(n, 3);
			for (i = 0; i < n; i++)
				see(b, keys[i].kind, keys[i].text, pod, slice);
		}
	}
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	feed_all(&r);
	rig_expect_silent(&r); /* still learning */
	bh_baseline_close(b);
	rig_exec(&r, "/usr/sbin/app -d");
	rig_expect_silent(&r);
	rig_exec(&r, "/bin/true");
	assert_non_null(rig_found(&r, "new-exec"));
	assert_null(rig_found(&r, "anomaly")); /* one new thing is not an anomaly */
	rig_expect(&r, "new-chain", BH_SEVERITY_LOW);
	a = rig_act(&r, BH_ACT_EDGE, "/usr/sbin/app");
	a.u.edge = (struct bh_act_edge){.is_egress = true,
					.proto = 6,
					.port = 5432,
					.peer = BH_EDGE_POD,
					.peer_name = "shop/StatefulSet/db"};
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	a.u.edge.peer_name = "shop/Deployment/billing"; /* in the cluster, and new all the same */
	rig_feed(&r, &a);
	assert_null(rig_found(&r, "anomaly"));
	rig_expect(&r, "new-edge", BH_SEVERITY_LOW);
	a.u.edge = (struct bh_act_edge){.is_egress = true,
					.proto = 6,
					.port = 443,
					.peer = BH_EDGE_OUTSIDE,
					.peer_name = ""};
	bh_assert_ok(&err, bh_ip_parse("198.51.100.7", &a.u.edge.remote, &err));
	rig_feed(&r, &a);
	assert_non_null(rig_found(&r, "new-edge"));
	/* by now it is much at once */
	rig_expect(&r, "anomaly", BH_SEVERITY_MEDIUM);
	a = rig_act(&r, BH_ACT_LISTEN, "/usr/sbin/app");
	a.u.listen.proto = 6;
	a.u.listen.port = 4444;
	rig_feed(&r, &a);
	assert_non_null(rig_found(&r, "new-port"));
	rig_file(&r, BH_FILE_WRITE, "/usr/sbin/app", "/srv/data/x");
	assert_non_null(rig_found(&r, "new-path"));
	rig_done(&r);
}

static void report(struct rig *r, const uint64_t *set, const uint16_t (*pairs)[2], size_t n)
{
	struct bh_activity a = rig_act(r, BH_ACT_SYSCALLS, "");

	a.u.syscalls.set = set;
	a.u.syscalls.n_words = set ? 8 : 0;
	a.u.syscalls.bigrams = pairs;
	a.u.syscalls.n_bigrams = n;
	a.u.syscalls.all_bigrams = 100;
	rig_feed(r, &a);
}

static void test_system_calls(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless();
	static const uint16_t one[][2] = {{3, 7}};
	const struct bh_base_sighting seen = {.pod_id = 1, .now_s = 1};
	uint16_t many[40][2];
	uint64_t set[8] = {3};
	struct bh_activity a;
	struct rig r;
	unsigned i;

	(void)state;
	rig_init(&r, 600);
	learn(b);
	a = rig_act(&r, BH_ACT_SYSCALLS, "");
	a.u.syscalls.set = set;
	a.u.syscalls.n_words = 8;
	assert_int_equal(bh_baseline_observe(b, &a, &seen), 0);
	a = rig_act(&r, BH_ACT_SYSCALLS, "");
	a.u.syscalls.bigrams = (const uint16_t[][2]){{0, 1}, {1, 0}};
	a.u.syscalls.n_bigrams = 2;
	assert_int_equal(bh_baseline_observe(b, &a, &seen), 0);
	bh_baseline_close(b);
	assert_true(bh_baseline_has_bigram(b, 0, 1));
	assert_false(bh_baseline_has_bigram(b, 3, 7));
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	report(&r, set, NULL, 0);
	report(&r, NULL, one, 1); /* one new pair never alerts */
	rig_expect_silent(&r);
	for (i = 0; i < 40; i++) {
		many[i][0] = (uint16_t)(i + 5);
		many[i][1] = (uint16_t)(i * 3 % 11);
	}
	report(&r, NULL, (const uint16_t(*)[2])many, 40);
	rig_expect(&r, "new-syscall", BH_SEVERITY_LOW);
	set[1] = 7ull << 30;
	report(&r, set, NULL, 0);
	rig_expect(&r, "new-syscall", BH_SEVERITY_LOW);
	rig_done(&r);
}

/* ---- files ---- */

static void test_file_round_trip(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = fresh(), *again = NULL, *more = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str one = {0}, two = {0}, diff = {0};
	uint8_t bits[BH_BASE_BLOOM] = {1, 2, 3};
	struct bh_err err;

	(void)state;
	see(b, BH_BASE_PATH, "/odd \"name\"\\\xc3\xa9", 1, 1);
	assert_int_equal(bh_baseline_see_bloom(b, bits), 0);
	learn(b);
	assert_int_equal(bh_baseline_write(b, &one), 0);
	bh_assert_ok(&err, bh_baseline_read(one.s, one.n, &again, &err));
	assert_int_equal(again->workload, b->workload);
	assert_int_equal(bh_baseline_write(again, &two), 0);
	assert_string_equal(one.s, two.s);
	/* the same pod after a restart is no second one; a pod of another node is */
	again->is_closed = false;
	assert_int_equal(bh_baseline_has(again, BH_BASE_PATH, "/odd \"name\"\\\xc3\xa9"),
			 BH_BASE_UNCONFIRMED);
	see(again, BH_BASE_PATH, "/odd \"name\"\\\xc3\xa9", 1, 50);
	assert_int_equal(again->starts, b->starts);
	assert_int_equal(bh_baseline_has(again, BH_BASE_PATH, "/odd \"name\"\\\xc3\xa9"),
			 BH_BASE_UNCONFIRMED);
	bh_baseline_forget_replicas(again);
	see(again, BH_BASE_PATH, "/odd \"name\"\\\xc3\xa9", 1, 50);
	assert_int_equal(again->starts, b->starts + 1);
	assert_int_equal(bh_baseline_has(again, BH_BASE_PATH, "/odd \"name\"\\\xc3\xa9"),
			 BH_BASE_KNOWN);
	assert_int_equal(bh_baseline_diff(b, again, &diff), 0);
	bh_assert_ok(&err, bh_baseline_read(one.s, one.n, &more, &err));
	more->is_closed = false;
	see(more, BH_BASE_LISTEN, "TCP 81", 5, 9);
	assert_int_equal(bh_baseline_diff(b, more, &diff), 1);
	assert_string_equal(diff.s, "+ listen TCP 81\n");
	bh_str_done(&diff);
	assert_int_equal(bh_baseline_diff(more, b, &diff), 1);
	assert_string_equal(diff.s, "- listen TCP 81\n");
}

/* What is told late does not make a file that cannot be read back. */
static void test_late_sightings(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless(), *back = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str text = {0};
	struct bh_err err;

	(void)state;
	see(b, BH_BASE_EXEC, "/bin/a", 1, 5);
	see(b, BH_BASE_EXEC, "/bin/a", 1, 3);
	assert_int_equal(bh_baseline_write(b, &text), 0);
	bh_assert_ok(&err, bh_baseline_read(text.s, text.n, &back, &err));
	assert_int_equal(bh_baseline_diff(b, back, &text), 0);
}

/* What is not news counts in the slice in which it is told, once. */
static void test_daemon_restarts(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless(), *back = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str text = {0}, again = {0};
	struct bh_base_sighting s = {.pod_id = 1, .ts_ns = 5 * SLICE * S, .now_s = 1700000005};
	struct bh_base_options opt;
	struct bh_err err;

	(void)state;
	see(b, BH_BASE_EXEC, "/bin/a", 1, 5);
	see(b, BH_BASE_EXEC, "/bin/b", 2, 5);
	s.pod_id = 2;
	s.is_suspect = true;
	assert_int_equal(bh_baseline_see(b, BH_BASE_EXEC, "/bin/a", &s), 0);
	b->held_out[0] = 1.5;
	b->n_held_out = 1;
	b->unit_score[1] = 2.25;
	assert_int_equal(bh_baseline_write(b, &text), 0);
	bh_assert_ok(&err, bh_baseline_read(text.s, text.n, &back, &err));
	opt = b->opt;
	bh_baseline_set_options(back, &opt);
	bh_baseline_resume(back, 5 * SLICE * S);
	assert_int_equal(bh_baseline_write(back, &again), 0);
	assert_string_equal(text.s, again.s);
	/* in the same slice nothing counts twice; whoever was suspect is */
	see(back, BH_BASE_EXEC, "/bin/a", 1, 5);
	see(back, BH_BASE_EXEC, "/bin/a", 2, 5);
	assert_int_equal(back->units, b->units);
	assert_int_equal(bh_baseline_has(back, BH_BASE_EXEC, "/bin/a"), BH_BASE_UNCONFIRMED);
	s = (struct bh_base_sighting){.pod_id = 1, .ts_ns = 7 * SLICE * S, .now_s = 1700000007};
	s.is_remembered = true;
	assert_int_equal(bh_baseline_see(back, BH_BASE_EXEC, "/bin/a", &s), 0);
	assert_int_equal(
		((const struct bh_base_fact *)bh_map_get_s(&back->facts[BH_BASE_EXEC], "/bin/a"))
			->units,
		2);
	assert_int_equal(back->units, b->units + 1);
	/* another machine's clock, or other slices */
	bh_baseline_resume(back, 2 * SLICE * S);
	assert_int_equal(back->unit_of[0], 0);
}

/* More replicas than places at once are neither taken for new ones again and again, nor confirm. */
static void test_many_replicas(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless();
	uint64_t slice, pod;

	(void)state;
	for (slice = 1; slice <= 5; slice++) {
		for (pod = 1; pod <= 20; pod++)
			live(b, pod, slice);
	}
	assert_int_equal(b->starts, BH_BASE_REPLICAS);
	assert_int_equal(b->units, 5 * BH_BASE_REPLICAS);
	/* who came instead of others that went is a new one */
	for (slice = 6; slice <= 8; slice++)
		live(b, 1, slice);
	live(b, 99, 8);
	assert_int_equal(b->starts, BH_BASE_REPLICAS + 1);
	assert_int_equal(b->replica[0], 1);
}

/* Time in which nothing new happens is time that was seen. */
static void test_quiet_life(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = fresh();
	struct bh_base_sighting s;
	char why[160];

	(void)state;
	for (uint64_t pod = 1; pod <= 3; pod++)
		live(b, pod, 1);
	assert_non_null(strstr(bh_baseline_waits_for(b, why, sizeof(why)), "3 of 12 slices"));
	for (uint64_t slice = 2; slice <= 4; slice++) {
		for (s = (struct bh_base_sighting){.pod_id = 1}; s.pod_id <= 3; s.pod_id++) {
			s.ts_ns = slice * SLICE * S;
			bh_baseline_live(b, &s);
		}
	}
	assert_true(b->is_closed);
	assert_int_equal(b->units, 12);
}

/* A replica that comes later brings no pairs that the others had not. */
static void test_filters_of_pairs(void **state)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless();
	uint8_t bits[BH_BASE_BLOOM] = {0xff, 0xff, 0xff, 0xff}, more[BH_BASE_BLOOM] = {0};
	struct bh_base_sighting s = {.pod_id = 2, .is_suspect = true};
	struct bh_activity a;
	struct rig r;

	(void)state;
	rig_init(&r, 600);
	learn(b);
	a = rig_act(&r, BH_ACT_SYSCALLS, "");
	a.u.syscalls.new_pairs = bits;
	a.u.syscalls.all_bigrams = 32;
	assert_int_equal(bh_baseline_observe(b, &a, &s), 0);
	assert_null(b->bloom);
	s = (struct bh_base_sighting){.pod_id = 1};
	assert_int_equal(bh_baseline_observe(b, &a, &s), 0);
	assert_memory_equal(b->bloom, bits, BH_BASE_BLOOM);
	bh_baseline_close(b);
	assert_int_equal(bh_detect_set_pod(r.d, &r.subject, &(struct bh_detect_pod){.baseline = b}),
			 0);
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	more[100] = 3; /* one pair */
	a.u.syscalls.new_pairs = more;
	rig_feed(&r, &a);
	rig_expect_silent(&r);
	more[101] = more[102] = 0xff;
	rig_feed(&r, &a);
	rig_expect(&r, "new-syscall", BH_SEVERITY_LOW);
	rig_done(&r);
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *from, *to, *part;
	} rows[] = {
		{"\"Baseline\"", "\"Pod\"", "not a Baseline"},
		{"\"units\":24", "\"units\":0", "units"},
		{"\"units\":24", "\"units\":\"8\"", "units"},
		{"\"starts\": 3", "\"starts\": -1", "starts"},
		{"\"key\":\"TCP 80\"", "\"key\":\"\"", "0 bytes"},
		{"\"container\":\"web\"", "\"container\":1", "container"},
		{"\"facts\"", "\"fakts\"", "facts"},
		{"\"suspects\": 0", "\"suspects\": 256", "progress"},
		{"\"slice\": ", "\"slice\": -", "progress"},
		{"\"now\":7", "\"now\":-7", "now"},
	};
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = endless(), *again = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str good = {0};
	struct bh_err err;
	size_t i, cut;

	(void)state;
	learn(b);
	assert_int_equal(bh_baseline_write(b, &good), 0);
	for (i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		char *at = strstr(good.s, rows[i].from);
		BH_CLEANUP(bh_str_done) struct bh_str bad = {0};

		if (!at)
			fail_msg("'%s' is not in the file", rows[i].from);
		bh_str_addn(&bad, good.s, (size_t)(at - good.s));
		bh_str_add(&bad, rows[i].to);
		bh_str_add(&bad, at + strlen(rows[i].from));
		bh_assert_fails(&err, -EINVAL, rows[i].part,
				bh_baseline_read(bad.s, bad.n, &again, &err));
	}
	for (cut = 0; cut < good.n - 1; cut += 97)
		assert_int_not_equal(bh_baseline_read(good.s, cut, &again, &err), 0);
	assert_null(again);
}

static char *make_key(int type, bool is_public)
{
	EVP_PKEY *key = type == EVP_PKEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
						 : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem, *copy;
	long n;

	assert_non_null(key);
	if (is_public)
		assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	else
		assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &pem);
	copy = strndup(pem, (size_t)n);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return copy;
}

static void test_signature(void **state)
{
	BH_CLEANUP(bh_freep) char *key = make_key(EVP_PKEY_ED25519, false);
	BH_CLEANUP(bh_freep) char *other = make_key(EVP_PKEY_ED25519, true);
	BH_CLEANUP(bh_freep) char *ec = make_key(EVP_PKEY_EC, false);
	BH_CLEANUP(bh_freep) char *payload = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str file = {0};
	struct bh_err err;
	char *body;

	(void)state;
	bh_assert_ok(&err, bh_signed_write("{\"a\": 1}\n", key, &file, &err));
	bh_assert_ok(&err, bh_signed_read(file.s, file.n, key, &payload, &err));
	assert_string_equal(payload, "{\"a\": 1}\n");
	bh_freep(&payload);
	bh_assert_fails(&err, -EKEYREJECTED, "not signed",
			bh_signed_read(file.s, file.n, other, &payload, &err));
	bh_assert_fails(&err, -EINVAL, "Ed25519",
			bh_signed_read(file.s, file.n, ec, &payload, &err));
	bh_assert_fails(&err, -EINVAL, "private", bh_signed_write("x", other, &file, &err));
	bh_assert_fails(&err, -EINVAL, "PEM",
			bh_signed_read(file.s, file.n, "no key", &payload, &err));
	/* another byte in the payload, then bytes that are not the canonical text of any */
	body = strstr(file.s, "\"payload\": \"") + 12;
	body[3] = body[3] == 'A' ? 'B' : 'A';
	bh_assert_fails(&err, -EKEYREJECTED, "not signed",
			bh_signed_read(file.s, file.n, key, &payload, &err));
	body[3] = '*';
	bh_assert_fails(&err, -EINVAL, "base64",
			bh_signed_read(file.s, file.n, key, &payload, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stops_by_itself),
		cmocka_unit_test(test_repetition_does_not_count),
		cmocka_unit_test(test_confirmation),
		cmocka_unit_test(test_keys_are_bounded),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_detectors),
		cmocka_unit_test(test_system_calls),
		cmocka_unit_test(test_file_round_trip),
		cmocka_unit_test(test_late_sightings),
		cmocka_unit_test(test_daemon_restarts),
		cmocka_unit_test(test_quiet_life),
		cmocka_unit_test(test_many_replicas),
		cmocka_unit_test(test_filters_of_pairs),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_signature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
