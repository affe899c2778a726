#include "detect/detect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/rows.h"
#include "detect/state.h"

#define MAX_WORKLOADS 4096
#define MAX_FINDINGS  512
#define MAX_PODS      2048

static void policies_done(struct bh_runtime_set *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		bh_runtime_policy_unref(set->v[i]);
	free((void *)set->v);
	*set = (struct bh_runtime_set){0};
}

static void pod_done(struct bh_pod_state *p)
{
	policies_done(&p->policies);
	free(p->denied_hosts);
	free(p->denied_ports);
	free(p->reached);
	free(p->dns);
}

static void pod_free(void *v)
{
	pod_done(v);
	free(v);
}

static void workload_free(void *v)
{
	struct bh_workload_state *w = v;

	bh_map_done(&w->findings);
	free(w);
}

static void index_rows(struct bh_detect *d)
{
	size_t i;
	int kind;

	for (kind = 0; kind < BH_ACT_COUNT; kind++) {
		for (i = 0; i < bh_n_detectors; i++) {
			if (bh_detectors[i].acts & (1u << kind))
				d->rows[kind][d->n_rows[kind]++] = (uint8_t)i;
		}
	}
}

int bh_detect_new(const struct bh_detect_options *opt, struct bh_detect **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_detect_freep) struct bh_detect *d = calloc(1, sizeof(*d));

	if (!d)
		return bh_fail(err, ENOMEM, "detectors");
	d->opt = *opt;
	if (!d->opt.max_workloads)
		d->opt.max_workloads = MAX_WORKLOADS;
	if (!d->opt.max_findings)
		d->opt.max_findings = MAX_FINDINGS;
	if (!d->opt.max_pods)
		d->opt.max_pods = MAX_PODS;
	if (!d->opt.start_ns)
		d->opt.start_ns = BH_DETECT_START_NS;
	if (!d->opt.busy_ns)
		d->opt.busy_ns = BH_DETECT_BUSY_NS;
	bh_map_init(&d->pods, pod_free);
	bh_map_init(&d->workloads, workload_free);
	d->procs = calloc(BH_PROC_SETS * BH_PROC_WAYS, sizeof(*d->procs));
	if (!d->procs)
		return bh_fail(err, ENOMEM, "detectors");
	index_rows(d);
	*ret = BH_TAKE(d);
	return 0;
}

void bh_detect_free(struct bh_detect *d)
{
	if (!d)
		return;
	bh_map_done(&d->pods);
	bh_map_done(&d->workloads);
	pod_done(&d->shared);
	free(d->procs);
	free(d);
}

void bh_detect_freep(struct bh_detect **d)
{
	bh_detect_free(*d);
	*d = NULL;
}

const struct bh_detector *bh_detector_find(const char *name)
{
	size_t i;

	for (i = 0; i < bh_n_detectors; i++) {
		if (!strcmp(bh_detectors[i].name, name))
			return &bh_detectors[i];
	}
	return NULL;
}

/* ---- pods ---- */

/* NULL beyond the limit or without memory. */
static struct bh_pod_state *pod_get(struct bh_detect *d, const struct bh_subject *s)
{
	struct bh_pod_state *p = bh_map_get(&d->pods, &s->pod_id, sizeof(s->pod_id));

	if (p || d->pods.count >= d->opt.max_pods)
		return p;
	p = calloc(1, sizeof(*p));
	if (p && bh_map_set(&d->pods, &s->pod_id, sizeof(s->pod_id), p)) {
		free(p);
		return NULL;
	}
	if (p) {
		p->pod_id = s->pod_id;
		p->workload = s->workload;
		p->start_ns = s->pod_start_ns;
	}
	return p;
}

int bh_detect_set_pod(struct bh_detect *d, const struct bh_subject *s,
		      const struct bh_detect_pod *pod)
{
	struct bh_pod_state *p = pod_get(d, s);
	struct bh_runtime_policy **v = NULL;
	size_t i, n = pod->policies.n;

	if (n)
		v = calloc(n, sizeof(struct bh_runtime_policy *));
	if (!p || (n && !v)) {
		free(v);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++)
		v[i] = bh_runtime_policy_ref(pod->policies.v[i]);
	policies_done(&p->policies);
	p->policies = (struct bh_runtime_set){v, n};
	p->baseline = pod->baseline;
	return 0;
}

