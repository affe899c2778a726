#include "daemon/metrics.h"

#include <stdio.h>

#include "base/log.h"
#include "base/reason.h"
#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/journal.h"
#include "daemon/observe.h"
#include "daemon/runtime.h"
#include "daemon/runtime_hash.h"
#include "daemon/sinks.h"
#include "http/server.h"

static void gauge(struct bh_str *out, const char *name, const char *help, double value)
{
	bh_str_fmt(out, "# TYPE bulkhead_%s gauge\n# HELP bulkhead_%s %s\nbulkhead_%s %.17g\n",
		   name, name, help, name, value);
}

static void counter(struct bh_str *out, const char *name, const char *help, uint64_t value)
{
	bh_str_fmt(out,
		   "# TYPE bulkhead_%s counter\n# HELP bulkhead_%s %s\nbulkhead_%s_total %llu\n",
		   name, name, help, name, (unsigned long long)value);
}

static void drops(struct bh_daemon *d, struct bh_str *out)
{
	struct bh_drop v[BH_R_COUNT] = {0};

	if (bh_datapath_drops(d->dp, v) < 0)
		return;
	bh_str_add(out,
		   "# TYPE bulkhead_dropped_packets counter\n"
		   "# HELP bulkhead_dropped_packets Packets and calls refused, by reason.\n");
	for (unsigned i = 0; i < BH_R_COUNT; i++) {
		if (v[i].packets)
			bh_str_fmt(out, "bulkhead_dropped_packets_total{reason=\"%s\"} %llu\n",
				   bh_reason_name(i), (unsigned long long)v[i].packets);
	}
}

static void maps(struct bh_daemon *d, struct bh_str *out)
{
	struct bh_map_fill v[64];
	size_t n = bh_datapath_maps(d->dp, v, 64);

	n += bh_runtime_maps(d->runtime, v + n, 64 - n);
	bh_str_add(out,
		   "# TYPE bulkhead_map_entries gauge\n"
		   "# HELP bulkhead_map_entries Entries in each kernel map.\n");
	for (size_t i = 0; i < n; i++)
		bh_str_fmt(out, "bulkhead_map_entries{map=\"%s\"} %llu\n", v[i].name,
			   (unsigned long long)v[i].used);
	bh_str_add(out,
		   "# TYPE bulkhead_map_max_entries gauge\n"
		   "# HELP bulkhead_map_max_entries Room in each kernel map.\n");
	for (size_t i = 0; i < n; i++)
		bh_str_fmt(out, "bulkhead_map_max_entries{map=\"%s\"} %llu\n", v[i].name,
			   (unsigned long long)v[i].max);
}

static void endpoints(struct bh_daemon *d, struct bh_str *out)
{
	unsigned open = 0, shut = 0, quarantined = 0;

	bh_vec_each (it, &d->endpoints.eps) {
		if ((*it)->is_quarantined)
			quarantined++;
		else if ((*it)->is_open)
			open++;
		else
			shut++;
	}
	bh_str_fmt(out,
		   "# TYPE bulkhead_endpoints gauge\n"
		   "# HELP bulkhead_endpoints Pod interfaces, by state.\n"
		   "bulkhead_endpoints{state=\"open\"} %u\nbulkhead_endpoints{state=\"shut\"} %u\n"
		   "bulkhead_endpoints{state=\"quarantined\"} %u\n",
		   open, shut, quarantined);
}

/* Rules that end: within a day, within a week. */
static void expiries(const struct bh_world *w, struct bh_str *out)
{
	unsigned day = 0, week = 0;
	int64_t now = bh_now_s();

	for (size_t i = 0; w && i < w->n_policies; i++) {
		for (int dir = 0; dir < 2; dir++) {
			for (size_t k = 0; k < w->policies[i]->n_rules[dir]; k++) {
				int64_t left = w->policies[i]->rules[dir][k].reason.expires_s - now;

				day += left > 0 && left <= 86400;
				week += left > 0 && left <= 7 * 86400;
			}
		}
	}
	bh_str_fmt(out,
		   "# TYPE bulkhead_rules_expiring gauge\n"
		   "# HELP bulkhead_rules_expiring Rules that end within the time given.\n"
		   "bulkhead_rules_expiring{within=\"1d\"} %u\n"
		   "bulkhead_rules_expiring{within=\"7d\"} %u\n",
		   day, week);
}

