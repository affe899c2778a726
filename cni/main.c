/* bulkhead-cni: the chained plugin that hands a pod's interface to the daemon. Standard output
 * holds the answer and nothing else; what people should know besides goes to standard error. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/client.h"
#include "request.h"
#include "result.h"
#include "shut.h"

#define STATUS_MS 5000u /* runtimes ask every few seconds and wait for it */

/* ---- the daemon ---- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct ask {
	const char *verb;
	json_t *args;		    /* taken */
	enum bh_cni_code otherwise; /* what a failure is called that trying again does not mend */
};

struct answer {
	json_t *result;	 /* owned */
	bool retry;	 /* the daemon says that trying again can help */
	bool is_away;	 /* nobody answered */
	bool is_crowded; /* turned away, and it is time to come again */
};

static void answer_done(struct answer *a)
{
	json_decref(a->result);
}

static int call_once(const struct bh_cni_request *rq, const struct ask *ask, struct answer *ret,
		     struct bh_patience *patience, struct bh_err *err)
{
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	int r = bh_client_open(rq->socket, bh_patience_left_ms(patience), &c, err);

	ret->is_away = r;
	if (!r) {
		r = bh_client_call(c, ask->verb, ask->args, &ret->result, &ret->retry, err);
		ret->is_away = r == -ECONNRESET;
	}
	ret->is_crowded = bh_patience_again(patience, r, c);
	return r;
}

/* A node that starts hundreds of pods at once has more plugins than the daemon takes clients; they
 * queue here. */
static int call(const struct bh_cni_request *rq, const struct ask *ask, struct answer *ret,
		struct bh_err *err)
{
	struct bh_patience patience;
	int r;

	bh_patience_start(&patience, (int)rq->timeout_ms);
	do
		r = call_once(rq, ask, ret, &patience, err);
	while (ret->is_crowded);
	return r;
}

/* Calls the verb. Where trying again can help, and that is whenever nobody answered, a failure is
 * code 11. The time it took is no longer there for the next call. */
static int tell(struct bh_cni_request *rq, const struct ask *ask, struct answer *ret,
		struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *args = ask->args;
	int64_t began = now_ms(), took;
	int r;

	*ret = (struct answer){0};
	rq->code = BH_CNI_E_IO;
	if (!args)
		return bh_fail(err, ENOMEM, "request '%s'", ask->verb);
	r = call(rq, ask, ret, err);
	rq->code = ret->retry || ret->is_away || r == -ETIMEDOUT ? BH_CNI_E_AGAIN : ask->otherwise;
	took = now_ms() - began;
	rq->timeout_ms -= took < rq->timeout_ms ? (unsigned)took : rq->timeout_ms - 1;
	return r;
}

/* ---- commands ---- */

/* Prints j, taken, as one line. */
static int print(json_t *take_j, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = take_j;

	if (!j)
		return bh_fail(err, ENOMEM, "answer");
	if (json_dumpf(j, stdout, JSON_COMPACT) || putchar('\n') == EOF || fflush(stdout))
		return bh_fail_sys(err, errno, "write the answer");
	return 0;
}

/* The daemon's deadline ends before ours, so that its own sentence arrives. */
static json_t *add_args(const struct bh_cni_request *rq)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:O, s:O, s:s?, s:s?, s:s?, s:i, s:s, s:b}",
		"containerId", rq->container_id, "netns", rq->netns, "ifname", rq->ifname,
		"podNamespace", rq->pod_namespace, "podName", rq->pod_name, "podUid", rq->pod_uid,
		"sandboxId", rq->sandbox_id, "labels", rq->labels, "addresses", rq->addresses,
		"mac", rq->mac, "sandbox", rq->sandbox, "cgroupPath", rq->cgroup_path, "timeoutMs",
		(int)(rq->timeout_ms - rq->timeout_ms / 10), "network", rq->network, "willOpen", 1);
}

/* The pod's table is live; now the interface opens. A plugin that does not come this far, or does
 * not hear the answer, leaves it shut. */
static int open_up(struct bh_cni_request *rq, const json_t *added, struct bh_err *err)
{
	BH_CLEANUP(answer_done) struct answer a = {0};
	json_t *serial = json_object_get(added, "serial");
	json_t *args;

	/* an older daemon has opened it already */
	if (!serial)
		return 0;
	args = json_pack("{s:s, s:s, s:O}", "containerId", rq->container_id, "ifname", rq->ifname,
			 "serial", serial);
	return tell(rq, &(struct ask){"cni.open", args, BH_CNI_E_REFUSED}, &a, err);
}

static int cmd_add(struct bh_cni_request *rq, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *result = NULL;
	BH_CLEANUP(answer_done) struct answer added = {0};
	int r = bh_cni_result_convert(rq, &result, err);

	if (!r)
		r = tell(rq, &(struct ask){"cni.add", add_args(rq), BH_CNI_E_REFUSED}, &added, err);
	if (!r)
		r = open_up(rq, added.result, err);
	if (r)
		return r;
	rq->code = BH_CNI_E_IO;
	return print(BH_TAKE(result), err);
}

