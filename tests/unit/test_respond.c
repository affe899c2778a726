/* What is done about findings: evidence, budgets, replicas, exemptions, dry run. */
#include "bh_test.h"

#include "base/own.h"
#include "respond/respond.h"

#define S 1000000000ull

struct pod {
	struct bh_subject subject;
	struct bh_activity activity;
	struct bh_finding finding;
};

/* A finding of `detector` that wants `response`, in pod number `id` of shop/web. */
static struct pod *finding(struct pod *p, const char *detector, enum bh_response response,
			   uint64_t id)
{
	const struct bh_detector *d = bh_detector_find(detector);

	assert_non_null(d);
	memset(p, 0, sizeof(*p));
	p->subject = (struct bh_subject){.ns = "shop",
					 .owner_kind = "Deployment",
					 .owner = "web",
					 .pod = "web-1",
					 .pod_id = id};
	p->activity = (struct bh_activity){.ts_ns = 1000 * S, .subject = &p->subject};
	p->activity.process.pid = 77;
	p->finding = (struct bh_finding){.detector = d,
					 .activity = &p->activity,
					 .severity = d->severity,
					 .signal = d->signal,
					 .response = response,
					 .key = "k",
					 .text = "t"};
	return p;
}

static struct bh_answer decide(struct bh_respond *r, const struct pod *p, unsigned all,
			       unsigned isolated)
{
	const struct bh_replicas replicas = {.all = all, .isolated = isolated};
	struct bh_answer a;

	bh_respond_decide(r, &p->finding, &replicas, &a);
	assert_true(*a.text);
	assert_true((a.held == BH_HELD_NOT) == (a.response == a.wished && a.response));
	return a;
}

static struct bh_respond *respond(const struct bh_respond_options *opt)
{
	struct bh_respond *r = NULL;
	struct bh_err err;

	bh_assert_ok(&err, bh_respond_new(opt, &r, &err));
	return r;
}

static void test_quarantine_needs_evidence(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r =
		respond(&(struct bh_respond_options){.pods_per_hour = 100, .node_per_hour = 100});
	struct pod p;

	(void)state;
	/* one signal of provenance */
	assert_int_equal(decide(r, finding(&p, "fileless", BH_RESPOND_QUARANTINE, 1), 4, 0).held,
			 BH_HELD_NOT);
	/* one of another family, again and again, then another one */
	finding(&p, "cron", BH_RESPOND_QUARANTINE, 2);
	assert_int_equal(decide(r, &p, 4, 0).held, BH_HELD_EVIDENCE);
	assert_int_equal(decide(r, &p, 4, 0).held, BH_HELD_EVIDENCE);
	assert_int_equal(decide(r, finding(&p, "history", BH_RESPOND_QUARANTINE, 2), 4, 0).held,
			 BH_HELD_EVIDENCE);
	assert_int_equal(decide(r, finding(&p, "scan", BH_RESPOND_QUARANTINE, 2), 4, 0).held,
			 BH_HELD_NOT);
	/* far apart in time they are two, not one */
	assert_int_equal(decide(r, finding(&p, "cron", BH_RESPOND_QUARANTINE, 3), 4, 0).held,
			 BH_HELD_EVIDENCE);
	finding(&p, "scan", BH_RESPOND_QUARANTINE, 3);
	p.activity.ts_ns += 3600 * S;
	assert_int_equal(decide(r, &p, 4, 0).held, BH_HELD_EVIDENCE);
	/* an alert is evidence too; what is of low severity or posture is not */
	assert_int_equal(decide(r, finding(&p, "fileless", BH_RESPOND_ALERT, 4), 4, 0).held,
			 BH_HELD_WISH);
	assert_int_equal(decide(r, finding(&p, "cron", BH_RESPOND_QUARANTINE, 4), 4, 0).held,
			 BH_HELD_NOT);
	decide(r, finding(&p, "new-edge", BH_RESPOND_ALERT, 5), 4, 0);
	decide(r, finding(&p, "privileged", BH_RESPOND_ALERT, 5), 4, 0);
	assert_int_equal(decide(r, finding(&p, "cron", BH_RESPOND_QUARANTINE, 5), 4, 0).held,
			 BH_HELD_EVIDENCE);
	/* another pod's evidence is not this one's; and it goes with its pod */
	bh_respond_pod_gone(r, 2);
	assert_int_equal(decide(r, finding(&p, "scan", BH_RESPOND_QUARANTINE, 2), 4, 0).held,
			 BH_HELD_EVIDENCE);
}

