#include "event/export.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"

#define BOM	     "\xef\xbb\xbf"
#define SD_ID	     "bulkhead@32473"
#define HOSTNAME_MAX 255
#define MSGID_MAX    32

/* By OCSF severity_id: 0 unknown, 1 informational ... 5 critical, 6 fatal. Syslog: RFC 5424
 * table 2. OTLP: the first number of INFO, WARN, ERROR and FATAL ranges of the log data model. */
static const struct {
	int syslog, otlp;
} severities[] = {{5, 0}, {6, 9}, {5, 10}, {4, 13}, {3, 17}, {2, 18}, {1, 21}};

static size_t severity_of(const json_t *event)
{
	json_int_t id = json_integer_value(json_object_get(event, "severity_id"));

	return id > 0 && id < (json_int_t)BH_ARRAY_SIZE(severities) ? (size_t)id : 0;
}

static const char *text_of(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

uint64_t bh_export_seq(const json_t *event)
{
	const json_t *seq = json_object_get(json_object_get(event, "chain"), "seq");

	return (uint64_t)json_integer_value(seq);
}

#define OURS "unmapped.bulkhead."
/* of the process that the event is about, of who did it, of what a finding has as evidence */
#define ANY_PROCESS(x) "process." x "|actor.process." x "|evidences.0.process." x

/* What is worth a field of its own: its name, where OpenTelemetry has a better one that, and where
 * it is in the event, the first of these places that there is. */
static const struct {
	const char *name, *otlp, *places;
} known[] = {
	{"class", NULL, "class_name"},
	{"severity", NULL, "severity"},
	{"pod", NULL, OURS "pod"},
	{"peer", NULL, OURS "peer"},
	{"verdict", NULL, OURS "verdict"},
	{"reason", NULL, OURS "reason"},
	{"namespace", "k8s.namespace.name", OURS "namespace"},
	{"container", "k8s.container.name", "container.name"},
	{"containerId", "container.id", "container.uid"},
	{"image", "container.image.name", OURS "image"},
	{"imageVerdict", NULL, OURS "imageVerdict"},
	{"workload", NULL, OURS "workload.name"},
	{"process", "process.executable.path", ANY_PROCESS("file.path")},
	{"pid", "process.pid", ANY_PROCESS("pid")},
	{"exec", NULL, ANY_PROCESS("uid")},
	{"sha256", NULL, ANY_PROCESS("file.hashes.0.value")},
	{"provenance", NULL, OURS "provenance|" OURS "processProvenance"},
	{"rule", NULL, OURS "rule"},
	{"place", NULL, "policy.desc|" OURS "place"},
	{"detector", NULL, OURS "detector"},
	{"disposition", NULL, "disposition"},
	{"correlation", NULL, "metadata.correlation_uid"},
	{"seq", NULL, "chain.seq"}, /* the last one; 0: the event has none */
};
#define FIELDS BH_ARRAY_SIZE(known)

/* The member at a dotted path of n bytes; numbers are positions in arrays. */
static const json_t *member_at(const json_t *j, const char *path, size_t n)
{
	while (j && n) {
		const char *dot = memchr(path, '.', n);
		size_t len = dot ? (size_t)(dot - path) : n;
		char key[32];

		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		j = json_is_array(j) ? json_array_get(j, strtoul(key, NULL, 10))
				     : json_object_get(j, key);
		path += dot ? len + 1 : len;
		n -= dot ? len + 1 : len;
	}
	return j;
}

static const json_t *first_of(const json_t *event, const char *places)
{
	const json_t *j = NULL;

	while (!j && *places) {
		size_t n = strcspn(places, "|");

		j = member_at(event, places, n);
		places += n + (places[n] == '|');
	}
	return j;
}

struct field {
	const char *name, *otlp; /* otlp NULL: as name */
	const char *text;	 /* value, "" when there is none */
	bool is_number;
	char number[24];
};

static void field_of(const json_t *event, size_t i, struct field *f)
{
	const json_t *j = first_of(event, known[i].places);
	const char *text = j ? json_string_value(j) : i + 1 == FIELDS ? "0" : NULL;

	*f = (struct field){known[i].name, known[i].otlp, "", json_is_integer(j), ""};
	if (f->is_number)
		snprintf(f->number, sizeof(f->number), "%lld", (long long)json_integer_value(j));
	f->text = f->is_number ? f->number : text ? text : "";
}

/* ---- syslog ---- */

/* PRINTUSASCII without blanks, at most max bytes; "-" when nothing is left (RFC 5424 section 6). */
static void add_word(struct bh_str *b, const char *s, size_t max)
{
	size_t before = b->n;

	for (; s && *s && b->n - before < max; s++) {
		if (*s > 0x20 && *s < 0x7f)
			bh_str_addn(b, s, 1);
	}
	if (b->n == before)
		bh_str_add(b, "-");
}

/* PARAM-VALUE: '"', '\' and ']' are escaped (RFC 5424 section 6.3.3). */
static void add_param(struct bh_str *b, const char *name, const char *value)
{
	bh_str_fmt(b, " %s=\"", name);
	for (; *value; value++) {
		if (strchr("\"\\]", *value))
			bh_str_add(b, "\\");
		bh_str_addn(b, value, 1);
	}
	bh_str_add(b, "\"");
}

static void add_time(struct bh_str *b, const json_t *event)
{
	json_int_t ms = json_integer_value(json_object_get(event, "time"));
	time_t s = (time_t)(ms / 1000);
	char text[32];
	struct tm tm;

	if (ms <= 0 || !gmtime_r(&s, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm)) {
		bh_str_add(b, "-");
		return;
	}
	bh_str_fmt(b, "%s.%03dZ", text, (int)(ms % 1000));
}

static void add_header(struct bh_str *b, const json_t *event, int facility)
{
	BH_CLEANUP(bh_freep) char *class = NULL;
	int uid = (int)json_integer_value(json_object_get(event, "class_uid"));

	bh_str_fmt(b, "<%d>1 ", facility * 8 + severities[severity_of(event)].syslog);
	add_time(b, event);
	bh_str_add(b, " ");
	add_word(b, text_of(json_object_get(event, "device"), "hostname"), HOSTNAME_MAX);
	class = bh_strf("ocsf-%d", uid);
	bh_str_add(b, " bulkheadd - ");
	add_word(b, class, MSGID_MAX);
	bh_str_add(b, " ");
}

static void add_structured(struct bh_str *b, const json_t *event)
{
	struct field f;

	bh_str_add(b, "[" SD_ID);
	for (size_t i = 0; i < FIELDS; i++) {
		field_of(event, i, &f);
		if (*f.text)
			add_param(b, f.name, f.text);
	}
	bh_str_add(b, "] ");
}

int bh_export_syslog(const json_t *event, int facility, struct bh_str *out, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *json = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
	BH_CLEANUP(bh_str_done) struct bh_str b = {0};

	if (!json)
		return bh_fail(err, ENOMEM, "no memory for a syslog message");
	add_header(&b, event, facility);
	add_structured(&b, event);
	bh_str_add(&b, BOM);
	bh_str_add(&b, json);
	bh_str_fmt(out, "%zu ", b.n);
	bh_str_addn(out, bh_str_text(&b), b.n);
	return b.failed || out->failed ? bh_fail(err, ENOMEM, "no memory for a syslog message") : 0;
}

/* ---- OTLP ---- */

static json_t *attribute(const char *key, const char *value)
{
	return json_pack("{s:s, s:{s:s}}", "key", key, "value", "stringValue", value);
}

static json_t *attributes(const json_t *event)
{
	json_t *all = json_array();
	struct field f;

	for (size_t i = 0; all && i < FIELDS; i++) {
		BH_CLEANUP(bh_freep) char *key = NULL;

		field_of(event, i, &f);
		key = f.otlp ? bh_strf("%s", f.otlp) : bh_strf("bulkhead.%s", f.name);
		if (!key || !*f.text)
			continue;
		/* a 64-bit number is a string in this JSON */
		json_array_append_new(
			all, json_pack("{s:s, s:{s:s}}", "key", key, "value",
				       f.otlp && f.is_number ? "intValue" : "stringValue", f.text));
	}
	return all;
}

static json_t *record(const json_t *event)
{
	BH_CLEANUP(bh_freep) char *body = json_dumps(event, JSON_COMPACT | JSON_SORT_KEYS);
	const char *severity = text_of(event, "severity");
	char ns[32];

	if (!body)
		return NULL;
	snprintf(ns, sizeof(ns), "%lld000000",
		 (long long)json_integer_value(json_object_get(event, "time")));
	return json_pack("{s:s, s:s, s:i, s:s, s:{s:s}, s:o}", "timeUnixNano", ns,
			 "observedTimeUnixNano", ns, "severityNumber",
			 severities[severity_of(event)].otlp, "severityText",
			 severity ? severity : "Unknown", "body", "stringValue", body, "attributes",
			 attributes(event));
}

int bh_export_otlp(const json_t *events, const char *node, const char *version, json_t **ret,
		   struct bh_err *err)
{
	json_t *records = json_array(), *resource, *logs;
	const json_t *event;
	size_t i;

	json_array_foreach(events, i, event)
	{
		if (json_array_append_new(records, record(event))) {
			json_decref(records);
			return bh_fail(err, ENOMEM, "no memory for an OTLP request");
		}
	}
	resource = json_pack("[o, o, o]", attribute("service.name", "bulkheadd"),
			     attribute("service.version", version), attribute("host.name", node));
	logs = json_pack("{s:[{s:{s:o}, s:[{s:{s:s, s:s}, s:o}]}]}", "resourceLogs", "resource",
			 "attributes", resource, "scopeLogs", "scope", "name", "bulkhead",
			 "version", version, "logRecords", records);
	if (!logs)
		return bh_fail(err, ENOMEM, "no memory for an OTLP request");
	*ret = logs;
	return 0;
}

/* int64 is a string in this JSON, and some write a number. What is no count of records is none. */
static uint64_t count_of(const json_t *j)
{
	const char *text = json_string_value(j);
	long long n = json_integer_value(j);
	char *end = NULL;

	if (text) {
		n = strtoll(text, &end, 10);
		n = end == text || *end ? 0 : n;
	}
	return n > 0 ? (uint64_t)n : 0;
}

int bh_export_otlp_answer(const char *body, size_t len, uint64_t *ret_rejected, char *ret_text,
			  size_t size, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	const json_t *partial;
	const char *text;

	*ret_rejected = 0;
	*ret_text = 0;
	if (!len)
		return 0;
	if (bh_json_parse(body, len, BH_OTLP_MAX_ANSWER, &j, err))
		return bh_note(err, -EBADMSG, "the receiver's answer");
	partial = json_object_get(j, "partialSuccess");
	*ret_rejected = count_of(json_object_get(partial, "rejectedLogRecords"));
	text = text_of(partial, "errorMessage");
	if (text)
		snprintf(ret_text, size, "%s", text);
	return 0;
}

/* ---- webhook ---- */

int bh_export_webhook(const json_t *events, const char *node, char **ret_body, struct bh_err *err)
{
	size_t n = json_array_size(events);
	uint64_t first = bh_export_seq(json_array_get(events, 0));
	uint64_t last = n ? bh_export_seq(json_array_get(events, n - 1)) : 0;
	BH_CLEANUP(bh_json_decrefp)
	json_t *j = json_pack("{s:s, s:I, s:I, s:O}", "node", node, "firstSeq", (json_int_t)first,
			      "lastSeq", (json_int_t)last, "events", events);

	*ret_body = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	return *ret_body ? 0 : bh_fail(err, ENOMEM, "no memory for a webhook's body");
}

int bh_export_sign(const char *secret, size_t secret_len, int64_t now_s, const char *body,
		   char ret[BH_WEBHOOK_SIGNATURE], struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *signed_text = bh_strf("%lld.%s", (long long)now_s, body);
	unsigned char mac[SHA256_DIGEST_LENGTH];
	unsigned int len = 0;
	char hex[2 * SHA256_DIGEST_LENGTH + 1];

	if (!signed_text || !HMAC(EVP_sha256(), secret, (int)secret_len,
				  (unsigned char *)signed_text, strlen(signed_text), mac, &len))
		return bh_fail(err, ENOMEM, "the webhook's signature");
	bh_hex(mac, sizeof(mac), hex);
	snprintf(ret, BH_WEBHOOK_SIGNATURE, "t=%lld,sha256=%s", (long long)now_s, hex);
	return 0;
}

/* ---- patience ---- */

uint32_t bh_export_retry_after(const char *value, int64_t now_s, uint32_t otherwise_s,
			       uint32_t max_s)
{
	struct tm tm = {0};
	int64_t s = otherwise_s;
	char *end;

	if (!value)
		return otherwise_s < max_s ? otherwise_s : max_s;
	if (*value >= '0' && *value <= '9') {
		unsigned long long n = strtoull(value, &end, 10);

		s = *end ? otherwise_s : n > max_s ? max_s : (int64_t)n;
	} else {
		/* an HTTP date; the C locale's names of days and months are the ones meant */
		const char *rest = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);

		if (rest && !*rest)
			s = (int64_t)timegm(&tm) - now_s;
	}
	if (s < 0)
		s = 0;
	return s > max_s ? max_s : (uint32_t)s;
}