static int cmd_del(struct bh_cni_request *rq, struct bh_err *err)
{
	BH_CLEANUP(answer_done) struct answer a;
	json_t *args =
		json_pack("{s:s, s:s}", "containerId", rq->container_id, "ifname", rq->ifname);
	int r = tell(rq, &(struct ask){"cni.del", args, BH_CNI_E_REFUSED}, &a, err);

	/* one that hangs (-ETIMEDOUT) or may not be asked (-EACCES) is not away */
	if (!a.is_away || (r != -ENOENT && r != -ENOTDIR && r != -ECONNREFUSED && r != -ECONNRESET))
		return r;
	/* a daemon that starts again finds out by itself that the interface is gone */
	bh_warn("DEL goes on without the daemon: %s", err->text);
	return 0;
}

static int cmd_check(struct bh_cni_request *rq, struct bh_err *err)
{
	BH_CLEANUP(answer_done) struct answer a;
	json_t *args = json_pack("{s:s, s:s, s:s, s:O}", "containerId", rq->container_id, "ifname",
				 rq->ifname, "netns", rq->netns, "addresses", rq->addresses);

	return tell(rq, &(struct ask){"cni.check", args, BH_CNI_E_CHECK}, &a, err);
}

static int cmd_gc(struct bh_cni_request *rq, struct bh_err *err)
{
	BH_CLEANUP(answer_done) struct answer a;
	json_t *args = json_pack("{s:s, s:O}", "network", rq->network, "valid", rq->valid);

	return tell(rq, &(struct ask){"cni.gc", args, BH_CNI_E_REFUSED}, &a, err);
}

static int cmd_status(struct bh_cni_request *rq, struct bh_err *err)
{
	BH_CLEANUP(answer_done) struct answer a;
	json_t *args = json_pack("{s:s?}", "network", rq->network);
	int r;

	if (rq->timeout_ms > STATUS_MS)
		rq->timeout_ms = STATUS_MS;
	r = tell(rq, &(struct ask){"cni.status", args, BH_CNI_E_STATUS}, &a, err);
	rq->code = BH_CNI_E_STATUS;
	return r;
}

static int cmd_version(struct bh_cni_request *rq, struct bh_err *err)
{
	rq->code = BH_CNI_E_IO;
	return print(bh_cni_result_versions(rq->version), err);
}

static int (*const commands[BH_CNI_COMMANDS])(struct bh_cni_request *rq, struct bh_err *err) = {
	[BH_CNI_ADD] = cmd_add, [BH_CNI_DEL] = cmd_del,	      [BH_CNI_CHECK] = cmd_check,
	[BH_CNI_GC] = cmd_gc,	[BH_CNI_STATUS] = cmd_status, [BH_CNI_VERSION] = cmd_version,
};

/* ---- the call ---- */

static int read_stdin(struct bh_str *out, struct bh_err *err)
{
	char buf[16384];

	for (;;) {
		ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bh_fail_sys(err, errno, "read the network configuration");
		if (n == 0)
			return 0;
		if ((size_t)n > BH_CNI_MAX_CONFIG - out->n)
			return bh_fail(err, EFBIG,
				       "the network configuration is longer than %u bytes",
				       BH_CNI_MAX_CONFIG);
		bh_str_addn(out, buf, (size_t)n);
		if (out->failed)
			return bh_fail(err, ENOMEM, "read the network configuration");
	}
}

/* An ADD that fails leaves the interface shut, whatever failed and whether or not a daemon knows of
 * it. The environment is used as it came: it may be what was refused. */
static void keep_shut(const struct bh_cni_env *env)
{
	struct bh_err err;

	if (!env->command || strcmp(env->command, "ADD") || !env->netns || env->netns[0] != '/' ||
	    !env->ifname || !*env->ifname || strlen(env->ifname) > 15)
		return;
	if (bh_cni_shut(env->netns, env->ifname, &err))
		bh_warn("the interface could not be taken down: %s", err.text);
}

static int run(const struct bh_cni_env *env, struct bh_cni_request *rq, struct bh_err *err)
{
	BH_CLEANUP(bh_str_done) struct bh_str config = {0};
	int r = read_stdin(&config, err);

	if (r) {
		rq->version = BH_CNI_NEWEST;
		rq->code = r == -EFBIG ? BH_CNI_E_DECODE : BH_CNI_E_IO;
		return r;
	}
	r = bh_cni_request_read(env, bh_str_text(&config), config.n, rq, err);
	return r ? r : commands[rq->command](rq, err);
}

int main(void)
{
	const struct bh_cni_env env = {
		.command = getenv("CNI_COMMAND"),
		.container_id = getenv("CNI_CONTAINERID"),
		.netns = getenv("CNI_NETNS"),
		.ifname = getenv("CNI_IFNAME"),
		.args = getenv("CNI_ARGS"),
	};
	struct bh_cni_request rq = {0};
	struct bh_err err, err2;
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = run(&env, &rq, &err);
	if (r) {
		keep_shut(&env);
		if (print(bh_cni_result_error(rq.version, rq.code, &err), &err2))
			bh_error("%s", err.text);
	}
	bh_cni_request_done(&rq);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