static void test_replicas_stay(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r = respond(&(struct bh_respond_options){
		.pods_per_hour = 100, .node_per_hour = 100, .least_share = 0.5});
	static const struct {
		unsigned all, isolated;
		enum bh_held held;
	} rows[] = {
		{1, 0, BH_HELD_NOT},	  {0, 0, BH_HELD_NOT},	     {2, 0, BH_HELD_NOT},
		{2, 1, BH_HELD_REPLICAS}, {3, 0, BH_HELD_NOT},	     {3, 1, BH_HELD_REPLICAS},
		{10, 4, BH_HELD_NOT},	  {10, 5, BH_HELD_REPLICAS}, {2, 9, BH_HELD_REPLICAS},
	};
	struct bh_replicas done = {.all = 4, .isolated = 1, .is_isolated = true};
	struct bh_answer a;
	struct pod p;
	size_t i;

	(void)state;
	for (i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		finding(&p, "fileless", i % 2 ? BH_RESPOND_FREEZE : BH_RESPOND_QUARANTINE, 1);
		assert_int_equal(decide(r, &p, rows[i].all, rows[i].isolated).held, rows[i].held);
	}
	bh_respond_decide(r, &p.finding, &done, &a);
	assert_int_equal(a.held, BH_HELD_DONE);
	bh_respond_freep(&r);
	r = respond(&(struct bh_respond_options){
		.pods_per_hour = 100, .node_per_hour = 100, .least_share = 1});
	assert_int_equal(decide(r, &p, 1, 0).held, BH_HELD_REPLICAS);
}

static void test_budgets(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r = respond(&(struct bh_respond_options){
		.pods_per_hour = 2, .node_per_hour = 3, .kills_per_hour = 5});
	struct pod p;
	unsigned i;

	(void)state;
	finding(&p, "fileless", BH_RESPOND_QUARANTINE, 1);
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	p.activity.ts_ns += 1800 * S;
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_BUDGET);
	p.activity.ts_ns += 1900 * S; /* the first one is more than an hour ago */
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	p.subject.owner = "db"; /* its own budget, but the node's is one */
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	p.subject.owner = "cache";
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_BUDGET);
	p.activity.ts_ns += 100 * 3600 * S;
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	finding(&p, "fileless", BH_RESPOND_KILL, 1);
	for (i = 0; i < 5; i++)
		assert_int_equal(decide(r, &p, 1, 0).pid, 77);
	assert_int_equal(decide(r, &p, 1, 0).held, BH_HELD_BUDGET);
}

/* What a daemon did before it was started again counts; zero means none at all. */
static void test_spent_before(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r =
		respond(&(struct bh_respond_options){.pods_per_hour = 2, .node_per_hour = 9});
	struct pod p;

	(void)state;
	finding(&p, "fileless", BH_RESPOND_QUARANTINE, 1);
	p.activity.ts_ns = 100000 * S;
	bh_respond_spent(r, &p.subject, BH_RESPOND_FREEZE, p.activity.ts_ns - 4000 * S);
	bh_respond_spent(r, &p.subject, BH_RESPOND_QUARANTINE, p.activity.ts_ns - 100 * S);
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_BUDGET);
	bh_respond_freep(&r);
	r = respond(&(struct bh_respond_options){.node_per_hour = 9});
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_BUDGET);
}

/* Kills are counted apart, before a restart too. */
static void test_kills_spent_before(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r = respond(&(struct bh_respond_options){
		.pods_per_hour = 1, .node_per_hour = 1, .kills_per_hour = 2});
	struct pod p;

	(void)state;
	finding(&p, "fileless", BH_RESPOND_KILL, 1);
	p.activity.ts_ns = 100000 * S;
	bh_respond_spent(r, &p.subject, BH_RESPOND_KILL, p.activity.ts_ns - 100 * S);
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_BUDGET);
	p.finding.response = BH_RESPOND_QUARANTINE;
	assert_int_equal(decide(r, &p, 9, 0).held, BH_HELD_NOT);
}

