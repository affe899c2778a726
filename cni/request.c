#include "request.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "bulkhead/ctl.h"
#include "parts.h"

#define DEFAULT_TIMEOUT_S 30
#define MAX_TIMEOUT_S	  600
#define MAX_ID		  255
#define MAX_IFNAME	  15
#define MAX_SOCKET	  107 /* sun_path without its NUL */

const char *const bh_cni_versions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", BH_CNI_NEWEST, NULL};

/* What each command needs. CNI_NETNS is not looked at for DEL: it may be empty or gone. */
static const struct {
	const char *name;
	bool needs_attachment; /* CNI_CONTAINERID, CNI_IFNAME and a network name */
	bool needs_netns, needs_prev;
} commands[BH_CNI_COMMANDS] = {
	[BH_CNI_ADD] = {"ADD", true, true, true},
	[BH_CNI_DEL] = {"DEL", true, false, false},
	[BH_CNI_CHECK] = {"CHECK", true, true, true},
	[BH_CNI_GC] = {"GC", false, false, false},
	[BH_CNI_STATUS] = {"STATUS", false, false, false},
	[BH_CNI_VERSION] = {"VERSION", false, false, false},
};

const char *bh_cni_command_name(enum bh_cni_command c)
{
	return commands[c].name;
}

bool bh_cni_version_is_old(const char *version)
{
	return version[0] == '0';
}

/* ---- text ---- */