static void sinks(struct bh_daemon *d, struct bh_str *out)
{
	static const char *const results[] = {"delivered", "refused", "lost", "retries"};
	json_t *list = bh_sinks_status(d->sinks), *s;
	size_t i;

	bh_str_add(out,
		   "# TYPE bulkhead_sink_events counter\n"
		   "# HELP bulkhead_sink_events Events of each sink, by what came of them.\n");
	json_array_foreach(list, i, s)
	{
		for (size_t k = 0; k < BH_ARRAY_SIZE(results); k++)
			bh_str_fmt(out,
				   "bulkhead_sink_events_total{sink=\"%s\",result=\"%s\"} %lld\n",
				   json_string_value(json_object_get(s, "name")), results[k],
				   json_integer_value(json_object_get(s, results[k])));
	}
	bh_str_add(out,
		   "# TYPE bulkhead_sink_behind gauge\n"
		   "# HELP bulkhead_sink_behind Events in the log that the sink has not got.\n");
	json_array_foreach(list, i, s) bh_str_fmt(out, "bulkhead_sink_behind{sink=\"%s\"} %lld\n",
						  json_string_value(json_object_get(s, "name")),
						  json_integer_value(json_object_get(s, "behind")));
	json_decref(list);
}

static void journal(struct bh_daemon *d, struct bh_str *out)
{
	struct bh_journal_books b = bh_journal_books(d->journal);

	counter(out, "log_events", "Events written to the log since it began.", b.written);
	gauge(out, "log_waiting", "Events that wait because the log cannot be written.",
	      (double)b.waiting);
	counter(out, "log_missed", "Events that could not be written and found no room to wait.",
		b.missed);
	counter(out, "events_without_digest",
		"Events written before the digest of their executable was there.", b.pending);
	counter(out, "digests_not_told", "Digests of such executables that no event told later.",
		b.forgotten);
}

static void images(struct bh_daemon *d, struct bh_str *out)
{
	struct bh_images_count c = bh_images_count(d->images);

	if (!d->images)
		return;
	bh_str_fmt(out,
		   "# TYPE bulkhead_image_verdicts counter\n"
		   "# HELP bulkhead_image_verdicts Verdicts about images of pods, by result.\n"
		   "bulkhead_image_verdicts_total{verdict=\"accept\"} %llu\n"
		   "bulkhead_image_verdicts_total{verdict=\"reject\"} %llu\n"
		   "bulkhead_image_verdicts_total{verdict=\"undecided\"} %llu\n",
		   (unsigned long long)c.accepted, (unsigned long long)c.rejected,
		   (unsigned long long)c.undecided);
	counter(out, "image_verifications", "Images that workers were asked about.",
		c.verifications);
	counter(out, "image_refused_pods", "Pods refused for their images.", c.refused_pods);
	counter(out, "image_cut_pods", "Pods quarantined for what they run.", c.cut_pods);
	counter(out, "image_mismatches", "Images that ran and were not the judged ones.",
		c.mismatches);
	gauge(out, "image_runtime_images", "Images that run, by the runtime or the manifests.",
	      (double)c.containers);
	gauge(out, "image_verdicts_cached", "Verdicts in memory.", (double)c.cached);
}

/* Of the pods that run; books begin anew with every tenant of a slot, hence no counters. */
static void tracing(struct bh_daemon *d, struct bh_str *out)
{
	struct bh_trace_slot b = bh_runtime_total(d->runtime);
	const struct {
		const char *outcome;
		uint64_t n;
	} rows[] = {
		{"delivered", b.delivered + b.swept},
		{"deduplicated", b.deduplicated},
		{"deferred", b.deferred - b.swept},
		{"lost", b.lost},
	};

	gauge(out, "trace_seen", "Tracing events of the pods that run.", (double)b.seen);
	bh_str_add(
		out,
		"# TYPE bulkhead_trace_events gauge\n"
		"# HELP bulkhead_trace_events What became of them; their sum is what was seen.\n");
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		bh_str_fmt(out, "bulkhead_trace_events{outcome=\"%s\"} %llu\n", rows[i].outcome,
			   (unsigned long long)rows[i].n);
	gauge(out, "trace_execs", "Programs started by the pods that run.", (double)b.execs);
	gauge(out, "trace_killed", "Tasks that a RuntimePolicy killed.", (double)b.killed);
}

