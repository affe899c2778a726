#include "daemon/config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "daemon/config_sinks.h"
#include "policy/yaml.h"

/* what a socket address leaves for the directory */
#define MAX_RUN (sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/bulkheadd.sock"))

#define KUBELET_CREDENTIALS "/var/lib/kubelet/config.json"
#define CONTAINERD_HOSTS    "/etc/containerd/certs.d"

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

struct word { /* one allowed value of a key */
	const char *text;
	int value;
};

static char *copy(const char *s)
{
	return bh_strf("%s", s);
}

static int set_defaults(struct bh_settings *c, struct bh_err *err)
{
	char host[HOST_NAME_MAX + 1] = "localhost";

	gethostname(host, sizeof(host) - 1);
	c->node_name = copy(host);
	c->run = copy("/run/bulkhead");
	c->state = copy("/var/lib/bulkhead");
	c->log = copy("/var/log/bulkhead");
	c->bpffs = copy("/sys/fs/bpf/bulkhead");
	c->manifests = copy("/etc/bulkhead/manifests");
	c->http_listen = copy("127.0.0.1:9473");
	c->images_credentials = copy(KUBELET_CREDENTIALS);
	c->is_kubelets = true;
	c->images_hosts = copy(CONTAINERD_HOSTS);
	c->node_mode = BH_NODE_ALLOW;
	bh_config_runtime_defaults(&c->runtime);
	if (!c->node_name || !c->run || !c->state || !c->log || !c->bpffs || !c->manifests ||
	    !c->http_listen || !c->images_credentials || !c->images_hosts)
		return bh_fail(err, ENOMEM, "settings");
	return 0;
}

static int take_text(const struct bh_yaml *map, const char *key, char **ret,
		     struct bh_yaml_err *err)
{
	const char *text = NULL;
	char *text_copy;
	int r = bh_yaml_get_str(map, key, false, &text, err);

	if (r < 0 || !text)
		return r;
	text_copy = copy(text);
	if (!text_copy)
		return bh_fail(&err->err, ENOMEM, "settings");
	free(*ret);
	*ret = text_copy;
	return 0;
}

static int take_path(const struct bh_yaml *map, const char *key, char **ret,
		     struct bh_yaml_err *err)
{
	const struct bh_yaml *n = bh_yaml_find(map, key);
	int r = take_text(map, key, ret, err);

	if (!r && n && (*ret)[0] != '/')
		return bh_yaml_fail(err, n, "'%s': '%s' is not an absolute path", key, *ret);
	return r;
}

/* A list of absolute paths, as an array of strings. */
static int take_paths(const struct bh_yaml *map, const char *key, json_t **ret,
		      struct bh_yaml_err *err)
{
	const struct bh_yaml *list = NULL;
	int r = bh_yaml_get_list(map, key, false, &list, err);

	if (r < 0 || !list)
		return r;
	json_decref(*ret);
	*ret = json_array();
	for (uint32_t i = 0; i < list->n; i++) {
		const struct bh_yaml *n = list->items[i];

		r = bh_yaml_expect(n, BH_YAML_STRING, key, err);
		if (r < 0)
			return r;
		if (n->text[0] != '/')
			return bh_yaml_fail(err, n, "'%s': '%s' is not an absolute path", key,
					    n->text);
		if (json_array_append_new(*ret, json_string(n->text)))
			return bh_fail(&err->err, ENOMEM, "settings");
	}
	return 0;
}

/* One of a list of words; n words. */
static int take_word(const struct bh_yaml *map, const char *key, const struct word *words, int *ret,
		     struct bh_yaml_err *err)
{
	const struct bh_yaml *n = bh_yaml_find(map, key);
	BH_CLEANUP(bh_str_done) struct bh_str known = {0};
	const char *text = NULL;
	int r;

	if (!n)
		return 0;
	/* `off` is a boolean to YAML 1.1, and what people write here. */
	if (n->type == BH_YAML_BOOL)
		text = n->text;
	else if ((r = bh_yaml_get_str(map, key, false, &text, err)) < 0)
		return r;
	for (const struct word *w = words; w->text; w++) {
		if (!strcmp(w->text, text)) {
			*ret = w->value;
			return 0;
		}
		bh_str_fmt(&known, "%s%s", w == words ? "" : ", ", w->text);
	}
	return bh_yaml_fail(err, n, "'%s': '%s' is none of %s", key, text, bh_str_text(&known));
}