int bh_detect_set_baseline(struct bh_detect *d, const struct bh_subject *s,
			   struct bh_baseline *baseline)
{
	struct bh_pod_state *p = pod_get(d, s);

	if (!p)
		return -ENOMEM;
	p->baseline = baseline;
	return 0;
}

void bh_detect_pod_gone(struct bh_detect *d, uint64_t pod_id)
{
	bh_map_del(&d->pods, &pod_id, sizeof(pod_id));
}

/* ---- findings ---- */

/* Jobs and new images are workloads of their own: the one that has no pod any more, and found
 * nothing for longest, makes room. */
static void forget_workload(struct bh_detect *d)
{
	BH_CLEANUP(bh_map_done) struct bh_map live = {0};
	const struct bh_map_entry *e, *oldest = NULL;
	uint64_t oldest_ns = UINT64_MAX;
	size_t pos = 0;

	while ((e = bh_map_next(&d->pods, &pos))) {
		const struct bh_pod_state *p = e->value;

		if (bh_map_set(&live, &p->workload, sizeof(p->workload), e->value))
			return;
	}
	for (pos = 0; (e = bh_map_next(&d->workloads, &pos));) {
		const struct bh_workload_state *w = e->value;

		if (w->last_ns >= oldest_ns || bh_map_get(&live, e->key, e->key_len))
			continue;
		oldest_ns = w->last_ns;
		oldest = e;
	}
	if (oldest)
		bh_map_del(&d->workloads, oldest->key, oldest->key_len);
}

static struct bh_workload_state *workload_get(struct bh_detect *d, uint64_t id)
{
	struct bh_workload_state *w = bh_map_get(&d->workloads, &id, sizeof(id));

	if (!w && d->workloads.count >= d->opt.max_workloads)
		forget_workload(d);
	if (w || d->workloads.count >= d->opt.max_workloads)
		return w;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	bh_map_init(&w->findings, free);
	if (bh_map_set(&d->workloads, &id, sizeof(id), w)) {
		workload_free(w);
		return NULL;
	}
	return w;
}

static struct bh_found_state *found_add(struct bh_workload_state *w, const char *key)
{
	struct bh_found_state *f = calloc(1, sizeof(*f));

	if (f && bh_map_set_s(&w->findings, key, f)) {
		free(f);
		return NULL;
	}
	return f;
}

/* Beyond the limit all keys of a detector share one record, so that they are still counted. */
static struct bh_found_state *found_get(struct bh_detect *d, const struct bh_detector *row,
					const struct bh_judge *j)
{
	struct bh_workload_state *w = workload_get(d, j->a->subject->workload);
	char key[64 + BH_FINDING_KEY];
	struct bh_found_state *f;

	if (!w)
		return NULL;
	w->last_ns = j->a->ts_ns;
	snprintf(key, sizeof(key), "%s %s", row->name, j->key);
	f = bh_map_get_s(&w->findings, key);
	if (f)
		return f;
	if (w->findings.count < d->opt.max_findings)
		return found_add(w, key);
	snprintf(key, sizeof(key), "%s (further ones)", row->name);
	f = bh_map_get_s(&w->findings, key);
	return f ? f : found_add(w, key);
}

/* With `baseline: required` whatever is new is one, but not what one replica did before. */
static bool is_violation(const struct bh_detector *row, const struct bh_judge *j)
{
	return row->family == BH_DETECT_VIOLATION ||
	       (row->family == BH_DETECT_BASELINE && j->severity > BH_SEVERITY_INFO &&
		bh_runtime_baseline_use(&j->pod->policies) == BH_BASELINE_REQUIRED);
}

/* `anomaly` answers whatever is not a violation, unless it is too slight to act upon. */
static struct bh_runtime_answer answer_to(const struct bh_detector *row, const struct bh_judge *j)
{
	struct bh_runtime_answer answer = {.response = row->response};
	const char *kind = NULL;

