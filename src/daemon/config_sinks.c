#include "daemon/config_sinks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "event/export.h"
#include "event/ocsf.h"

#define MAX_SINKS   16
#define MAX_HEADERS 32 /* of one sink, as in worker/sink.c */
#define MAX_PEM	    (1024 * 1024)
/* a name is a label of metrics and a key of the database */
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* What a key holds. */
enum form { TEXT, REQUIRED, ADDRESS, FILE_TEXT, FLAG, FACILITY, URL, HEADERS, CLASSES, SEVERITY };

struct key {
	const char *name;
	enum form form;
};

static const struct kind {
	const char *type;
	struct key keys[14]; /* beside those of all */
} kinds[] = {
	{"syslog",
	 {{"address", ADDRESS},
	  {"tls", FLAG},
	  {"ca", FILE_TEXT},
	  {"certificate", FILE_TEXT},
	  {"key", FILE_TEXT},
	  {"serverName", TEXT},
	  {"facility", FACILITY}}},
	{"otlp", {{"url", URL}, {"insecure", FLAG}, {"ca", FILE_TEXT}, {"headers", HEADERS}}},
	{"webhook",
	 {{"url", URL},
	  {"insecure", FLAG},
	  {"ca", FILE_TEXT},
	  {"headers", HEADERS},
	  {"secretFile", FILE_TEXT}}},
};

static const struct key all_kinds[] = {
	{"type", REQUIRED}, {"name", TEXT}, {"classes", CLASSES}, {"minSeverity", SEVERITY}};

static int set(json_t *sink, const char *key, json_t *take_value, struct bh_yaml_err *err)
{
	return take_value && !json_object_set_new(sink, key, take_value)
		       ? 0
		       : bh_fail(&err->err, ENOMEM, "settings");
}

/* ---- one form each ---- */

/* "HOST:PORT" or "[IPv6]:PORT" in n bytes, the port 1-65535; without needs_port it may be left out.
 * Whether there is such a host shows later. */
static bool is_place(const char *text, size_t n, bool needs_port)
{
	const char *end = *text == '[' ? memchr(text, ']', n) : memchr(text, ':', n);
	size_t host = end ? (size_t)(end - text) + (*text == '[') : n, digits = 0;
	unsigned long port = 0;

	if (!host || (*text == '[' && (!end || host < 4)))
		return false;
	for (size_t i = 0; i < host; i++) {
		if (text[i] <= ' ' || strchr("/@?#\"'\\", text[i]))
			return false;
	}
	if (host == n)
		return !needs_port;
	for (; host + 1 + digits < n && digits < 6; digits++) {
		char c = text[host + 1 + digits];

		if (c < '0' || c > '9')
			return false;
		port = port * 10 + (unsigned long)(c - '0');
	}
	return text[host] == ':' && host + 1 + digits == n && port && port <= UINT16_MAX;
}

static int take_text(const struct bh_yaml *m, const struct key *k, json_t *sink,
		     struct bh_yaml_err *err)
{
	const char *text = NULL;
	int r = bh_yaml_get_str(m, k->name, k->form != TEXT, &text, err);

	if (r < 0 || !text)
		return r;
	if (!*text)
		return bh_yaml_fail(err, bh_yaml_find(m, k->name), "'%s' is empty", k->name);
	if (k->form == ADDRESS && !is_place(text, strlen(text), true))
		return bh_yaml_fail(err, bh_yaml_find(m, k->name),
				    "'%s': '%s' is not HOST:PORT or [IPv6]:PORT", k->name, text);
	return set(sink, k->name, json_string(text), err);
}

static int take_file(const struct bh_yaml *m, const struct key *k, json_t *sink,
		     struct bh_yaml_err *err)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	const char *path = NULL;
	struct bh_err bad = {0};
	size_t len = 0;
	int r = bh_yaml_get_str(m, k->name, false, &path, err);

	if (r < 0 || !path)
		return r;
	if (bh_fs_read(path, MAX_PEM, &text, &len, &bad) < 0)
		return bh_yaml_fail(err, bh_yaml_find(m, k->name), "'%s': %s", k->name, bad.text);
	while (!strcmp(k->name, "secretFile") && len && strchr("\r\n", text[len - 1]))
		len--;
	if (!len)
		return bh_yaml_fail(err, bh_yaml_find(m, k->name), "'%s': '%s' is empty", k->name,
				    path);
	r = set(sink, k->name, json_stringn(text, len), err);
	explicit_bzero(text, len);
	return r;
}

static int take_flag(const struct bh_yaml *m, const struct key *k, json_t *sink,
		     struct bh_yaml_err *err)
{
	bool on = !strcmp(k->name, "tls");
	int r = bh_yaml_get_bool(m, k->name, false, &on, err);

