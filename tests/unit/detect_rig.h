/* detect_rig.h - a pod that does things, and what the detectors said about it. */
#pragma once

#include "bh_test.h"
#include "detect/detect.h"

#define S	 1000000000ull
#define RIG_MAX	 256
#define RIG_ARGS 512

struct rig_finding {
	const struct bh_detector *detector;
	enum bh_severity severity;
	enum bh_response response;
	char key[BH_FINDING_KEY], text[BH_FINDING_TEXT];
	uint64_t count;
	double score;
	bool is_new, is_raised;
};

struct rig {
	struct bh_detect *d;
	struct bh_subject subject;
	uint64_t now_ns, next_exec;
	struct rig_finding found[RIG_MAX];
	size_t n_found;
	char args[RIG_ARGS];
};

static inline void rig_on_finding(const struct bh_finding *f, void *arg)
{
	struct rig *r = arg;
	struct rig_finding *out;

	if (r->n_found == RIG_MAX)
		return;
	out = &r->found[r->n_found++];
	*out = (struct rig_finding){.detector = f->detector,
				    .severity = f->severity,
				    .response = f->response,
				    .count = f->count,
				    .score = f->score,
				    .is_new = f->is_new,
				    .is_raised = f->is_raised};
	snprintf(out->key, sizeof(out->key), "%s", f->key);
	snprintf(out->text, sizeof(out->text), "%s", f->text);
	assert_true(*f->text);
	assert_true(f->severity >= BH_SEVERITY_INFO && f->severity <= BH_SEVERITY_HIGH);
}

/* A pod that started `age_s` seconds ago. */
static inline void rig_init(struct rig *r, uint64_t age_s)
{
	struct bh_detect_options opt = {.on_finding = rig_on_finding, .arg = r};
	struct bh_err err;

	memset(r, 0, sizeof(*r));
	bh_assert_ok(&err, bh_detect_new(&opt, &r->d, &err));
	r->subject = (struct bh_subject){.ns = "shop",
					 .owner_kind = "Deployment",
					 .owner = "web",
					 .container = "web",
					 .image_digest = "sha256:11",
					 .pod = "web-1",
					 .pod_uid = "u1",
					 .pod_id = 7,
					 .pod_start_ns = 1000 * S};
	r->subject.workload = bh_subject_workload(&r->subject);
	r->now_ns = (1000 + age_s) * S;
	r->next_exec = 100;
}

static inline void rig_done(struct rig *r)
{
	bh_detect_free(r->d);
}

static inline struct bh_act_process rig_process(struct rig *r, const char *path)
{
	const char *slash = strrchr(path, '/');

	return (struct bh_act_process){.pid = 4000,
				       .exec_id = r->next_exec++,
				       .parent_exec_id = 1,
				       .path = path,
				       .comm = slash ? slash + 1 : path,
				       .cwd = "/",
				       .script = "",
				       .args = "",
				       .sha256 = "",
				       .uid = 1000,
				       .gid = 1000,
				       .loginuid = UINT32_MAX,
				       .provenance = BH_PROV_IMAGE,
				       .stdio = {BH_STDIO_NULL, BH_STDIO_PIPE, BH_STDIO_PIPE}};
}

/* An activity of `path`, with nothing special about it. */
static inline struct bh_activity rig_act(struct rig *r, enum bh_act kind, const char *path)
{
	struct bh_activity a = {.kind = kind,
				.ts_ns = r->now_ns,
				.subject = &r->subject,
				.process = rig_process(r, path),
				.parent = rig_process(r, "/usr/sbin/app")};

	a.parent.exec_id = 1;
	return a;
}

/* Space-separated words become the process's arguments. */
static inline void rig_args(struct rig *r, struct bh_activity *a, const char *words)
{
	size_t i;

	snprintf(r->args, sizeof(r->args), "%s", words);
	a->process.args_len = strlen(r->args) + 1;
	for (i = 0; r->args[i]; i++) {
		if (r->args[i] == ' ')
			r->args[i] = '\0';
	}
	a->process.args = r->args;
}

static inline void rig_feed(struct rig *r, const struct bh_activity *a)
{
	bh_detect_feed(r->d, a);
	r->now_ns += S / 100;
}

static inline uint64_t rig_exec(struct rig *r, const char *words)
{
	char path[RIG_ARGS];
	struct bh_activity a;

	snprintf(path, sizeof(path), "%.*s", (int)strcspn(words, " "), words);
	a = rig_act(r, BH_ACT_EXEC, path);
	rig_args(r, &a, words);
	rig_feed(r, &a);
	return a.process.exec_id;
}

static inline void rig_file(struct rig *r, enum bh_file_op op, const char *who, const char *path)
{
	struct bh_activity a = rig_act(r, BH_ACT_FILE, who);

	a.u.file = (struct bh_act_file){.op = op, .path = path, .target = "", .mode = 0100644};
	rig_feed(r, &a);
}

/* The last finding of this detector since the last call of rig_clear, or NULL. */
static inline const struct rig_finding *rig_found(const struct rig *r, const char *name)
{
	size_t i;

	assert_non_null(bh_detector_find(name));
	for (i = r->n_found; i-- > 0;) {
		if (!strcmp(r->found[i].detector->name, name))
			return &r->found[i];
	}
	return NULL;
}

static inline enum bh_severity rig_worst(const struct rig *r)
{
	enum bh_severity worst = BH_SEVERITY_NONE;
	size_t i;

	for (i = 0; i < r->n_found; i++)
		worst = r->found[i].severity > worst ? r->found[i].severity : worst;
	return worst;
}

static inline void rig_clear(struct rig *r)
{
	r->n_found = 0;
}

static inline void rig_expect(struct rig *r, const char *name, enum bh_severity severity)
{
	const struct rig_finding *f = rig_found(r, name);

	if (!f)
		fail_msg("%s found nothing", name);
	if (f->severity != severity)
		fail_msg("%s: severity %d, not %d (%s)", name, f->severity, severity, f->text);
	rig_clear(r);
}

static inline void rig_expect_silent(struct rig *r)
{
	if (r->n_found)
		fail_msg("%s: %s", r->found[0].detector->name, r->found[0].text);
}
