/* One CNI call: environment and network configuration. The input is six texts: command, container
 * id, namespace, interface, CNI_ARGS, each ended by a newline, then the configuration. Whatever is
 * accepted must hold what the daemon is promised, and must print. */
#include "request.h"

#include <string.h>

#include "base/ip.h"
#include "base/json.h"
#include "result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *s)
{
	if (!s || !*s || strlen(s) > 253 ||
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(s))
		abort();
}

static void check_add(const struct bh_cni_request *rq)
{
	BH_CLEANUP(bh_json_decrefp) json_t *result = NULL;
	struct bh_err err = {0};
	struct bh_ip ip;
	json_t *a;
	size_t i;

	check_name(rq->pod_namespace);
	check_name(rq->pod_name);
	if (strlen(rq->ifname) > 15 || strpbrk(rq->ifname, "/: \t\n") || rq->netns[0] != '/')
		abort();
	json_array_foreach(rq->addresses, i, a)
	{
		if (bh_ip_parse(json_string_value(a), &ip, &err))
			abort();
	}
	if (bh_cni_result_convert(rq, &result, &err)) {
		if (err.code >= 0)
			abort();
		return;
	}
	if (strcmp(json_string_value(json_object_get(result, "cniVersion")), rq->version))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BH_CLEANUP(bh_freep) char *text = strndup((const char *)data, size);
	const char *field[5] = {0}, *rest = text;
	struct bh_cni_request rq = {0};
	struct bh_err err = {0};
	struct bh_cni_env env;
	int r;

	for (size_t i = 0; text && i < 5; i++) {
		char *end = strchr(rest, '\n');

		if (!end)
			return 0;
		*end = '\0';
		field[i] = rest;
		rest = end + 1;
	}
	if (!text)
		return 0;
	env = (struct bh_cni_env){field[0], field[1], field[2], field[3], field[4]};
	r = bh_cni_request_read(&env, rest, strlen(rest), &rq, &err);
	if (r) {
		BH_CLEANUP(bh_json_decrefp)
		json_t *e = bh_cni_result_error(rq.version, rq.code, &err);

		if (!e || err.code != r || rq.code < 1)
			abort();
	} else if (rq.command == BH_CNI_ADD) {
		check_add(&rq);
	}
	bh_cni_request_done(&rq);
	return 0;
}
