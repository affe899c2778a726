#include "event/event.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static int check(const struct bh_event_edge *r, struct bh_err *err)
{
	if (r->type != BH_EVENT_EDGE)
		return bh_fail(err, EBADMSG, "ring record of unknown type %u", r->type);
	if (r->key.dir > BH_INGRESS || r->key.verdict > BH_ALLOWED || r->key.reason >= BH_R_COUNT ||
	    r->key.slot >= BH_MAX_SLOTS || r->path_len > BH_PATH_MAX)
		return bh_fail(err, EBADMSG,
			       "ring record: direction %u, verdict %u, reason %u, slot %u, path %u",
			       r->key.dir, r->key.verdict, r->key.reason, r->key.slot, r->path_len);
	return 0;
}

int bh_event_decode(const void *record, size_t len, struct bh_edge_event *ret, struct bh_err *err)
{
	struct bh_event_edge r;
	int res;

	if (len < offsetof(struct bh_event_edge, ts_ns))
		return bh_fail(err, EBADMSG, "ring record of %zu bytes", len);
	memcpy(&r, record, offsetof(struct bh_event_edge, ts_ns));
	if (r.version != BH_EVENT_VERSION)
		return bh_fail(err, EBADMSG, "ring record of version %u, %u is known", r.version,
			       BH_EVENT_VERSION);
	if (r.len != sizeof(r) || len < sizeof(r))
		return bh_fail(err, EBADMSG, "ring record of %u bytes, %zu arrived", r.len, len);
	memcpy(&r, record, sizeof(r));
	res = check(&r, err);
	if (res)
		return res;
	*ret = (struct bh_edge_event){
		.ts_ns = r.ts_ns,
		.slot = r.key.slot,
		.generation = r.generation,
		.dir = (enum bh_dir)r.key.dir,
		.verdict = (enum bh_verdict)r.key.verdict,
		.reason = (enum bh_reason)r.key.reason,
		.proto = r.key.proto,
		.port = be16toh(r.key.port),
		.pid = r.pid,
		.uid = r.uid,
	};
	memcpy(ret->remote.b, r.key.remote, sizeof(ret->remote.b));
	memcpy(ret->comm, r.comm, BH_COMM_LEN); /* not always terminated */
	memcpy(ret->path, r.path, r.path_len);
	return 0;
}