	return r < 0 ? r : set(sink, k->name, json_boolean(on), err);
}

static int take_facility(const struct bh_yaml *m, const struct key *k, json_t *sink,
			 struct bh_yaml_err *err)
{
	int64_t n = BH_SYSLOG_FACILITY;
	int r = bh_yaml_get_int(m, k->name, false, (struct bh_yaml_range){0, 23}, &n, err);

	return r < 0 ? r : set(sink, k->name, json_integer(n), err);
}

static int take_url(const struct bh_yaml *m, const struct key *k, json_t *sink,
		    struct bh_yaml_err *err)
{
	const char *url = NULL, *host, *path;
	bool is_insecure = false;
	int r = bh_yaml_get_str(m, k->name, true, &url, err);

	if (!r)
		r = bh_yaml_get_bool(m, "insecure", false, &is_insecure, err);
	if (r < 0)
		return r;
	host = !strncmp(url, "https://", 8) ? url + 8 : !strncmp(url, "http://", 7) ? url + 7 : "";
	if (strpbrk(url, " \t\r\n@") || !is_place(host, strcspn(host, "/?#"), false))
		return bh_yaml_fail(err, bh_yaml_find(m, k->name),
				    "'%s': '%s' is not https://HOST[:PORT][/PATH]", k->name, url);
	if (url[4] == ':' && !is_insecure)
		return bh_yaml_fail(err, bh_yaml_find(m, k->name),
				    "'%s': '%s' is not encrypted; set 'insecure: true' if that is "
				    "meant",
				    k->name, url);
	path = strchr(host, '/');
	if (!strcmp(json_string_value(json_object_get(sink, "type")), "otlp") &&
	    (!path || !path[1]))
		return set(sink, k->name,
			   json_sprintf("%.*s/v1/logs", (int)(path ? path - url : (int)strlen(url)),
					url),
			   err);
	return set(sink, k->name, json_string(url), err);
}

/* HTTP's own way to end a line must not get into one. */
static bool is_header(const char *name, const char *value)
{
	return *name && !strpbrk(name, ": \t\r\n") && !strpbrk(value, "\r\n");
}

static int take_headers(const struct bh_yaml *m, const struct key *k, json_t *sink,
			struct bh_yaml_err *err)
{
	const struct bh_yaml *map = NULL;
	json_t *list;
	int r = bh_yaml_get_map(m, k->name, false, &map, err);

	if (r < 0 || !map)
		return r;
	if (map->n > MAX_HEADERS)
		return bh_yaml_fail(err, map, "'%s': %u are asked for, %d are possible", k->name,
				    map->n, MAX_HEADERS);
	list = json_array();
	for (uint32_t i = 0; !r && i < map->n; i++) {
		const struct bh_yaml *value = map->pairs[i].value;
		const char *name = map->pairs[i].key->text;

		r = bh_yaml_expect(value, BH_YAML_STRING, name, err);
		if (!r && !is_header(name, value->text))
			r = bh_yaml_fail(err, value, "'%s' is not a header", name);
		if (!r && json_array_append_new(list, json_sprintf("%s: %s", name, value->text)))
			r = bh_fail(&err->err, ENOMEM, "settings");
	}
	if (r < 0) {
		json_decref(list);
		return r;
	}
	return set(sink, k->name, list, err);
}

static int take_classes(const struct bh_yaml *m, const struct key *k, json_t *sink,
			struct bh_yaml_err *err)
{
	const struct bh_yaml *list = NULL;
	json_t *classes;
	int r = bh_yaml_get_list(m, k->name, false, &list, err);

	if (r < 0 || !list)
		return r;
	classes = json_array();
	for (uint32_t i = 0; !r && i < list->n; i++) {
		struct bh_err bad = {0};
		int uid = 0;

		if (list->items[i]->type > BH_YAML_STRING)
			r = bh_yaml_expect(list->items[i], BH_YAML_STRING, k->name, err);
		if (!r && bh_ocsf_class_parse(list->items[i]->text, &uid, &bad))
			r = bh_yaml_fail(err, list->items[i], "'%s': %s", k->name, bad.text);
		if (!r && json_array_append_new(classes, json_integer(uid)))
			r = bh_fail(&err->err, ENOMEM, "settings");
	}
	if (r < 0) {
		json_decref(classes);
		return r;
	}
	return set(sink, k->name, classes, err);
}

static int take_severity(const struct bh_yaml *m, const struct key *k, json_t *sink,
			 struct bh_yaml_err *err)
{
	static const char *const words[] = {"informational", "low", "medium", "high", "critical"};
	const char *text = NULL;
	int r = bh_yaml_get_str(m, k->name, false, &text, err);