static int read_node(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	const struct bh_yaml *list = NULL;
	int r = bh_yaml_check_keys(m, KEYS("name", "addresses"), err);

	if (!r)
		r = take_text(m, "name", &c->node_name, err);
	if (!r)
		r = bh_yaml_get_list(m, "addresses", false, &list, err);
	if (r < 0 || !list)
		return r;
	c->node_addresses = calloc(list->n + 1, sizeof(*c->node_addresses));
	if (!c->node_addresses)
		return bh_fail(&err->err, ENOMEM, "settings");
	for (uint32_t i = 0; i < list->n; i++) {
		struct bh_err bad = {0};

		r = bh_yaml_expect(list->items[i], BH_YAML_STRING, "addresses", err);
		if (r < 0)
			return r;
		if (bh_ip_parse(list->items[i]->text, &c->node_addresses[i], &bad) < 0)
			return bh_yaml_fail(err, list->items[i], "addresses: %s", bad.text);
		c->n_node_addresses++;
	}
	return 0;
}

static int read_paths(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	int r = bh_yaml_check_keys(m, KEYS("run", "state", "log", "bpffs"), err);

	if (!r)
		r = take_path(m, "run", &c->run, err);
	if (!r && strlen(c->run) > MAX_RUN)
		r = bh_yaml_fail(
			err, bh_yaml_find(m, "run"),
			"'run': a socket's path in it would be too long; at most %zu bytes fit",
			MAX_RUN);
	if (!r)
		r = take_path(m, "state", &c->state, err);
	if (!r)
		r = take_path(m, "log", &c->log, err);
	return r < 0 ? r : take_path(m, "bpffs", &c->bpffs, err);
}

static int read_sources(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	const struct bh_yaml *manifests = NULL, *kube;
	int r = bh_yaml_check_keys(m, KEYS("manifests", "kubernetes"), err);

	if (!r)
		r = bh_yaml_get_map(m, "manifests", false, &manifests, err);
	if (r < 0)
		return r;
	kube = bh_yaml_find(m, "kubernetes");
	if (kube)
		return bh_yaml_fail(err, kube,
				    "'kubernetes': this version reads manifests only; run kubectl "
				    "get -o yaml into the manifests directory");
	if (!manifests) {
		free(c->manifests);
		c->manifests = NULL;
		return 0;
	}
	r = bh_yaml_check_keys(manifests, KEYS("directory"), err);
	return r < 0 ? r : take_path(manifests, "directory", &c->manifests, err);
}

static int read_enforcement(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	static const struct word defaults[] = {{"deny", 0}, {"kubernetes", 1}, {0}};
	static const struct word nodes[] = {{"allow", BH_NODE_ALLOW},
					    {"kubelet", BH_NODE_KUBELET},
					    {"deny", BH_NODE_DENY},
					    {0}};
	static const struct word established[] = {{"cut", 0}, {"keep", 1}, {0}};
	int def = 0, node = BH_NODE_ALLOW, keep = 0;
	int r = bh_yaml_check_keys(m, KEYS("default", "node", "established", "requireReason"), err);

	if (!r)
		r = take_word(m, "default", defaults, &def, err);
	if (!r)
		r = take_word(m, "node", nodes, &node, err);
	if (!r)
		r = take_word(m, "established", established, &keep, err);
	if (!r)
		r = bh_yaml_get_bool(m, "requireReason", false, &c->require_reason, err);
	c->default_allow = def;
	c->node_mode = (enum bh_node_mode)node;
	c->keep_established = keep;
	return r;
}

/* node: what the kubelet pulls with, none, or a file. Pull secrets of pods are not read. */
static int read_credentials(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	const struct bh_yaml *n = bh_yaml_find(m, "credentials");
	const char *text = NULL;
	int r = bh_yaml_get_str(m, "credentials", false, &text, err);

	if (r || !text || !strcmp(text, "node"))
		return r;
	c->is_kubelets = false;
	if (strcmp(text, "none") && *text != '/')
		return bh_yaml_fail(err, n,
				    "'credentials': '%s' is none of node, none and absolute paths",
				    text);
	free(c->images_credentials);
	c->images_credentials = *text == '/' ? copy(text) : NULL;
	return *text == '/' && !c->images_credentials ? bh_fail(&err->err, ENOMEM, "settings") : 0;
}

static int read_images(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	static const struct word modes[] = {{"off", BH_IMAGES_OFF},
					    {"audit", BH_IMAGES_AUDIT},
					    {"enforce", BH_IMAGES_ENFORCE},
					    {0}};
	int mode = BH_IMAGES_OFF;
	int r = bh_yaml_check_keys(m,
				   KEYS("mode", "credentials", "registryHosts", "breakGlassKeys",
					"registriesConf", "runtimeSocket"),
				   err);

	if (!r)
		r = take_word(m, "mode", modes, &mode, err);
	if (!r)
		r = read_credentials(m, c, err);
	if (!r)
		r = take_path(m, "registryHosts", &c->images_hosts, err);
	if (!r)
		r = take_path(m, "registriesConf", &c->images_registries, err);
	if (!r)
		r = take_path(m, "runtimeSocket", &c->images_runtime, err);
	if (!r)
		r = take_paths(m, "breakGlassKeys", &c->images_break_glass, err);
	c->images_mode = (enum bh_images_mode)mode;
	return r;
}

