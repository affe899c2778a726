#include "policy/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/detectors.h"

static const char *const responses[BH_RESPOND_COUNT] = {"alert", "kill", "freeze", "quarantine"};

const char *bh_response_name(enum bh_response r)
{
	return responses[r];
}

int bh_response_parse(const char *name, enum bh_response *ret)
{
	int i;

	for (i = 0; i < BH_RESPOND_COUNT; i++) {
		if (!strcmp(name, responses[i])) {
			*ret = (enum bh_response)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct bh_runtime_policy *bh_runtime_policy_ref(struct bh_runtime_policy *p)
{
	p->refs++;
	return p;
}

static void free_texts(char **v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

void bh_runtime_policy_unref(struct bh_runtime_policy *p)
{
	size_t i;

	if (!p || --p->refs)
		return;
	for (i = 0; i < p->n_on; i++)
		free(p->on[i].detector);
	free(p->on);
	free_texts(p->exec_allow.v, p->exec_allow.n);
	free_texts(p->writable.v, p->writable.n);
	free_texts(p->denied_syscalls, p->n_denied_syscalls);
	free(p->denied_users);
	bh_selector_done(&p->pods);
	free(p->ns);
	free(p->name);
	free(p->uid);
	free(p->file);
	free(p);
}

void bh_runtime_policy_unrefp(struct bh_runtime_policy **p)
{
	bh_runtime_policy_unref(*p);
	*p = NULL;
}

bool bh_runtime_policy_selects(const struct bh_runtime_policy *p, const struct bh_pod *pod)
{
	return pod->phase == BH_POD_RUNNING && !strcmp(p->ns, pod->ident->ns) &&
	       bh_selector_matches(&p->pods, &pod->ident->labels);
}

static bool has(const char *pattern, const char *path, bool is_tree)
{
	size_t n = strlen(pattern);

	if (n && pattern[n - 1] == '*')
		return !strncmp(pattern, path, n - 1);
	if (strncmp(pattern, path, n))
		return false;
	return !path[n] || (is_tree && (path[n] == '/' || pattern[n - 1] == '/'));
}

bool bh_paths_have(const struct bh_paths *p, const char *path, bool is_tree)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		if (has(p->v[i], path, is_tree))
			return true;
	}
	return false;
}

const struct bh_detector_names bh_detector_names = {
#define MEMBER(id, name) .id = name,
	BH_DETECTORS(MEMBER)
#undef MEMBER
};

static const char *const detectors[] = {
#define NAME(id, name) bh_detector_names.id,
	BH_DETECTORS(NAME)
#undef NAME
};

bool bh_runtime_is_detector(const char *name)
{
	size_t i;

	for (i = 0; i < BH_ARRAY_SIZE(detectors); i++) {
		if (!strcmp(detectors[i], name))
			return true;
	}
	return false;
}

const struct bh_runtime_on *bh_runtime_policy_on(const struct bh_runtime_policy *p,
						 const char *detector)
{
	size_t i;

	for (i = 0; i < p->n_on; i++) {
		if (!strcmp(p->on[i].detector, detector))
			return &p->on[i];
	}
	return NULL;
}

static bool answer_of(const struct bh_runtime_policy *p, const char *detector, const char *kind,
		      struct bh_runtime_answer *ret)
{
	const struct bh_runtime_on *own = bh_runtime_policy_on(p, detector);

	if (own) {
		*ret = (struct bh_runtime_answer){own->response, p, own->line};
		return true;
	}
	if (kind && !strcmp(kind, "violation")) {
		*ret = (struct bh_runtime_answer){p->on_violation, p, p->line.violation};
		return p->has_violation;
	}
	*ret = (struct bh_runtime_answer){p->on_anomaly, p, p->line.anomaly};
	return kind && p->has_anomaly;
}

bool bh_runtime_answer(const struct bh_runtime_set *set, const char *detector, const char *kind,
		       struct bh_runtime_answer *ret)
{
	struct bh_runtime_answer one;
	bool is_said = false;
	size_t i;

	for (i = 0; i < set->n; i++) {
		if (!answer_of(set->v[i], detector, kind, &one))
			continue;
		if (!is_said || one.response > ret->response)
			*ret = one;
		is_said = true;
	}
	return is_said;
}

enum bh_baseline_use bh_runtime_baseline_use(const struct bh_runtime_set *set)
{
	enum bh_baseline_use use = BH_BASELINE_OFF;
	bool is_said = false;
	size_t i;

	for (i = 0; i < set->n; i++) {
		const struct bh_runtime_policy *p = set->v[i];

		if (p->has_baseline && p->baseline > use)
			use = p->baseline;
		is_said = is_said || p->has_baseline;
	}
	return is_said ? use : BH_BASELINE_OBSERVE;
}
