/* export.h - events of the log (event/ocsf.h, with their chain) in the forms that receivers of
 * other makers take. Pure: bytes in, bytes out; who sends them is the worker.
 *
 * Whatever the form, the event itself goes along unchanged as JSON, so that a receiver can follow
 * the chain; the fields beside it are for receivers that do not look into JSON. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* One event as a syslog message, with its length in front: RFC 5424 in the framing of RFC 6587
 * section 3.4.1 (octet counting), which RFC 5425 has over TLS. Structured data: id
 * "bulkhead@32473" with class, severity, pod, peer, verdict, reason, namespace, container,
 * containerId, image, imageVerdict, workload, process, pid, exec, sha256, provenance, rule, place,
 * detector, disposition, correlation, seq where they are known; the number is the one that RFC 5612
 * sets aside, for want of our own. MSG is the event as JSON, with
 * the byte order mark that says UTF-8. Facility 13 is "log audit". -ENOMEM. */
#define BH_SYSLOG_FACILITY 13
int bh_export_syslog(const json_t *event, int facility, struct bh_str *out, struct bh_err *err);

/* Events as an ExportLogsServiceRequest of the OpenTelemetry protocol 1.x in its JSON form: a log
 * record each, severity numbers of the log data model, the event as a string body. Attributes are
 * syslog's fields as "bulkhead.NAME", or as the semantic conventions have them: k8s.namespace.name,
 * k8s.container.name, container.id, container.image.name, process.executable.path, process.pid.
 * node: of the resource. The caller owns *ret. */
int bh_export_otlp(const json_t *events, const char *node, const char *version, json_t **ret,
		   struct bh_err *err);
/* What a receiver answered to it with status 200: how many records it refused for good (0 when that
 * is not a number), and its sentence ("" when it gave none; cut to size). An empty body or object is
 * full success; one of more than BH_OTLP_MAX_ANSWER bytes is not read. */
#define BH_OTLP_MAX_ANSWER (4u << 20)
int bh_export_otlp_answer(const char *body, size_t len, uint64_t *ret_rejected, char *ret_text,
			  size_t size, struct bh_err *err);

/* Events as the body of a webhook: {"node", "firstSeq", "lastSeq", "events": [...]}, and over it
 * the value of its header X-Bulkhead-Signature: "t=SECONDS,sha256=HEX", where HEX is HMAC-SHA-256
 * (RFC 2104) with the secret over "SECONDS.BODY". The caller owns *ret_body. */
int bh_export_webhook(const json_t *events, const char *node, char **ret_body, struct bh_err *err);
#define BH_WEBHOOK_SIGNATURE 96
int bh_export_sign(const char *secret, size_t secret_len, int64_t now_s, const char *body,
		   char ret[BH_WEBHOOK_SIGNATURE], struct bh_err *err);

/* The number of an event in the log's chain; 0: it has none. */
uint64_t bh_export_seq(const json_t *event);

/* A Retry-After header (RFC 9110 section 10.2.3) in seconds from now_s, at most max_s. What cannot
 * be read counts as otherwise_s. */
uint32_t bh_export_retry_after(const char *value, int64_t now_s, uint32_t otherwise_s,
			       uint32_t max_s);
