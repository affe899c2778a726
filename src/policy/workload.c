#include "policy/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB_FIRST_MINUTE 25000000 /* of 2017, before CronJobs counted in minutes */
#define JOB_LAST_MINUTE	 60000000 /* of 2084; a date like 20261122 is less than the first */

/* The length of name without "-SUFFIX"; 0: it does not end so. */
static size_t without(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = suffix ? strlen(suffix) : 0;

	if (!k || n <= k + 1 || name[n - k - 1] != '-' || strcmp(name + n - k, suffix))
		return 0;
	return n - k - 1;
}

/* The length of a Job's name without the time that its CronJob gave it; 0: it has none. */
static size_t without_minute(const char *job)
{
	const char *dash = strrchr(job, '-');
	size_t digits = dash ? strspn(dash + 1, "0123456789") : 0;
	long minute = dash ? strtol(dash + 1, NULL, 10) : 0;

	if (!dash || dash == job || digits != 8 || dash[1 + digits])
		return 0;
	return minute >= JOB_FIRST_MINUTE && minute <= JOB_LAST_MINUTE ? (size_t)(dash - job) : 0;
}

static const char *put(char out[BH_WORKLOAD_TEXT], const char *kind, const char *name, size_t n)
{
	snprintf(out, BH_WORKLOAD_TEXT, "%.60s/%.*s", kind, (int)(n < 255 ? n : 255), name);
	return out;
}

const char *bh_workload_owner(const struct bh_controller *c, char out[BH_WORKLOAD_TEXT])
{
	size_t n;

	if (!strcmp(c->kind, "ReplicaSet")) {
		n = without(c->name, bh_labels_get(c->labels, "pod-template-hash"));
		if (n)
			return put(out, "Deployment", c->name, n);
	} else if (!strcmp(c->kind, "Job")) {
		n = without_minute(c->name);
		if (n)
			return put(out, "CronJob", c->name, n);
	} else if (!strcmp(c->kind, "Node")) {
		n = without(c->pod, c->node ? c->node : c->name);
		return put(out, "Pod", c->pod, n ? n : strlen(c->pod));
	}
	return put(out, c->kind, c->name, strlen(c->name));
}

/* ---- guessing ---- */

/* Letters and digits of the suffixes that controllers give to pods. */
static size_t suffix(const char *name, size_t n, size_t min, size_t max)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	size_t k = 0;

	while (k < n && k <= max && strchr(alphabet, name[n - 1 - k]))
		k++;
	return k >= min && k <= max && k < n && name[n - 1 - k] == '-' ? k + 1 : 0;
}

static size_t guess(const char *pod)
{
	size_t n = strnlen(pod, 255), cut = suffix(pod, n, 5, 5);

	if (cut && cut < n) {
		n -= cut;
		cut = suffix(pod, n, 6, 10);
		n -= cut < n ? cut : 0;
	}
	return n;
}

void bh_workload_of(const struct bh_pod *pod, const char *name, struct bh_workload *ret)
{
	const char *slash = pod && pod->owner ? strchr(pod->owner, '/') : NULL;

	*ret = (struct bh_workload){.kind = "Pod"};
	if (slash) {
		snprintf(ret->kind, sizeof(ret->kind), "%.*s", (int)(slash - pod->owner),
			 pod->owner);
		snprintf(ret->name, sizeof(ret->name), "%s", slash + 1);
		return;
	}
	ret->is_guessed = !pod || !pod->file;
	snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(ret->is_guessed ? guess(name) : 255),
		 name);
}
