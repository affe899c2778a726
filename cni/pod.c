/* Who the pod is: CNI_ARGS as kubelet's runtimes and podman set it. */
#include "parts.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

#define MAX_ARGS  65536
#define MAX_LABEL 63  /* RFC 1123 label */
#define MAX_NAME  253 /* RFC 1123 subdomain */

enum { ARG_IGNORE, ARG_NAMESPACE, ARG_NAME, ARG_UID, ARG_SANDBOX, ARG_COUNT };

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* DNS-1123 label (as Kubernetes means it: namespaces), or subdomain, which is labels with dots. */
static bool is_dns1123(const char *s, size_t max, bool may_have_dots)
{
	size_t n = strlen(s);

	if (!n || n > max)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool is_edge = i == 0 || i + 1 == n || s[i - 1] == '.' || s[i + 1] == '.';

		if (is_lower_alnum(s[i]) || (s[i] == '-' && !is_edge) ||
		    (s[i] == '.' && may_have_dots && i && i + 1 < n && s[i - 1] != '.'))
			continue;
		return false;
	}
	return true;
}

static bool is_namespace(const char *s)
{
	return is_dns1123(s, MAX_LABEL, false);
}

static bool is_pod_name(const char *s)
{
	return is_dns1123(s, MAX_NAME, true);
}

/* as the conventions have it */
static bool is_bool(const char *s)
{
	return !strcasecmp(s, "1") || !strcasecmp(s, "true") || !strcasecmp(s, "0") ||
	       !strcasecmp(s, "false");
}

static const struct {
	const char *key;
	bool (*check)(const char *value);
	const char *want;
} known[ARG_COUNT] = {
	[ARG_IGNORE] = {"IgnoreUnknown", is_bool, "1, true, 0 or false"},
	[ARG_NAMESPACE] = {"K8S_POD_NAMESPACE", is_namespace, "a DNS-1123 label"},
	[ARG_NAME] = {"K8S_POD_NAME", is_pod_name, "a DNS-1123 subdomain"},
	[ARG_UID] = {"K8S_POD_UID", bh_cni_is_id, "a UID"},
	[ARG_SANDBOX] = {"K8S_POD_INFRA_CONTAINER_ID", bh_cni_is_id, "a container id"},
};

struct pod_args {
	char *value[ARG_COUNT]; /* into the text */
	bool seen[ARG_COUNT];
	const char *unknown; /* first key nobody knows */
};

static int take_pair(struct pod_args *a, char *pair, struct bh_err *err)
{
	char *value = strchr(pair, '=');
	size_t i = 0;

	if (!value)
		return bh_fail(err, EINVAL, "CNI_ARGS: '%s' is not KEY=VALUE", pair);
	*value++ = '\0';
	while (i < ARG_COUNT && strcmp(known[i].key, pair))
		i++;
	if (i == ARG_COUNT) {
		if (!a->unknown)
			a->unknown = pair;
		return 0;
	}
	if (a->seen[i])
		return bh_fail(err, EINVAL, "CNI_ARGS: %s is given twice", pair);
	a->seen[i] = true;
	if (!*value)
		return 0; /* containerd passes what its caller left empty */
	if (!known[i].check(value))
		return bh_fail(err, EINVAL, "CNI_ARGS: %s '%s' is not %s", pair, value,
			       known[i].want);
	a->value[i] = value;
	return 0;
}

static int split_args(char *text, struct pod_args *a, struct bh_err *err)
{
	const char *ignore;
	char *save = NULL;

	for (char *p = strtok_r(text, ";", &save); p; p = strtok_r(NULL, ";", &save)) {
		int r = take_pair(a, p, err);

		if (r)
			return r;
	}
	ignore = a->value[ARG_IGNORE];
	if (a->unknown && !(ignore && (*ignore == '1' || tolower(*ignore) == 't')))
		return bh_fail(err, EINVAL,
			       "CNI_ARGS: unknown key '%s', and IgnoreUnknown is not set",
			       a->unknown);
	return 0;
}

/* A pod name for a container that has none. Ids that are no names already get a hash of the id, so
 * that two ids never become one pod. */
static char *name_from_id(const char *id)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
	char name[MAX_NAME + 1];
	size_t n = 0;

	if (is_pod_name(id))
		return strdup(id);
	for (const char *p = id; *p; p++) {
		char c = (char)tolower((unsigned char)*p);

		hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
		if (n < MAX_NAME - 17)
			name[n++] = is_lower_alnum(c) ? c : '-';
	}
	name[n] = '\0';
	return bh_strf("%s-%016llx", name, (unsigned long long)hash);
}

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

int bh_cni_read_pod(struct bh_cni_request *rq, const char *args, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct pod_args a = {0};
	int r;

	if (args && strlen(args) > MAX_ARGS)
		return bh_fail(err, EINVAL, "CNI_ARGS is longer than %d bytes", MAX_ARGS);
	text = strdup(args ? args : "");
	if (!text)
		return bh_fail(err, ENOMEM, "CNI_ARGS");
	r = split_args(text, &a, err);
	if (r)
		return r;
	rq->pod_namespace = strdup(a.value[ARG_NAMESPACE] ? a.value[ARG_NAMESPACE] : "default");
	rq->pod_name =
		a.value[ARG_NAME] ? strdup(a.value[ARG_NAME]) : name_from_id(rq->container_id);
	rq->pod_uid = copy(a.value[ARG_UID]);
	rq->sandbox_id = copy(a.value[ARG_SANDBOX]);
	if (!rq->pod_namespace || !rq->pod_name || (a.value[ARG_UID] && !rq->pod_uid) ||
	    (a.value[ARG_SANDBOX] && !rq->sandbox_id))
		return bh_fail(err, ENOMEM, "CNI_ARGS");
	return 0;
}
