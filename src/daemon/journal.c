#include "daemon/journal_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "bulkhead_version.h"
#include "daemon/daemon.h"
#include "event/backlog.h"
#include "event/bus.h"
#include "event/hold.h"
#include "event/ocsf_process.h"
#include "policy/order.h"
#include "sink/file.h"

#define DAY_S	    86400
#define RETRY_MS    1000
#define RETRY_SLICE 200

struct bh_bus *bh_journal_bus(struct bh_journal *j)
{
	return j->bus;
}

const char *bh_journal_path(const struct bh_journal *j)
{
	return j->path;
}

struct bh_chain bh_journal_head(const struct bh_journal *j)
{
	return bh_event_log_head(j->log);
}

bool bh_journal_is_older(const struct bh_journal *j)
{
	return j->is_older;
}

struct bh_event_log_state bh_journal_state(const struct bh_journal *j)
{
	return bh_event_log_state(j->log);
}

struct bh_loop *bh_journal_loop(const struct bh_journal *j)
{
	return j->d->loop;
}

int64_t bh_journal_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- a log that cannot be written ---- */

/* true when it is in the log, or never will be, and is counted. event NULL: there is no memory to
 * read it again. */
static bool append(struct bh_journal *j, const json_t *event)
{
	struct bh_err err = {0};
	int r = event ? bh_event_log_append(j->log, event, &err)
		      : bh_fail(&err, EMSGSIZE, "an event that waited cannot be read again");

	if (r == 0) {
		j->d->log_trouble[0] = '\0';
		return true;
	}
	if (!j->d->log_trouble[0]) /* not once for every event */
		bh_error("event log: %s", err.text);
	if (r == -EMSGSIZE) {
		bh_event_log_missed(j->log, 1);
		j->missed++;
		return true;
	}
	snprintf(j->d->log_trouble, sizeof(j->d->log_trouble), "%.200s", err.text);
	return false;
}

/* Its line is the one that says how many there are not. */
static void tell_missed(struct bh_journal *j, uint64_t n)
{
	char text[80];
	const struct bh_ocsf_config c = {.time_ms = bh_journal_now_ms(),
					 .change = BH_CHANGE_FAILED,
					 .object = "event log",
					 .text = text};

	snprintf(text, sizeof(text), "%llu events could not be written", (unsigned long long)n);
	bh_error("event log: %s", text);
	bh_journal_event(j, bh_ocsf_config(&j->ocsf, &c));
}

/* Writes some of what waits, in the order in which it came; the rest after a while. */
static void retry(void *arg)
{
	struct bh_journal *j = arg;
	bool goes_on = true;
	uint64_t dropped;

	for (int i = 0; i < RETRY_SLICE && goes_on && bh_backlog_count(j->backlog); i++) {
		BH_CLEANUP(bh_json_decrefp) json_t *event = bh_backlog_first(j->backlog);

		goes_on = append(j, event);
		if (goes_on)
			bh_backlog_done(j->backlog);
	}
	if (bh_backlog_count(j->backlog)) {
		bh_source_after(j->retry_timer, goes_on ? 0 : RETRY_MS);
		return;
	}
	dropped = bh_backlog_take_dropped(j->backlog);
	if (!dropped)
		return;
	j->missed += dropped;
	bh_event_log_missed(j->log, dropped);
	tell_missed(j, dropped);
}

/* Writes the event and hands it to followers. A log that cannot be written never stops enforcement;
 * status says so, and events wait while there is room for them. */
static void write_event(json_t *take_event, void *arg)
{
	struct bh_journal *j = arg;

	if (!take_event) {
		append(j, NULL);
		return;
	}
	if (bh_backlog_count(j->backlog) || !append(j, take_event)) {
		if (!bh_backlog_count(j->backlog))
			bh_source_after(j->retry_timer, RETRY_MS);
		bh_backlog_add(j->backlog, take_event);
	}
	bh_bus_publish(j->bus, take_event);
	json_decref(take_event);
}

struct bh_journal_books bh_journal_books(const struct bh_journal *j)
{
	const struct bh_hold_count c = bh_hold_count(j->hold);