/* Every job is an owner of its own; there is room for those that come after thousands. */
static void test_owners_are_forgotten(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r = respond(&(struct bh_respond_options){.kills_per_hour = 1});
	char owner[16];
	struct pod p;

	(void)state;
	finding(&p, "fileless", BH_RESPOND_KILL, 1);
	p.subject.owner = owner;
	for (unsigned i = 0; i < 9000; i++) {
		snprintf(owner, sizeof(owner), "job-%u", i);
		p.activity.ts_ns += 2 * S;
		assert_int_equal(decide(r, &p, 1, 0).held, BH_HELD_NOT);
	}
	assert_int_equal(decide(r, &p, 1, 0).held, BH_HELD_BUDGET);
}

/* What the kernel has killed itself needs no second kill, and costs no budget. */
static void test_stopped_by_the_kernel(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r = respond(&(struct bh_respond_options){.kills_per_hour = 1});
	struct bh_answer a;
	struct pod p;

	(void)state;
	finding(&p, "policy-exec", BH_RESPOND_KILL, 1);
	p.activity.process.flags = BH_PROC_STOPPED;
	for (int i = 0; i < 3; i++) {
		a = decide(r, &p, 1, 0);
		assert_int_equal(a.held, BH_HELD_STOPPED);
		assert_int_equal(a.wished, BH_RESPOND_KILL);
		assert_string_equal(a.text,
				    "kill for shop/web-1 because of policy-exec, "
				    "and the kernel has stopped it");
	}
	p.activity.process.flags = 0;
	assert_int_equal(decide(r, &p, 1, 0).held, BH_HELD_NOT);
}

/* Each answer is told once for each pod, and so is each reason to do nothing. */
static void test_news(void **state)
{
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *r =
		respond(&(struct bh_respond_options){.pods_per_hour = 1, .node_per_hour = 9});
	struct pod p;

	(void)state;
	finding(&p, "cron", BH_RESPOND_QUARANTINE, 1);
	assert_true(decide(r, &p, 9, 0).is_news);
	assert_false(decide(r, &p, 9, 0).is_news);
	finding(&p, "fileless", BH_RESPOND_QUARANTINE, 1);
	assert_true(decide(r, &p, 9, 0).is_news);
	assert_true(decide(r, &p, 9, 0).is_news);
	assert_false(decide(r, &p, 9, 0).is_news);
	finding(&p, "fileless", BH_RESPOND_QUARANTINE, 2);
	assert_true(decide(r, &p, 9, 0).is_news);
}

static void test_exempt_dry_and_targets(void **state)
{
	static const char *const exempt[] = {"kube-system", "shop", NULL};
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *dry =
		respond(&(struct bh_respond_options){.is_dry_run = true, .kills_per_hour = 9});
	BH_CLEANUP(bh_respond_freep)
	struct bh_respond *some =
		respond(&(struct bh_respond_options){.exempt = exempt, .kills_per_hour = 9});
	struct pod p;

	(void)state;
	finding(&p, "fileless", BH_RESPOND_KILL, 1);
	assert_int_equal(decide(dry, &p, 1, 0).held, BH_HELD_DRY_RUN);
	assert_int_equal(decide(some, &p, 1, 0).held, BH_HELD_EXEMPT);
	p.subject.ns = "other";
	assert_int_equal(decide(some, &p, 1, 0).held, BH_HELD_NOT);
	assert_non_null(strstr(decide(some, &p, 1, 0).text, "kill for other/web-1"));
	p.activity.process.pid = 0;
	assert_int_equal(decide(some, &p, 1, 0).held, BH_HELD_TARGET);
	finding(&p, "posture", BH_RESPOND_KILL, 1);
	p.subject.ns = "other";
	assert_int_equal(decide(some, &p, 1, 0).held, BH_HELD_POSTURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quarantine_needs_evidence),
		cmocka_unit_test(test_replicas_stay),
		cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_spent_before),
		cmocka_unit_test(test_kills_spent_before),
		cmocka_unit_test(test_owners_are_forgotten),
		cmocka_unit_test(test_stopped_by_the_kernel),
		cmocka_unit_test(test_news),
		cmocka_unit_test(test_exempt_dry_and_targets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