	if (is_violation(row, j))
		kind = "violation";
	else if (j->signal != BH_SIGNAL_POSTURE && j->severity >= BH_SEVERITY_MEDIUM)
		kind = "anomaly";
	bh_runtime_answer(&j->pod->policies, row->name, kind, &answer);
	return answer;
}

/* What happened on two processors may be told the other way round. */
static void note_time(struct bh_found_state *f, uint64_t ts_ns)
{
	if (!f->count || ts_ns < f->first_ns)
		f->first_ns = ts_ns;
	if (ts_ns > f->last_ns)
		f->last_ns = ts_ns;
}

static void raise_finding(struct bh_detect *d, const struct bh_detector *row,
			  const struct bh_judge *j)
{
	struct bh_found_state *f = found_get(d, row, j);
	const struct bh_runtime_answer answer = answer_to(row, j);
	struct bh_finding out = {.detector = row,
				 .activity = j->a,
				 .severity = j->severity,
				 .signal = j->signal,
				 .response = answer.response,
				 .key = j->key,
				 .text = j->text,
				 .policy = j->policy ? j->policy : answer.policy,
				 .line = j->policy ? j->line : answer.line,
				 .is_violation = j->policy,
				 .score = j->score,
				 .usual = j->usual,
				 .first_ns = j->a->ts_ns,
				 .last_ns = j->a->ts_ns,
				 .count = 1,
				 .is_new = true,
				 .is_raised = true};

	d->stats.findings++;
	d->stats.no_memory += !f;
	if (f) {
		out.is_new = !f->count;
		out.is_raised = j->severity > f->severity;
		f->detector = row;
		note_time(f, j->a->ts_ns);
		out.first_ns = f->first_ns;
		out.count = ++f->count;
		if (out.is_raised)
			f->severity = j->severity;
	}
	d->stats.raised += out.is_raised;
	d->stats.raised_by[j->severity] += out.is_raised;
	/* how a pod is made says nothing about what it does */
	if (j->severity > BH_SEVERITY_INFO && j->signal != BH_SIGNAL_POSTURE)
		j->pod->is_suspect = true;
	if (d->opt.on_finding)
		d->opt.on_finding(&out, d->opt.arg);
}

int bh_detect_each(const struct bh_detect *d, int (*fn)(const struct bh_found *f, void *arg),
		   void *arg)
{
	size_t pos = 0, at;
	struct bh_map_entry *e, *x;
	int r = 0;

	while (!r && (e = bh_map_next(&d->workloads, &pos))) {
		const struct bh_workload_state *w = e->value;

		for (at = 0; !r && (x = bh_map_next(&w->findings, &at));) {
			const struct bh_found_state *f = x->value;
			struct bh_found out = {.detector = f->detector,
					       .key = strchr(x->key, ' ') + 1,
					       .severity = f->severity,
					       .first_ns = f->first_ns,
					       .last_ns = f->last_ns,
					       .count = f->count};

			memcpy(&out.workload, e->key, sizeof(out.workload));
			r = fn(&out, arg);
		}
	}
	return r;
}

/* ---- judging ---- */

void bh_judge_key(struct bh_judge *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->key, sizeof(j->key), fmt, ap);
	va_end(ap);
}

void bh_judge_say(struct bh_judge *j, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->text, sizeof(j->text), fmt, ap);
	va_end(ap);
}

bool bh_judge_is_tainted(const struct bh_judge *j)
{
	uint32_t line = 0;

	if (j->proc)
		line = j->a->kind == BH_ACT_EXEC ? j->proc->inherited : j->proc->line;
	return line & BH_LINE_TAINT;
}

bool bh_judge_is_helper(const struct bh_judge *j)
{
	return j->proc && j->a->kind != BH_ACT_EXEC &&
	       (j->proc->line & (BH_LINE_TAINT | BH_LINE_HELPER)) ==
		       (BH_LINE_SERVER_CHILD | BH_LINE_HELPER);
}

void bh_judge_weigh(struct bh_judge *j)
{
	if (bh_judge_is_tainted(j) && j->severity < BH_SEVERITY_HIGH)
		j->severity++;
	else if (j->is_starting && j->severity > BH_SEVERITY_INFO)
		j->severity--;
}

