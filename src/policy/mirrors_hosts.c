/* mirrors_hosts.c - certs.d/HOST/hosts.toml */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/mirrors_parts.h"

#define MAX_PEM	    (256u << 10)
#define MAX_HOSTS   16
#define MAX_HEADERS 16

/* One table of the file: the root, for the registry itself, or a [host."URL"]. */
struct host {
	struct bh_mirror_reading *r;
	const char *dir; /* of the file */
	const json_t *table;
	const char *url; /* NULL: the registry's own */
	bool is_server;
	char *ca, *cert, *key;
	json_t *headers;
};

static void host_done(struct host *h)
{
	free(h->ca);
	free(h->cert);
	if (h->key)
		explicit_bzero(h->key, strlen(h->key));
	free(h->key);
	json_decref(h->headers);
}

static int wrong(struct bh_err *err, const char *key, const char *what)
{
	return bh_fail(err, EINVAL, "'%s': expected %s", key, what);
}

/* ---- files ---- */

static char *path_of(const struct host *h, const char *path)
{
	return *path == '/' ? strdup(path) : bh_strf("%s/%s", h->dir, path);
}

/* Appends the file's text to *to. */
static int add_pem(const struct host *h, const char *file, char **to, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *path = path_of(h, file);
	BH_CLEANUP(bh_freep) char *text = NULL;
	char *both;
	size_t n = 0;
	int r = path ? h->r->p->files->read(path, MAX_PEM, &text, &n, err)
		     : bh_fail(err, ENOMEM, "mirrors");

	if (r)
		return r == -ENOENT ? bh_fail(err, EINVAL, "there is no file '%s'", path) : r;
	both = bh_strf("%s%s\n", *to ? *to : "", text);
	explicit_bzero(text, n);
	if (*to)
		explicit_bzero(*to, strlen(*to));
	free(*to);
	*to = both;
	return both ? 0 : bh_fail(err, ENOMEM, "mirrors");
}

/* "file" or ["file", ...] */
static int read_ca(struct host *h, struct bh_err *err)
{
	const json_t *ca = json_object_get(h->table, "ca"), *j;
	size_t i;
	int r = 0;

	if (!ca)
		return 0;
	if (json_is_string(ca))
		return add_pem(h, json_string_value(ca), &h->ca, err);
	if (!json_is_array(ca))
		return wrong(err, "ca", "a file or a list of files");
	json_array_foreach(ca, i, j)
	{
		if (!json_is_string(j))
			return wrong(err, "ca", "a file or a list of files");
		r = add_pem(h, json_string_value(j), &h->ca, err);
		if (r)
			return r;
	}
	return 0;
}

/* "file", ["file", ...] or [["certificate", "key"], ...]; the first one is shown. */
static int read_client(struct host *h, struct bh_err *err)
{
	const json_t *client = json_object_get(h->table, "client"), *cert, *key = NULL;
	int r;

	if (!client)
		return 0;
	cert = json_is_array(client) ? json_array_get(client, 0) : client;
	if (json_is_array(cert)) {
		key = json_array_get(cert, 1);
		cert = json_array_get(cert, 0);
	}
	if (!json_is_string(cert) || (key && !json_is_string(key)))
		return wrong(err, "client", "files, or pairs of certificate and key");
	r = add_pem(h, json_string_value(cert), &h->cert, err);
	if (!key || !*json_string_value(key))
		key = cert;
	return r ? r : add_pem(h, json_string_value(key), &h->key, err);
}

/* ---- headers ---- */

static int add_header(struct host *h, const char *name, const json_t *value, struct bh_err *err)
{
	static const char token[] =
		"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *text = json_string_value(value);
	BH_CLEANUP(bh_freep) char *line = NULL;

	if (!text || !*name || name[strspn(name, token)])
		return wrong(err, "header", "names of headers, and strings");
	for (const char *c = text; *c; c++) {
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return wrong(err, "header", "values of one line");
	}
	if (json_array_size(h->headers) >= MAX_HEADERS)
		return bh_fail(err, EINVAL, "'header': more than %d", MAX_HEADERS);
	line = bh_strf("%s: %s", name, text);
	return !line || json_array_append_new(h->headers, json_string(line))
		       ? bh_fail(err, ENOMEM, "mirrors")
		       : 0;
}