	if (r < 0 || !text)
		return r;
	for (size_t i = 0; i < BH_ARRAY_SIZE(words); i++) {
		if (!strcmp(words[i], text))
			return set(sink, k->name, json_integer((json_int_t)i + 1), err);
	}
	return bh_yaml_fail(err, bh_yaml_find(m, k->name),
			    "'%s': '%s' is none of informational, low, medium, high, critical",
			    k->name, text);
}

/* ---- a sink ---- */

static int take(const struct bh_yaml *m, const struct key *k, json_t *sink, struct bh_yaml_err *err)
{
	static int (*const readers[])(const struct bh_yaml *, const struct key *, json_t *,
				      struct bh_yaml_err *) = {
		[TEXT] = take_text,	   [REQUIRED] = take_text,   [ADDRESS] = take_text,
		[FILE_TEXT] = take_file,   [FLAG] = take_flag,	     [FACILITY] = take_facility,
		[URL] = take_url,	   [HEADERS] = take_headers, [CLASSES] = take_classes,
		[SEVERITY] = take_severity};

	return readers[k->form](m, k, sink, err);
}

static const struct kind *kind_of(const struct bh_yaml *m, struct bh_yaml_err *err)
{
	const char *type = NULL;

	if (bh_yaml_get_str(m, "type", true, &type, err) < 0)
		return NULL;
	for (size_t i = 0; i < BH_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i].type, type))
			return &kinds[i];
	}
	bh_yaml_fail(err, bh_yaml_find(m, "type"), "'type': '%s' is none of syslog, otlp, webhook",
		     type);
	return NULL;
}

static int check_keys(const struct bh_yaml *m, const struct kind *kind, struct bh_yaml_err *err)
{
	const char *names[BH_ARRAY_SIZE(all_kinds) + BH_ARRAY_SIZE(kind->keys) + 1] = {0};
	size_t n = 0;

	for (size_t i = 0; i < BH_ARRAY_SIZE(all_kinds); i++)
		names[n++] = all_kinds[i].name;
	for (size_t i = 0; kind->keys[i].name; i++)
		names[n++] = kind->keys[i].name;
	return bh_yaml_check_keys(m, names, err);
}

static int check_name(const struct bh_yaml *m, const json_t *all, json_t *sink,
		      struct bh_yaml_err *err)
{
	const json_t *name = json_object_get(sink, "name"), *other;
	size_t i;

	if (!name) {
		name = json_object_get(sink, "type");
		json_object_set(sink, "name", (json_t *)name);
	}
	if (strspn(json_string_value(name), NAME_CHARS) != json_string_length(name))
		return bh_yaml_fail(err, bh_yaml_find(m, "name"),
				    "'name': '%s' has more than letters, digits, '.', '_' and '-'",
				    json_string_value(name));
	json_array_foreach(all, i, other)
	{
		if (json_equal(json_object_get(other, "name"), name))
			return bh_yaml_fail(err, m, "'sinks': two are called '%s'; give one a name",
					    json_string_value(name));
	}
	return 0;
}

static int check_certificate(const struct bh_yaml *m, const json_t *sink, struct bh_yaml_err *err)
{
	bool has_one = json_object_get(sink, "certificate"), has_key = json_object_get(sink, "key");

	return has_one == has_key
		       ? 0
		       : bh_yaml_fail(err, m,
				      "'certificate' and 'key' go together; '%s' is missing",
				      has_one ? "key" : "certificate");
}

static int read_sink(const struct bh_yaml *m, json_t *all, struct bh_yaml_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *sink = json_object();
	const struct kind *kind;
	int r = bh_yaml_expect(m, BH_YAML_MAP, "sinks", err);

	kind = r < 0 ? NULL : kind_of(m, err);
	r = kind ? check_keys(m, kind, err) : err->err.code;
	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(all_kinds); i++)
		r = take(m, &all_kinds[i], sink, err);
	for (size_t i = 0; !r && kind->keys[i].name; i++)
		r = take(m, &kind->keys[i], sink, err);
	if (!r)
		r = check_name(m, all, sink, err);
	if (!r)
		r = check_certificate(m, sink, err);
	if (r < 0)
		return r;
	return json_array_append(all, sink) ? bh_fail(&err->err, ENOMEM, "settings") : 0;
}

int bh_config_sinks(const struct bh_yaml *list, json_t **ret, struct bh_yaml_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *all = json_array();
	int r = 0;

	if (list->n > MAX_SINKS)
		return bh_yaml_fail(err, list, "'sinks': %u are asked for, %d are possible",
				    list->n, MAX_SINKS);
	for (uint32_t i = 0; !r && i < list->n; i++)
		r = read_sink(list->items[i], all, err);
	if (r < 0)
		return r;
	*ret = BH_TAKE(all);
	return 0;
}