	return (struct bh_journal_books){
		.written = bh_event_log_head(j->log).seq,
		.waiting = bh_backlog_count(j->backlog),
		.missed = j->missed + bh_backlog_dropped(j->backlog),
		.pending = c.pending,
		.forgotten = c.forgotten,
	};
}

/* ---- events that wait ---- */

static void fill(json_t *event, const char *sha256, const char *why, void *arg)
{
	(void)arg;
	bh_ocsf_put_digest(event, sha256, why);
}

static void on_late(const json_t *event, const char *sha256, void *arg)
{
	struct bh_journal *j = arg;

	bh_journal_event(j, bh_ocsf_late_digest(&j->ocsf, event, sha256, bh_journal_now_ms()));
}

static void flush(void *arg)
{
	struct bh_journal *j = arg;
	int64_t now = monotonic_ms(), next = bh_hold_flush(j->hold, now);

	if (next != INT64_MAX)
		bh_source_after(j->hold_timer, (uint64_t)(next - now));
}

void bh_journal_hold(struct bh_journal *j, json_t *take_event, uint64_t ticket)
{
	const struct bh_hold_event e = {
		.take_event = take_event,
		.ticket = ticket,
		.is_main = json_integer_value(json_object_get(take_event, "class_uid")) ==
			   BH_OCSF_PROCESS,
	};
	bool was_idle = bh_journal_told(j) == bh_journal_logged(j);

	bh_hold_add(j->hold, &e, monotonic_ms());
	if (ticket && was_idle)
		bh_source_after(j->hold_timer, BH_HOLD_MS);
}

void bh_journal_event(struct bh_journal *j, json_t *take_event)
{
	bh_journal_hold(j, take_event, 0);
}

void bh_journal_digest(struct bh_journal *j, uint64_t ticket, const char *sha256, const char *why)
{
	bh_hold_resolve(j->hold, ticket, sha256, why, monotonic_ms());
}

uint64_t bh_journal_told(const struct bh_journal *j)
{
	return bh_hold_count(j->hold).added;
}

uint64_t bh_journal_logged(const struct bh_journal *j)
{
	return bh_hold_count(j->hold).written;
}

struct bh_ocsf *bh_journal_ocsf(struct bh_journal *j)
{
	return &j->ocsf;
}

static void tell_policy(struct bh_journal *j, const struct bh_policy *p, enum bh_ocsf_change change)
{
	BH_CLEANUP(bh_freep)
	char *object = bh_strf("%s %s/%s", bh_policy_kind_name(p->kind), p->ns, p->name);
	BH_CLEANUP(bh_freep)
	char *place = p->file ? bh_strf("%s:%u", p->file, p->place.line) : NULL;
	struct bh_ocsf_config c = {
		.time_ms = bh_journal_now_ms(),
		.change = change,
		.object = object,
		.place = place,
		.revision = bh_reconcile_state(j->d->reconciler).revision + 1,
	};

	if (object)
		bh_journal_event(j, bh_ocsf_config(&j->ocsf, &c));
}

/* Both worlds list their policies in the same order; an object that did not change is the same. */
void bh_journal_world(struct bh_journal *j, const struct bh_world *before,
		      const struct bh_world *after)
{
	size_t b = 0, a = 0;

	j->last_failure[0] = '\0';
	/* the start of the daemon changes no policy */
	if (!before || before->policies == after->policies)
		return;
	while (b < before->n_policies || a < after->n_policies) {
		struct bh_policy *old = b < before->n_policies ? before->policies[b] : NULL;
		struct bh_policy *now = a < after->n_policies ? after->policies[a] : NULL;
		int r = old == now ? 0 : !old ? 1 : !now ? -1 : bh_policy_order(old, now);

		if (r < 0)
			tell_policy(j, old, BH_CHANGE_REMOVED);
		else if (r > 0)
			tell_policy(j, now, BH_CHANGE_ADDED);
		else if (old != now)
			tell_policy(j, now, BH_CHANGE_CHANGED);
		b += r <= 0;
		a += r >= 0;
	}
}