static void findings(struct bh_daemon *d, struct bh_str *out)
{
	static const char *const severities[] = {NULL, "informational", "low", "medium", "high"};
	uint64_t n[BH_ARRAY_SIZE(severities)];

	bh_runtime_findings(d->runtime, n);
	bh_str_add(out,
		   "# TYPE bulkhead_findings counter\n"
		   "# HELP bulkhead_findings Findings told, each once for its workload, by "
		   "severity.\n");
	for (size_t i = 1; i < BH_ARRAY_SIZE(severities); i++)
		bh_str_fmt(out, "bulkhead_findings_total{severity=\"%s\"} %llu\n", severities[i],
			   (unsigned long long)n[i]);
}

/* Executables by what is known of their digests. */
static void hashing(struct bh_daemon *d, struct bh_str *out)
{
	struct bh_digests_count c = bh_digests_count(bh_runtime_digests(d->runtime));

	bh_str_add(out,
		   "# TYPE bulkhead_hashes counter\n"
		   "# HELP bulkhead_hashes Executables of events, by how their digest was "
		   "found or why it was not.\n");
	for (int i = 0; i < BH_DIGESTS_OUTCOMES; i++)
		bh_str_fmt(out, "bulkhead_hashes_total{outcome=\"%s\"} %llu\n",
			   bh_digests_outcome_name((enum bh_digests_outcome)i),
			   (unsigned long long)c.n[i]);
	counter(out, "hashed_bytes", "Bytes that workers read for digests.", c.bytes);
	gauge(out, "hashes_waiting", "Files that wait for a worker or are being read.", c.waiting);
}

static void write_metrics(struct bh_str *out, void *arg)
{
	struct bh_daemon *d = arg;
	struct bh_reconcile_state st = bh_reconcile_state(d->reconciler);

	gauge(out, "up", "1 while the daemon runs.", 1);
	gauge(out, "policy_live", "1 while the newest policy set is the enforced one.",
	      st.world && !st.failure);
	gauge(out, "policies", "Policies in force.", st.world ? (double)st.world->n_policies : 0);
	counter(out, "revision", "Successful publishes.", st.revision);
	counter(out, "publish_failures", "Publishes that failed.", st.failures);
	gauge(out, "publish_seconds", "Duration of the last publish.", st.last_ms / 1000);
	endpoints(d, out);
	expiries(st.world, out);
	drops(d, out);
	maps(d, out);
	journal(d, out);
	sinks(d, out);
	images(d, out);
	tracing(d, out);
	findings(d, out);
	hashing(d, out);
}

static bool is_ready(struct bh_str *why, void *arg)
{
	struct bh_daemon *d = arg;
	struct bh_reconcile_state st = bh_reconcile_state(d->reconciler);

	if (st.world && (!st.failure || st.is_policy_refused))
		return true;
	bh_str_add(why, st.failure ? st.failure : "nothing is published yet");
	return false;
}

void bh_metrics_open(struct bh_daemon *d)
{
	struct bh_http_pages pages = {write_metrics, is_ready, d};
	struct bh_err err = {0};

	if (!d->cfg->http_listen[0])
		return;
	if (bh_http_server_open(d->loop, d->cfg->http_listen, &pages, &d->http, &err) < 0) {
		snprintf(d->http_trouble, sizeof(d->http_trouble), "%.127s", err.text);
		bh_warn("no HTTP listener: %s", err.text);
	}
}

void bh_metrics_close(struct bh_daemon *d)
{
	bh_http_server_closep(&d->http);
}