/* Building an image, which begins with packages or a compiler, takes longer. */
#define BUILD_SPANS 30

bool bh_pod_is_starting(const struct bh_detect *d, const struct bh_pod_state *pod, uint64_t ts_ns)
{
	uint64_t span = d->opt.start_ns * (pod->is_built || pod->is_compiled ? BUILD_SPANS : 1);

	return pod->start_ns && ts_ns && (ts_ns <= pod->start_ns || ts_ns - pod->start_ns < span);
}

static bool is_starting(const struct bh_detect *d, const struct bh_judge *j)
{
	return bh_pod_is_starting(d, j->pod, j->a->ts_ns) && !bh_judge_is_tainted(j);
}

/* What builds an image is told that it does, by the row of package managers; with that the steps of
 * the build are said. */
static bool is_build_step(const struct bh_detector *row, const struct bh_judge *j)
{
	return j->is_starting && j->pod->is_built && j->severity <= BH_SEVERITY_MEDIUM &&
	       (row->family == BH_DETECT_ALWAYS || row->family == BH_DETECT_CHAIN) &&
	       row->on != bh_row_package_manager &&
	       (row->signal == BH_SIGNAL_PROVENANCE || row->signal == BH_SIGNAL_FILE ||
		row->on == bh_row_setuid_bit);
}

/* What a package manager unpacks and runs is said by its own row, once. */
static bool is_packaging(const struct bh_detector *row, const struct bh_judge *j)
{
	return j->proc && (j->proc->line & BH_LINE_PACKAGES) && !bh_judge_is_tainted(j) &&
	       row->family != BH_DETECT_VIOLATION && row->on != bh_row_package_manager &&
	       (row->signal == BH_SIGNAL_PROVENANCE || row->signal == BH_SIGNAL_FILE ||
		row->signal == BH_SIGNAL_SECRET || row->on == bh_row_setuid_bit);
}

static bool is_wanted(const struct bh_detector *row, const struct bh_judge *j)
{
	if (is_packaging(row, j))
		return false;
	/* the runtime prepares the container with its own code */
	if ((j->a->process.flags & BH_PROC_RUNTIME) && row->family != BH_DETECT_VIOLATION)
		return false;
	return row->family != BH_DETECT_BASELINE ||
	       bh_runtime_baseline_use(&j->pod->policies) != BH_BASELINE_OFF;
}

static bool is_mounted(enum bh_provenance p)
{
	return p == BH_PROV_VOLUME || p == BH_PROV_OTHER;
}

/* After the rows have looked: what later activities are compared with. */
static void remember(struct bh_judge *j)
{
	const struct bh_activity *a = j->a;

	j->pod->has_container |= a->kind == BH_ACT_START || a->process.parent_exec_id;
	if (a->kind == BH_ACT_EXEC && j->proc && (j->proc->line & BH_LINE_FOREIGN) &&
	    !bh_judge_is_tainted(j) && bh_code_is_unpacked(j)) {
		j->proc->line &= ~(uint32_t)BH_LINE_FOREIGN;
		j->proc->line |= BH_LINE_UNPACKED;
	}
	if (a->kind == BH_ACT_EXEC && j->is_starting)
		j->pod->is_compiled |= bh_act_compiles(&a->process);
	if (a->kind == BH_ACT_EXEC && a->process.provenance != BH_PROV_IMAGE &&
	    a->process.provenance != BH_PROV_METACOPY && !is_mounted(a->process.provenance)) {
		bh_made_note(j->pod, a);
	} else if (a->kind == BH_ACT_FILE) {
		bh_made_note(j->pod, a);
		if (a->u.file.op <= BH_FILE_CHMOD)
			bh_code_note(j);
	} else if (a->kind == BH_ACT_IO_URING) {
		j->pod->has_io_uring = true;
	} else if (a->kind == BH_ACT_START) {
		j->pod->start_ns = a->ts_ns;
	}
}

static void begin_row(struct bh_judge *j, const struct bh_detector *row,
		      const struct bh_activity *a)
{
	j->a = a;
	j->severity = row->severity;
	j->signal = row->signal;
	j->policy = NULL;
	j->line = 0;
	j->score = j->usual = 0;
	j->key[0] = j->text[0] = '\0';
}

