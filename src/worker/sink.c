#include "worker/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "event/export.h"
#include "http/client.h"
#include "worker/stream.h"

#define TIMEOUT_MS  10000
#define RETRY_S	    5	 /* when the receiver does not say how long */
#define MAX_RETRY_S 3600 /* however long it says */
#define MAX_ANSWER  BH_OTLP_MAX_ANSWER
#define MOST_EVENTS 1024 /* in one request; the daemon asks for fewer */
#define MAX_HEADERS 32

struct bh_sink_sender {
	json_t *settings;
	const char *type, *node, *version; /* borrowed from settings */
	struct bh_stream *stream;	   /* syslog; NULL: not connected */
	struct bh_http_client *http;
	size_t limit; /* events in one request: fewer after one that was refused for what is in it
		       */
};

/* What came of it. */
struct outcome {
	bool is_done;
	bool is_unwanted; /* refused for what is in it: fewer events, or others, may pass */
	size_t n;	  /* how many events it is about */
	uint64_t refused;
	uint32_t retry_s;
	char text[512];
};

static const char *setting(const struct bh_sink_sender *s, const char *key)
{
	return json_string_value(json_object_get(json_object_get(s->settings, "sink"), key));
}

static bool flag(const struct bh_sink_sender *s, const char *key)
{
	return json_is_true(json_object_get(json_object_get(s->settings, "sink"), key));
}

void bh_sink_sender_free(struct bh_sink_sender *s)
{
	if (!s)
		return;
	bh_stream_close(s->stream);
	bh_http_client_free(s->http);
	json_decref(s->settings);
	free(s);
}

void bh_sink_sender_freep(struct bh_sink_sender **s)
{
	bh_sink_sender_free(*s);
	*s = NULL;
}

static void try_again(struct outcome *o, uint32_t s, const struct bh_err *err)
{
	o->is_done = false;
	o->retry_s = s;
	snprintf(o->text, sizeof(o->text), "%s", err->text);
}

/* ---- syslog ---- */

static int connect_syslog(struct bh_sink_sender *s, struct bh_err *err)
{
	const struct bh_stream_options opt = {
		.address = setting(s, "address"),
		.is_tls = flag(s, "tls"),
		.ca_pem = setting(s, "ca"),
		.cert_pem = setting(s, "certificate"),
		.key_pem = setting(s, "key"),
		.server_name = setting(s, "serverName"),
		.timeout_ms = TIMEOUT_MS,
	};

	return s->stream ? 0 : bh_stream_open(&opt, &s->stream, err);
}

static void send_syslog(struct bh_sink_sender *s, const json_t *events, struct outcome *o)
{
	const json_t *sink = json_object_get(s->settings, "sink");
	int facility = (int)json_integer_value(json_object_get(sink, "facility"));
	BH_CLEANUP(bh_str_done) struct bh_str out = {0};
	struct bh_err err = {0};
	const json_t *event;
	size_t i;
	int r = connect_syslog(s, &err);

	json_array_foreach(events, i, event)
	{
		if (!r)
			r = bh_export_syslog(event, facility, &out, &err);
	}
	if (!r)
		r = bh_stream_send(s->stream, bh_str_text(&out), out.n, &err);
	o->is_done = !r;
	if (r) {
		bh_stream_closep(&s->stream);
		try_again(o, RETRY_S, &err);
	}
}

/* ---- HTTP ---- */

/* The receiver looked at the events and does not want them (RFC 9110 sections 15.5.1, 15.5.14 and
 * 15.5.21). Any other answer may change when somebody mends the receiver or the settings: a wrong
 * path, a redirect, a credential, 429, a gateway's or the receiver's own errors. Nothing is thrown
 * away for it. */
static bool is_final(long status)
{
	return status == 400 || status == 413 || status == 422;
}

static void judge_answer(const struct bh_http_reply *reply, bool is_otlp, int64_t now_s,
			 struct outcome *o)
{
	struct bh_err err = {0};

	if (reply->status >= 200 && reply->status < 300) {
		o->is_done = true;
		/* whatever is wrong with the answer, the records are there */
		if (is_otlp)
			bh_export_otlp_answer(reply->body, reply->len, &o->refused, o->text,
					      sizeof(o->text), &err);
		if (o->refused > o->n)
			o->refused = o->n;
		return;
	}
	bh_fail(&err, EIO, "the receiver answers %ld%s", reply->status,
		reply->status / 100 == 3 ? ", and redirects are not followed" : "");
	if (!is_final(reply->status)) {
		try_again(o, bh_export_retry_after(reply->retry_after, now_s, RETRY_S, MAX_RETRY_S),
			  &err);
		return;
	}
	o->is_done = o->is_unwanted = true;
	o->refused = o->n;
	snprintf(o->text, sizeof(o->text), "%s", err.text);
}

struct post {
	char *body;
	char *signature; /* a header line, or NULL */
};

static void post_done(struct post *p)
{
	free(p->body);
	free(p->signature);
}