bool bh_cni_is_plain(const char *text, size_t max)
{
	size_t left = strlen(text), n;

	if (!left || left > max)
		return false;
	for (; left; text += n, left -= n) {
		n = bh_utf8_len(text, left);
		if (!n || (n == 1 && ((unsigned char)*text <= 0x20 || *text == 0x7f)))
			return false;
	}
	return true;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool bh_cni_is_id(const char *text)
{
	if (!is_alnum(*text) || strlen(text) > MAX_ID)
		return false;
	while (is_alnum(*text) || *text == '_' || *text == '.' || *text == '-')
		text++;
	return !*text;
}

/* ---- environment ---- */

static int read_command(const struct bh_cni_env *env, struct bh_cni_request *rq, struct bh_err *err)
{
	if (!env->command || !*env->command)
		return bh_fail(err, EINVAL, "CNI_COMMAND is not set");
	for (size_t i = 0; i < BH_CNI_COMMANDS; i++) {
		if (!strcmp(commands[i].name, env->command)) {
			rq->command = (enum bh_cni_command)i;
			return 0;
		}
	}
	return bh_fail(err, EINVAL, "CNI_COMMAND '%s' is unknown", env->command);
}

static int read_attachment(const struct bh_cni_env *env, struct bh_cni_request *rq,
			   struct bh_err *err)
{
	const char *id = env->container_id ? env->container_id : "";
	const char *ifname = env->ifname ? env->ifname : "";

	if (!bh_cni_is_id(id))
		return bh_fail(err, EINVAL, "CNI_CONTAINERID '%s' is not a container id", id);
	if (!bh_cni_is_plain(ifname, MAX_IFNAME) || strpbrk(ifname, "/:") || !strcmp(ifname, ".") ||
	    !strcmp(ifname, ".."))
		return bh_fail(err, EINVAL, "CNI_IFNAME '%s' is not an interface name", ifname);
	rq->container_id = id;
	rq->ifname = ifname;
	return 0;
}

static int read_env(const struct bh_cni_env *env, struct bh_cni_request *rq, struct bh_err *err)
{
	const char *netns = env->netns ? env->netns : "";
	int r = 0;

	if (commands[rq->command].needs_attachment)
		r = read_attachment(env, rq, err);
	if (r || !commands[rq->command].needs_netns)
		return r;
	if (netns[0] != '/' || !bh_cni_is_plain(netns, PATH_MAX - 1))
		return bh_fail(err, EINVAL, "CNI_NETNS '%s' is not an absolute path", netns);
	rq->netns = netns;
	return bh_cni_read_pod(rq, env->args, err);
}

/* ---- configuration ---- */

static const char *supported(const char *version)
{
	for (const char *const *v = bh_cni_versions; *v; v++) {
		if (!strcmp(*v, version))
			return *v;
	}
	return NULL;
}

/* VERSION is how a runtime asks which versions there are, so any or none will do there. */
static int read_version(struct bh_cni_request *rq, struct bh_err *err)
{
	const char *version = "0.1.0"; /* what the specification says of a missing one */
	int r = bh_json_get_str(rq->config, "cniVersion", false, &version, err);

	if (r)
		return r;
	if (supported(version))
		rq->version = supported(version);
	else if (rq->command != BH_CNI_VERSION) {
		rq->code = BH_CNI_E_VERSION;
		return bh_fail(err, EPROTONOSUPPORT,
			       "cniVersion '%s' is not supported, 0.3.0 to " BH_CNI_NEWEST " are",
			       version);
	}
	return 0;
}

static int read_own_keys(struct bh_cni_request *rq, struct bh_err *err)
{
	int64_t timeout_s = DEFAULT_TIMEOUT_S;
	int r;

	rq->socket = BH_CTL_DEFAULT_SOCKET;
	r = bh_json_get_str(rq->config, "socket", false, &rq->socket, err);
	if (!r)
		r = bh_json_get_int(rq->config, "timeoutSeconds", false, 1, MAX_TIMEOUT_S,
				    &timeout_s, err);
	if (!r)
		r = bh_json_get_str(rq->config, "name", false, &rq->network, err);
	if (r)
		return r;
	if (rq->socket[0] != '/' || strlen(rq->socket) > MAX_SOCKET)
		return bh_fail(err, EINVAL,
			       "'socket': '%s' is not an absolute path of at most %d bytes",
			       rq->socket, MAX_SOCKET);
	if (rq->network && !bh_cni_is_id(rq->network))
		return bh_fail(err, EINVAL, "'name': '%s' is not a network name", rq->network);
	if (!rq->network && (commands[rq->command].needs_attachment || rq->command == BH_CNI_GC))
		return bh_fail(err, EINVAL, "'name' is missing");
	rq->timeout_ms = (unsigned)timeout_s * 1000;
	return 0;
}

static int read_runtime_config(struct bh_cni_request *rq, struct bh_err *err)
{
	json_t *capabilities = NULL, *runtime = NULL;
	int r = bh_json_get_obj(rq->config, "capabilities", false, &capabilities, err);

	if (!r)
		r = bh_json_get_obj(rq->config, "runtimeConfig", false, &runtime, err);
	if (r || !runtime)
		return r;
	r = bh_json_get_str(runtime, "cgroupPath", false, &rq->cgroup_path, err);
	if (r)
		return bh_note(err, r, "'runtimeConfig'");
	if (rq->cgroup_path && !*rq->cgroup_path)
		rq->cgroup_path = NULL;
	return 0;
}

/* Copies key and value of each label, so that nothing else of args reaches the daemon. */
static int read_labels(struct bh_cni_request *rq, struct bh_err *err)
{
	json_t *args = NULL, *cni = NULL, *labels = NULL, *item;
	int r = bh_json_get_obj(rq->config, "args", false, &args, err);
	size_t i;

	rq->labels = json_array();
	if (!r && args)
		r = bh_json_get_obj(args, "cni", false, &cni, err);
	if (!r && cni)
		r = bh_json_get_arr(cni, "labels", false, &labels, err);
	if (r)
		return bh_note(err, r, "'args'");
	json_array_foreach(labels, i, item)
	{
		const char *key = NULL, *value = NULL;

		r = bh_json_get_str(item, "key", true, &key, err);
		if (!r)
			r = bh_json_get_str(item, "value", true, &value, err);
		if (r)
			return bh_note(err, r, "'args': labels[%zu]", i);
		if (json_array_append_new(rq->labels,
					  json_pack("{s:s, s:s}", "key", key, "value", value)))
			return bh_fail(err, ENOMEM, "'args'");
	}
	return rq->labels ? 0 : bh_fail(err, ENOMEM, "'args'");
}

/* A list that is missing must not read as an empty one: everything would be collected. */
static int read_valid(struct bh_cni_request *rq, struct bh_err *err)
{
	json_t *list = NULL, *item;
	int r = bh_json_get_arr(rq->config, "cni.dev/valid-attachments", true, &list, err);
	size_t i;

	rq->valid = json_array();
	if (r)
		return r;
	json_array_foreach(list, i, item)
	{
		const char *id = NULL, *ifname = NULL;

		r = bh_json_get_str(item, "containerID", true, &id, err);
		if (!r)
			r = bh_json_get_str(item, "ifname", true, &ifname, err);
		if (r)
			return bh_note(err, r, "'cni.dev/valid-attachments': [%zu]", i);
		if (json_array_append_new(rq->valid, json_pack("{s:s, s:s}", "containerId", id,
							       "ifname", ifname)))
			return bh_fail(err, ENOMEM, "'cni.dev/valid-attachments'");
	}
	return rq->valid ? 0 : bh_fail(err, ENOMEM, "'cni.dev/valid-attachments'");
}

static int read_prev(struct bh_cni_request *rq, struct bh_err *err)
{
	bool is_needed = commands[rq->command].needs_prev;
	const char *version = NULL;
	int r;

	if (!is_needed)
		return 0;
	r = bh_json_get_obj(rq->config, "prevResult", true, &rq->prev, err);
	if (r)
		return bh_note(err, r,
			       "bulkhead-cni runs after the plugin that makes the interface");
	r = bh_json_get_str(rq->prev, "cniVersion", false, &version, err);
	if (r)
		return bh_note(err, r, "prevResult");
	if (version && !supported(version)) {
		rq->code = BH_CNI_E_VERSION;
		return bh_fail(err, EPROTONOSUPPORT, "prevResult: cniVersion '%s' is not supported",
			       version);
	}
	return bh_cni_read_prev(rq, err);
}

static int read_config(struct bh_cni_request *rq, struct bh_err *err)
{
	int r = read_own_keys(rq, err);

	if (!r)
		r = read_runtime_config(rq, err);
	if (!r)
		r = read_labels(rq, err);
	if (!r && rq->command == BH_CNI_GC)
		r = read_valid(rq, err);
	return r ? r : read_prev(rq, err);
}

static bool is_blank(const char *text, size_t len)
{
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	return !len;
}

int bh_cni_request_read(const struct bh_cni_env *env, const char *config, size_t len,
			struct bh_cni_request *rq, struct bh_err *err)
{
	int r;

	*rq = (struct bh_cni_request){.code = BH_CNI_E_ENVIRONMENT, .version = BH_CNI_NEWEST};
	r = read_command(env, rq, err);
	if (r)
		return r;
	rq->code = BH_CNI_E_DECODE;
	/* runtimes of old ask for VERSION without a configuration */
	if (rq->command == BH_CNI_VERSION && is_blank(config, len))
		return 0;
	r = bh_json_parse(config, len, BH_CNI_MAX_CONFIG, &rq->config, err);
	if (!r && !json_is_object(rq->config))
		r = bh_fail(err, EINVAL, "it is not a JSON object");
	if (r)
		return bh_note(err, r, "network configuration");
	/* the version first: it decides how all else, errors too, is meant */
	rq->code = BH_CNI_E_CONFIG;
	r = read_version(rq, err);
	if (r)
		return bh_note(err, r, "network configuration");
	if (rq->command == BH_CNI_VERSION)
		return 0;
	rq->code = BH_CNI_E_ENVIRONMENT;
	r = read_env(env, rq, err);
	if (r)
		return r;
	rq->code = BH_CNI_E_CONFIG;
	r = read_config(rq, err);
	return r ? bh_note(err, r, "network configuration") : 0;
}

void bh_cni_request_done(struct bh_cni_request *rq)
{
	json_decref(rq->config);
	json_decref(rq->labels);
	json_decref(rq->addresses);
	json_decref(rq->valid);
	free(rq->pod_namespace);
	free(rq->pod_name);
	free(rq->pod_uid);
	free(rq->sandbox_id);
	*rq = (struct bh_cni_request){0};
}