void bh_journal_publish_failed(struct bh_journal *j, const char *why)
{
	struct bh_ocsf_config c = {
		.time_ms = bh_journal_now_ms(),
		.change = BH_CHANGE_FAILED,
		.object = "policy set",
		.text = why,
		.revision = bh_reconcile_state(j->d->reconciler).revision,
	};

	/* It is tried again and again; told once. */
	if (!strcmp(j->last_failure, why))
		return;
	snprintf(j->last_failure, sizeof(j->last_failure), "%s", why);
	bh_error("policy is not live: %s", why);
	bh_journal_event(j, bh_ocsf_config(&j->ocsf, &c));
}

void bh_journal_sync(struct bh_journal *j)
{
	struct bh_err err = {0};

	bh_hold_flush(j->hold, INT64_MAX);
	if (bh_event_log_sync(j->log, &err) < 0)
		bh_error("event log: %s", err.text);
	bh_journal_note_head(j);
}

static void tell_expiry(struct bh_journal *j, const struct bh_policy *p, enum bh_dir dir,
			const struct bh_rule *rule, const char *stage)
{
	BH_CLEANUP(bh_freep)
	char *object = bh_strf("%s %s/%s %s[%u]", bh_policy_kind_name(p->kind), p->ns, p->name,
			       dir == BH_EGRESS ? "egress" : "ingress", rule->index);
	BH_CLEANUP(bh_freep)
	char *key = object ? bh_strf("%s %lld %s", object, (long long)rule->reason.expires_s, stage)
			   : NULL;
	BH_CLEANUP(bh_freep) char *place = NULL;
	char until[32], text[160];
	struct bh_ocsf_config c = {.time_ms = bh_journal_now_ms(), .object = object, .text = text};

	if (!key || bh_map_get_s(&j->announced, key))
		return;
	bh_map_set_s(&j->announced, key, j);
	place = p->file ? bh_strf("%s:%u", p->file, rule->place.line) : NULL;
	c.place = place;
	bh_time_format(rule->reason.expires_s, until);
	c.change = !strcmp(stage, "ended") ? BH_CHANGE_EXPIRED : BH_CHANGE_EXPIRING;
	snprintf(text, sizeof(text), "%s %s, owner %s",
		 c.change == BH_CHANGE_EXPIRED ? "ended at" : "ends at", until,
		 rule->reason.owner ? rule->reason.owner : "not named");
	bh_journal_event(j, bh_ocsf_config(&j->ocsf, &c));
}

static void tick_rule(struct bh_journal *j, const struct bh_policy *p, enum bh_dir dir,
		      const struct bh_rule *rule, int64_t now_s)
{
	int64_t left = rule->reason.expires_s - now_s;

	if (rule->reason.expires_s == INT64_MAX || left < -DAY_S)
		return;
	if (left <= 0)
		tell_expiry(j, p, dir, rule, "ended");
	else if (left <= DAY_S)
		tell_expiry(j, p, dir, rule, "one day");
	else if (left <= 7 * DAY_S)
		tell_expiry(j, p, dir, rule, "seven days");
}

void bh_journal_tick(struct bh_journal *j, const struct bh_world *w, int64_t now_s)
{
	for (size_t i = 0; w && i < w->n_policies; i++) {
		const struct bh_policy *p = w->policies[i];

		for (int dir = 0; dir < 2; dir++) {
			for (size_t k = 0; k < p->n_rules[dir]; k++)
				tick_rule(j, p, dir, &p->rules[dir][k], now_s);
		}
	}
}

void bh_journal_note_head(struct bh_journal *j)
{
	struct bh_event_log_state s = bh_event_log_state(j->log);
	struct bh_chain head = s.head;
	char hash[2 * BH_CHAIN_HASH + 1], row[224];
	/* what dies with us */
	uint64_t missed = bh_backlog_count(j->backlog) + bh_backlog_dropped(j->backlog);
	struct bh_err err = {0};

	if (head.seq == j->noted.seq && missed == j->noted_missed)
		return;
	bh_hex(head.hash, sizeof(head.hash), hash);
	snprintf(row, sizeof(row), "{\"seq\":%llu,\"hash\":\"%s\",\"first\":%llu,\"missed\":%llu}",
		 (unsigned long long)head.seq, hash, (unsigned long long)s.first,
		 (unsigned long long)missed);
	if (bh_store_put(j->d->store, "meta", "event-log-head", row, &err))
		return;
	j->noted = head;
	j->noted_missed = missed;
}