static int make_post(struct bh_sink_sender *s, const json_t *events, int64_t now_s,
		     struct post *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *otlp = NULL;
	const json_t *secret = json_object_get(json_object_get(s->settings, "sink"), "secretFile");
	char value[BH_WEBHOOK_SIGNATURE];
	int r;

	if (!strcmp(s->type, "otlp")) {
		r = bh_export_otlp(events, s->node, s->version, &otlp, err);
		ret->body = r ? NULL : json_dumps(otlp, JSON_COMPACT);
		return r || ret->body ? r : bh_fail(err, ENOMEM, "OTLP request");
	}
	r = bh_export_webhook(events, s->node, &ret->body, err);
	if (r || !secret)
		return r;
	r = bh_export_sign(json_string_value(secret), json_string_length(secret), now_s, ret->body,
			   value, err);
	ret->signature = r ? NULL : bh_strf("X-Bulkhead-Signature: %s", value);
	return r || ret->signature ? r : bh_fail(err, ENOMEM, "signature");
}

static void post_events(struct bh_sink_sender *s, const json_t *events, int64_t now_s,
			struct outcome *o)
{
	const json_t *sink = json_object_get(s->settings, "sink"), *header;
	const char *headers[MAX_HEADERS + 4] = {"Content-Type: application/json", "Expect:"};
	BH_CLEANUP(bh_http_reply_done) struct bh_http_reply reply = {0};
	BH_CLEANUP(post_done) struct post post = {0};
	struct bh_http_request rq = {
		.url = setting(s, "url"),
		.headers = headers,
		.ca_pem = setting(s, "ca"),
		.deadline_ms = bh_http_now_ms() + TIMEOUT_MS,
		.max_body = MAX_ANSWER,
		.is_plain_allowed = flag(s, "insecure"),
		.may_cut = true,
	};
	struct bh_err err = {0};
	size_t n = 2, i;
	int r = make_post(s, events, now_s, &post, &err);

	json_array_foreach(json_object_get(sink, "headers"), i, header)
	{
		if (i < MAX_HEADERS)
			headers[n++] = json_string_value(header);
	}
	headers[n] = post.signature;
	rq.form = post.body;
	if (!r)
		r = bh_http_client_do(s->http, &rq, &reply, &err);
	if (r)
		try_again(o, RETRY_S, &err);
	else
		judge_answer(&reply, !strcmp(s->type, "otlp"), now_s, o);
}

/* The first n of events; they are borrowed by the array, which is the caller's. */
static json_t *first_of(const json_t *events, size_t n)
{
	json_t *some = json_array();

	for (size_t i = 0; some && i < n; i++)
		json_array_append(some, json_array_get(events, i));
	return some;
}

/* A request that is too large, or holds something that the receiver does not want, is halved until
 * it passes or is one event: that one is refused, and nothing else with it. */
static void send_http(struct bh_sink_sender *s, const json_t *events, int64_t now_s,
		      struct outcome *o)
{
	size_t n = json_array_size(events);

	do {
		BH_CLEANUP(bh_json_decrefp) json_t *some = NULL;

		*o = (struct outcome){.n = n < s->limit ? n : s->limit};
		some = first_of(events, o->n);
		post_events(s, some, now_s, o);
		if (o->is_unwanted)
			s->limit = o->n > 1 ? o->n / 2 : 1;
	} while (o->is_unwanted && o->n > 1);
	if (o->is_done && !o->is_unwanted && s->limit < MOST_EVENTS)
		s->limit *= 2;
}

/* ---- both ---- */

int bh_sink_sender_new(const json_t *first, struct bh_sink_sender **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_sink_sender_freep) struct bh_sink_sender *s = calloc(1, sizeof(*s));
	bool is_syslog;
	int r = 0;

	if (!s)
		return bh_fail(err, ENOMEM, "sink");
	s->settings = json_deep_copy(first);
	s->type = setting(s, "type");
	s->node = json_string_value(json_object_get(s->settings, "node"));
	s->version = json_string_value(json_object_get(s->settings, "version"));
	s->limit = MOST_EVENTS;
	is_syslog = s->type && !strcmp(s->type, "syslog");
	if (!s->type || !s->node || !s->version || !setting(s, is_syslog ? "address" : "url"))
		return bh_fail(err, EINVAL, "a sink without type, node or address");
	if (!is_syslog)
		r = bh_http_client_new(&s->http, err);
	if (r)
		return r;
	*ret = BH_TAKE(s);
	return 0;
}

json_t *bh_sink_sender_ask(struct bh_sink_sender *s, const json_t *question, int64_t now_s)
{
	const json_t *events = json_object_get(question, "events");
	struct outcome o = {.n = json_array_size(events)};

	if (!o.n)
		o.is_done = true;
	else if (s->http)
		send_http(s, events, now_s, &o);
	else
		send_syslog(s, events, &o);
	for (char *c = o.text; *c;
	     c++) { /* JSON takes valid UTF-8 only, and who knows what this is */
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	}
	if (!o.is_done)
		return json_pack("{s:i, s:s}", "retry", (int)o.retry_s, "error", o.text);
	return json_pack("{s:I, s:I, s:s}", "done", (json_int_t)o.n, "refused",
			 (json_int_t)o.refused, "text", o.text);
}