static int read_headers(struct host *h, struct bh_err *err)
{
	json_t *table = json_object_get(h->table, "header"), *value, *one;
	const char *name;
	size_t i;
	int r = 0;

	if (table && !json_is_object(table))
		return wrong(err, "header", "a table");
	json_object_foreach(table, name, value)
	{
		if (!json_is_array(value))
			r = add_header(h, name, value, err);
		json_array_foreach(value, i, one) r = r ? r : add_header(h, name, one, err);
		if (r)
			return r;
	}
	return 0;
}

/* ---- what is asked of it ---- */

struct asked {
	bool pull, resolve, overrides_path;
};

static int read_asked(const struct host *h, struct asked *ret, struct bh_err *err)
{
	const json_t *list = json_object_get(h->table, "capabilities"), *j;
	const json_t *path = json_object_get(h->table, "override_path");
	size_t i;

	*ret = (struct asked){.overrides_path = json_is_true(path)};
	if (path && !json_is_boolean(path))
		return wrong(err, "override_path", "true or false");
	if (list && !json_is_array(list))
		return wrong(err, "capabilities", "a list");
	if (!json_array_size(list)) {
		ret->pull = ret->resolve = true;
		return 0;
	}
	json_array_foreach(list, i, j)
	{
		if (!json_is_string(j))
			return wrong(err, "capabilities", "strings");
		ret->pull |= !strcmp(json_string_value(j), "pull");
		ret->resolve |= !strcmp(json_string_value(j), "resolve");
	}
	return 0;
}

/* Behind the scheme; "//host" has none of its own. */
static const char *host_of(const char *url)
{
	const char *mark = strstr(url, "//");

	return mark && (mark == url || mark[-1] == ':') ? mark + 2 : url;
}

/* "https://host/v2/proxy" becomes "https://host/v2" and the repository "proxy/...": that is its
 * name there, which tokens are asked for. */
static int place(const struct host *h, bool overrides_path, char **ret_base, char **ret_repository)
{
	const char *host = host_of(h->url), *scheme = host == h->url ? "https://" : "";
	const char *path = host + strcspn(host, "/"), *repository = h->r->ref->repository;
	size_t n = strlen(path), before = (size_t)(path - h->url);

	while (n && path[n - 1] == '/')
		n--;
	if (overrides_path && n > 4 && !strncmp(path, "/v2/", 4)) {
		*ret_base = bh_strf("%s%.*s/v2", scheme, (int)before, h->url);
		*ret_repository = bh_strf("%.*s/%s", (int)(n - 4), path + 4, repository);
	} else {
		bool has_v2 = overrides_path || (n >= 3 && !memcmp(path + n - 3, "/v2", 3));

		*ret_base = bh_strf("%s%.*s%.*s%s", scheme, (int)before, h->url, (int)n, path,
				    has_v2 ? "" : "/v2");
		*ret_repository = strdup(repository);
	}
	return *ret_base && *ret_repository ? 0 : -ENOMEM;
}

static bool is_home(const struct host *h)
{
	const char *host = host_of(h->url), *own = h->r->ref->registry;
	const char *server = bh_registry_server(own);
	size_t n = strcspn(host, "/");

	return (strlen(own) == n && !strncasecmp(host, own, n)) ||
	       (strlen(server) == n && !strncasecmp(host, server, n));
}

static int push_host(struct host *h, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *base = NULL, *repository = NULL;
	struct asked asked;
	int r = read_asked(h, &asked, err);

	if (r)
		return r;
	if (place(h, asked.overrides_path, &base, &repository))
		return bh_fail(err, ENOMEM, "mirrors");
	if (!asked.pull && !asked.resolve)
		return 0;
	return bh_mirror_push(
		h->r,
		json_pack("{s:s, s:s, s:s, s:s?, s:b, s:b, s:b, s:s?, s:s?, s:s?, s:O}", "of",
			  h->r->of, "base", base, "repository", repository, "ns",
			  is_home(h) ? NULL : h->r->ref->registry, "tags", asked.resolve, "digests",
			  asked.pull, "isServer", h->is_server, "caPem", h->ca, "certPem", h->cert,
			  "keyPem", h->key, "headers", h->headers),
		err);
}