static int load_head(const char *key, const char *json, void *arg)
{
	struct bh_event_log_options *opt = arg;
	struct bh_chain *head = &opt->known;
	unsigned long long seq, first = 0, missed = 0;
	char hash[2 * BH_CHAIN_HASH + 1];

	if (strcmp(key, "event-log-head") ||
	    sscanf(json, "{\"seq\":%llu,\"hash\":\"%64[0-9a-f]\",\"first\":%llu,\"missed\":%llu}",
		   &seq, hash, &first, &missed) < 2)
		return 0;
	opt->known_first = first;
	opt->missed = missed;
	for (size_t i = 0; i < BH_CHAIN_HASH; i++) {
		unsigned byte;

		if (sscanf(hash + 2 * i, "%2x", &byte) != 1)
			return 0;
		head->hash[i] = (uint8_t)byte;
	}
	head->seq = seq;
	return 0;
}

static void tell_daemon(struct bh_journal *j, enum bh_ocsf_life life, const char *text)
{
	struct bh_ocsf_lifecycle l = {.time_ms = bh_journal_now_ms(), .life = life, .text = text};

	bh_journal_event(j, bh_ocsf_lifecycle(&j->ocsf, &l));
}

static void journal_freep(struct bh_journal **j)
{
	bh_journal_close(*j);
}

static int open_log(struct bh_journal *j, struct bh_err *err)
{
	struct bh_event_log_options opt = {0};
	int r = bh_store_each(j->d->store, "meta", load_head, &opt, err);

	if (r < 0)
		return r;
	j->noted = opt.known;
	j->missed = j->noted_missed = opt.missed;
	opt.path = j->path;
	r = bh_event_log_open(&opt, &j->log, err);
	j->is_older = !r && !opt.known.seq && bh_event_log_head(j->log).seq;
	return r;
}

static int open_hold(struct bh_journal *j, struct bh_err *err)
{
	const struct bh_hold_options opt = {write_event, fill, on_late, j};
	int r = bh_hold_new(&opt, &j->hold, err);

	if (!r)
		r = bh_backlog_new(0, &j->backlog, err);
	if (!r)
		r = bh_loop_timer(j->d->loop, UINT32_MAX, 0, retry, j, &j->retry_timer, err);

	return r ? r : bh_loop_timer(j->d->loop, UINT32_MAX, 0, flush, j, &j->hold_timer, err);
}

int bh_journal_open(struct bh_daemon *d, struct bh_journal **ret, struct bh_err *err)
{
	BH_CLEANUP(journal_freep) struct bh_journal *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return bh_fail(err, ENOMEM, "journal");
	j->d = d;
	bh_map_init(&j->announced, NULL);
	snprintf(j->instance, sizeof(j->instance), "%lld-%d", (long long)bh_journal_now_ms(),
		 (int)getpid());
	j->ocsf = (struct bh_ocsf){
		.node = d->cfg->node_name, .version = BH_VERSION, .instance = j->instance};
	j->path = bh_strf("%s/events.jsonl", d->cfg->log);
	if (!j->path)
		return bh_fail(err, ENOMEM, "journal");
	r = bh_bus_new(&j->bus, err);
	if (!r)
		r = open_hold(j, err);
	if (!r)
		r = open_log(j, err);
	if (r < 0)
		return bh_note(err, r, "event log '%s'", j->path);
	tell_daemon(j, BH_LIFE_STARTED, NULL);
	if (j->missed)
		tell_missed(j, j->missed);
	*ret = BH_TAKE(j);
	return 0;
}

void bh_journal_close(struct bh_journal *j)
{
	if (!j)
		return;
	if (j->log) {
		tell_daemon(j, BH_LIFE_STOPPED, "enforcement goes on in the kernel");
		bh_hold_flush(j->hold, INT64_MAX);
		retry(j);
		bh_journal_note_head(j);
	}
	bh_hold_free(j->hold);
	bh_backlog_free(j->backlog);
	bh_source_free(j->hold_timer);
	bh_source_free(j->retry_timer);
	bh_event_log_close(j->log);
	bh_bus_free(j->bus);
	bh_map_done(&j->announced);
	free(j->path);
	free(j);
}
