/* Names that pods ask for, as OCSF 4003. */
#include <string.h>

#include "base/ip.h"
#include "base/str.h"
#include "event/ocsf_trace.h"

static json_t *server(const struct bh_trace_event *ev)
{
	static const uint8_t none[16];
	char text[BH_IP_TEXT];
	struct bh_ip ip;

	if (!memcmp(ev->server, none, sizeof(none)))
		return json_pack("{s:i}", "port", 53);
	memcpy(ip.b, ev->server, sizeof(ip.b));
	return json_pack("{s:s, s:i}", "ip", bh_ip_format(&ip, text), "port", 53);
}

static json_t *asker(const struct bh_ocsf_name *x)
{
	BH_CLEANUP(bh_freep)
	char *pod = bh_strf("%s/%s", x->pod.ns ? x->pod.ns : "", x->pod.name ? x->pod.name : "");

	return json_pack("{s:o*}", "name", bh_ocsf_text(pod));
}

json_t *bh_ocsf_name(struct bh_ocsf *o, const struct bh_ocsf_name *x)
{
	const struct bh_trace_event *ev = x->event;
	const struct bh_ocsf_head h = {BH_OCSF_DNS, ev->is_answer ? 2 : 1,
				       ev->is_answer ? "Response" : "Query", BH_SEV_INFO,
				       x->time_ms};
	BH_CLEANUP(bh_freep) char *message = bh_ocsf_say_name(ev);
	json_t *e = bh_ocsf_base(o, &h, NULL);
	json_t *ours = json_object();
	char type[16];

	bh_ocsf_put_pod(e, ours, &x->pod);
	bh_ocsf_put(e, "query",
		    json_pack("{s:o*, s:s, s:s}", "hostname", bh_ocsf_text(ev->name), "type",
			      bh_dns_type(ev->type, type), "class", "IN"));
	bh_ocsf_put(e, "src_endpoint", asker(x));
	bh_ocsf_put(e, "dst_endpoint", server(ev));
	if (ev->proto)
		bh_ocsf_put(e, "connection_info",
			    /* direction 2: outbound */
			    json_pack("{s:i, s:s, s:i, s:i}", "protocol_num", (int)ev->proto,
				      "protocol_name", ev->proto == 6 ? "tcp" : "udp",
				      "direction_id", 2, "boundary_id", 0));
	if (ev->is_answer) {
		/* 99: other */
		bh_ocsf_put(e, "rcode_id", json_integer(ev->rcode <= 10 ? ev->rcode : 99));
		bh_ocsf_put_text(e, "rcode", bh_dns_rcode(ev->rcode));
	}
	if (ev->pid) {
		bh_ocsf_put(e, "actor", json_pack("{s:o}", "process", bh_ocsf_process_of(ev, 0)));
		if (ev->parent_origin)
			bh_ocsf_put_text(ours, "processProvenance",
					 bh_trace_origin_name(ev->parent_origin));
	}
	bh_ocsf_put_status(e, !ev->is_answer || !ev->rcode);
	bh_ocsf_put_count(e, ev);
	return bh_ocsf_finish(e, ours, message);
}