static int read_host(struct host *h, struct bh_err *err)
{
	int r;

	if (!json_is_object(h->table))
		return wrong(err, h->url, "a table");
	h->headers = json_array();
	r = h->headers ? read_ca(h, err) : bh_fail(err, ENOMEM, "mirrors");
	if (!r)
		r = read_client(h, err);
	if (!r)
		r = read_headers(h, err);
	return r ? r : push_host(h, err);
}

/* ---- the file ---- */

/* The root's settings are those of `server`; without it, of the registry that the image names. */
static int read_server(struct bh_mirror_reading *r, const char *dir, const json_t *root,
		       struct bh_err *err)
{
	const json_t *server = json_object_get(root, "server");
	const char *own = r->ref->registry;
	BH_CLEANUP(bh_freep)
	char *url = bh_strf("//%s", bh_registry_server(own));
	struct host h = {.r = r, .dir = dir, .table = root, .is_server = true};
	const char *wish = json_string_value(server);
	bool is_needed = server || json_object_get(root, "ca") || json_object_get(root, "client") ||
			 json_object_get(root, "header");
	int res;

	if (server && !json_is_string(server))
		return wrong(err, "server", "a string");
	if (!is_needed)
		return 0;
	if (wish && *wish)
		h.url = wish;
	else
		h.url = url;
	/* the scheme of what the operator did not write is the ImagePolicy's to choose */
	res = h.url ? read_host(&h, err) : bh_fail(err, ENOMEM, "mirrors");
	host_done(&h);
	return res;
}

static int read_file(struct bh_mirror_reading *r, const char *dir, const json_t *root,
		     struct bh_err *err)
{
	json_t *hosts = json_object_get(root, "host"), *table;
	const char *url;
	int res = 0;

	if (hosts && !json_is_object(hosts))
		return wrong(err, "host", "a table");
	if (json_object_size(hosts) > MAX_HOSTS)
		return bh_fail(err, EINVAL, "'host': more than %d", MAX_HOSTS);
	json_object_foreach(hosts, url, table)
	{
		struct host h = {.r = r, .dir = dir, .table = table, .url = url};

		res = read_host(&h, err);
		host_done(&h);
		if (res)
			return bh_note(err, res, "host '%.200s'", url);
	}
	return read_server(r, dir, root, err);
}

/* 0: there is no such file. */
static int try_folder(struct bh_mirror_reading *r, const char *name, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *dir = bh_strf("%s/%s", r->p->hosts_dir, name);
	BH_CLEANUP(bh_freep) char *path = dir ? bh_strf("%s/hosts.toml", dir) : NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *root = NULL;
	int res = path ? bh_mirror_toml(r, path, &root, err) : bh_fail(err, ENOMEM, "mirrors");

	if (res)
		return res == -ENOENT ? 0 : res;
	res = read_file(r, dir, root, err);
	return res ? bh_note(err, res, "%s", path) : 1;
}

/* containerd looks for HOST_PORT_, for HOST:PORT, then for _default. */
int bh_mirrors_of_hosts(struct bh_mirror_reading *r, struct bh_err *err)
{
	const char *own = r->ref->registry, *colon = strrchr(own, ':');
	BH_CLEANUP(bh_freep) char *with_port = NULL;
	int res = 0;

	if (colon && colon[1] && !strchr(colon, ']')) {
		with_port = bh_strf("%.*s_%s_", (int)(colon - own), own, colon + 1);
		res = with_port ? try_folder(r, with_port, err) : bh_fail(err, ENOMEM, "mirrors");
	}
	if (!res)
		res = try_folder(r, own, err);
	return res ? res : try_folder(r, "_default", err);
}