static int read_runtime(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	return bh_config_runtime(m, &c->runtime, err);
}

static int read_http(const struct bh_yaml *m, struct bh_settings *c, struct bh_yaml_err *err)
{
	const struct bh_yaml *listen = bh_yaml_find(m, "listen");
	const char *colon;
	long port;
	char *end;
	int r = bh_yaml_check_keys(m, KEYS("listen"), err);

	if (!r)
		r = take_text(m, "listen", &c->http_listen, err);
	if (r < 0 || !c->http_listen[0])
		return r;
	colon = strrchr(c->http_listen, ':');
	port = colon ? strtol(colon + 1, &end, 10) : 0;
	if (!colon || colon == c->http_listen || *end || port < 1 || port > 65535)
		return bh_yaml_fail(err, listen ? listen : m, "'listen': '%s' is not HOST:PORT",
				    c->http_listen);
	return 0;
}

static int read_sinks(const struct bh_yaml *root, struct bh_settings *c, struct bh_yaml_err *err)
{
	const struct bh_yaml *sinks = NULL;
	int r = bh_yaml_get_list(root, "sinks", false, &sinks, err);

	return r < 0 || !sinks ? r : bh_config_sinks(sinks, &c->sinks, err);
}

static int read_root(const struct bh_yaml *root, struct bh_settings *c, struct bh_yaml_err *err)
{
	static const struct {
		const char *key;
		int (*read)(const struct bh_yaml *, struct bh_settings *, struct bh_yaml_err *);
	} sections[] = {
		{"node", read_node},	   {"paths", read_paths},
		{"sources", read_sources}, {"enforcement", read_enforcement},
		{"images", read_images},   {"runtime", read_runtime},
		{"http", read_http},
	};
	static const struct word api[] = {{"bulkhead.io/v1alpha1", 0}, {0}};
	static const struct word kind[] = {{"DaemonConfig", 0}, {0}};
	int ignored = 0;
	int r = bh_yaml_expect(root, BH_YAML_MAP, NULL, err);

	if (!r)
		r = bh_yaml_check_keys(root,
				       KEYS("apiVersion", "kind", "metadata", "node", "paths",
					    "sources", "enforcement", "images", "runtime", "sinks",
					    "http"),
				       err);
	if (!r)
		r = take_word(root, "apiVersion", api, &ignored, err);
	if (!r)
		r = take_word(root, "kind", kind, &ignored, err);
	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(sections); i++) {
		const struct bh_yaml *m = NULL;

		r = bh_yaml_get_map(root, sections[i].key, false, &m, err);
		if (!r && m)
			r = sections[i].read(m, c, err);
	}
	return r < 0 ? r : read_sinks(root, c, err);
}

static int read_text(const char *text, size_t len, struct bh_settings *c, struct bh_yaml_err *err)
{
	BH_CLEANUP(bh_yaml_doc_freep) struct bh_yaml_doc *doc = NULL;
	struct bh_yaml_stream stream;
	struct bh_yaml_slice slice, more;
	int r = bh_yaml_open(&stream, text, len, err);

	if (r < 0 || !bh_yaml_next(&stream, &slice))
		return r;
	r = bh_yaml_parse(&stream, &slice, &doc, err);
	if (r < 0 || bh_yaml_root(doc)->type == BH_YAML_NULL)
		return r;
	r = read_root(bh_yaml_root(doc), c, err);
	if (!r && bh_yaml_next(&stream, &more)) {
		err->line = more.line;
		err->col = 1;
		return bh_fail(&err->err, EINVAL, "only one document is expected");
	}
	return r;
}

int bh_settings_load(const char *path, struct bh_settings **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_settings_freep) struct bh_settings *c = calloc(1, sizeof(*c));
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_yaml_err bad = {0};
	size_t len = 0;
	int r;

	if (!c)
		return bh_fail(err, ENOMEM, "settings");
	r = set_defaults(c, err);
	if (!r && path)
		r = bh_fs_read(path, BH_YAML_MAX_BYTES, &text, &len, err);
	if (r < 0)
		return r;
	if (text && read_text(text, len, c, &bad) < 0)
		return bh_yaml_report(&bad, path, err);
	*ret = BH_TAKE(c);
	return 0;
}

void bh_settings_free(struct bh_settings *c)
{
	if (!c)
		return;
	free(c->node_name);
	free(c->node_addresses);
	free(c->run);
	free(c->state);
	free(c->log);
	free(c->bpffs);
	free(c->manifests);
	free(c->http_listen);
	free(c->images_credentials);
	free(c->images_hosts);
	free(c->images_registries);
	free(c->images_runtime);
	json_decref(c->images_break_glass);
	json_decref(c->sinks);
	bh_config_runtime_done(&c->runtime);
	free(c);
}

void bh_settings_freep(struct bh_settings **c)
{
	bh_settings_free(*c);
	*c = NULL;
}