/* The same by where its files are besides; false: nowhere. */
static bool is_elsewhere(const struct bh_activity *a, bool is_own_only, struct bh_activity *ret)
{
	const struct bh_act_file *f = &a->u.file;
	bool is_there[2];
	int i;

	for (i = 0; i < 2; i++)
		is_there[i] = f->place[i] && *f->place[i] && (f->is_own_place[i] || !is_own_only);
	if (!is_there[0] && !is_there[1])
		return false;
	*ret = *a;
	ret->u.file.path = is_there[0] ? f->place[0] : f->path;
	ret->u.file.target = is_there[1] ? f->place[1] : f->target;
	return true;
}

/* A bind mount gives a file another path, and the one that matters may be the other one. What a
 * policy lets be written is counted in the container's own tree. */
static bool look_elsewhere(struct bh_judge *j, const struct bh_detector *row,
			   struct bh_activity *other)
{
	const struct bh_act_file *f = &j->a->u.file;
	size_t n;

	if (j->a->kind != BH_ACT_FILE ||
	    (row->family != BH_DETECT_ALWAYS && row->family != BH_DETECT_VIOLATION) ||
	    !is_elsewhere(j->a, row->family == BH_DETECT_VIOLATION, other))
		return false;
	begin_row(j, row, other);
	if (!row->on(j))
		return false;
	n = strlen(j->text);
	snprintf(j->text + n, sizeof(j->text) - n, ", reached as %s",
		 *f->target ? f->target : f->path);
	return true;
}

/* other: room for a as it may look from elsewhere; j->a is that when it decided. */
static bool asks(const struct bh_detector *row, struct bh_judge *j, const struct bh_activity *a,
		 struct bh_activity *other)
{
	begin_row(j, row, a);
	return is_wanted(row, j) && (row->on(j) || look_elsewhere(j, row, other));
}

bool bh_detect_broken(struct bh_detect *d, const struct bh_activity *a, struct bh_detect_rule *ret)
{
	struct bh_judge j = {.d = d, .a = a, .pod = pod_get(d, a->subject)};
	struct bh_activity other;

	if ((unsigned)a->kind >= BH_ACT_COUNT || !j.pod || !j.pod->policies.n)
		return false;
	for (int i = 0; i < d->n_rows[a->kind]; i++) {
		const struct bh_detector *row = &bh_detectors[d->rows[a->kind][i]];

		/* these look at the activity and the policies, and at nothing that they keep */
		if (row->family != BH_DETECT_VIOLATION || row->signal == BH_SIGNAL_POSTURE ||
		    !asks(row, &j, a, &other))
			continue;
		*ret = (struct bh_detect_rule){j.policy, j.line};
		return true;
	}
	return false;
}

void bh_detect_feed(struct bh_detect *d, const struct bh_activity *a)
{
	struct bh_judge j = {.d = d, .a = a, .pod = pod_get(d, a->subject)};
	struct bh_activity other;
	int i;

	d->stats.activities++;
	if ((unsigned)a->kind >= BH_ACT_COUNT)
		return;
	if (!j.pod) {
		d->stats.no_memory++;
		j.pod = &d->shared;
	}
	j.proc = bh_proc_follow(d, a);
	j.is_starting = is_starting(d, &j);
	for (i = 0; i < d->n_rows[a->kind]; i++) {
		const struct bh_detector *row = &bh_detectors[d->rows[a->kind][i]];

		if (!asks(row, &j, a, &other))
			continue;
		if (is_build_step(row, &j))
			j.severity = BH_SEVERITY_INFO;
		raise_finding(d, row, &j);
	}
	j.a = a;
	remember(&j);
}

void bh_detect_stats(const struct bh_detect *d, struct bh_detect_stats *ret)
{
	*ret = d->stats;
	ret->n_workloads = d->workloads.count;
	ret->n_pods = d->pods.count;
	ret->bytes = sizeof(*d) + BH_PROC_SETS * BH_PROC_WAYS * sizeof(*d->procs) +
		     d->pods.count * sizeof(struct bh_pod_state);
}
