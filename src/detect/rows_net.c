/* rows_net.c - what a pod does on the network, and to the node's resources. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/rows.h"

/* Numbers of the kernel's ABI: the headers that name them also bring sockets, which this layer has
 * no business with. */
#define FAMILY_INET   2
#define FAMILY_INET6  10
#define FAMILY_PACKET 17
#define FAMILY_VSOCK  40
#define FAMILY_XDP    44
#define TYPE_RAW      3
#define TYPE_PACKET   10
#define PROTO_ICMP    1
#define PROTO_ICMP6   58

bool bh_row_raw_socket(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	int family = j->a->u.socket.family, protocol = j->a->u.socket.protocol;
	bool is_packet = family == FAMILY_PACKET || family == FAMILY_XDP ||
			 (family == FAMILY_INET && j->a->u.socket.type == TYPE_PACKET);
	bool is_echo = protocol == PROTO_ICMP || protocol == PROTO_ICMP6;

	/* past the pod's network altogether: to the machine that hosts the node, or to its guests
	 */
	if (family == FAMILY_VSOCK) {
		bh_judge_weigh(j);
		bh_judge_key(j, "vsock %s", p->path);
		bh_judge_say(j, "%s opened a socket that no network policy sees", p->path);
		return true;
	}
	if (!is_packet &&
	    !((family == FAMILY_INET || family == FAMILY_INET6) && j->a->u.socket.type == TYPE_RAW))
		return false;
	/* ping needs one */
	if (!is_packet && is_echo && p->provenance == BH_PROV_IMAGE && !bh_judge_is_tainted(j) &&
	    !(j->proc && (j->proc->line & BH_LINE_INLINE)))
		return false;
	/* by which the older of the two tools for filters talk to the kernel */
	if (!is_packet && !strcmp(bh_path_base(p->path), "xtables-legacy-multi"))
		return false;
	if (!is_packet)
		j->severity = BH_SEVERITY_LOW;
	bh_judge_weigh(j);
	bh_judge_key(j, "%s %s", is_packet ? "packet" : "raw", p->path);
	bh_judge_say(j, "%s opened a socket that %s", *p->path ? p->path : "a process",
		     is_packet ? "sees every packet of the pod" : "makes packets of its own");
	return true;
}

/* ---- scans ---- */

#define SCAN_WINDOW_S 60u
#define SCAN_FAST_S   5u
#define SCAN_PORTS    12u /* different refused ports */
#define SCAN_HOSTS    24u /* different refused hosts: where everything is denied, agents ask a few */
#define SCAN_REACHED  48u /* different destinations, refused or not */
#define SCAN_HIGH     64u

/* Whatever a pod's own kernel sends without being asked: neighbours, groups, DHCP. */
static bool is_chatter(const struct bh_act_edge *e)
{
	static const struct bh_ip unspecified;
	const uint8_t *b = e->remote.b;
	bool is4 = bh_ip_is4(&e->remote);

	return !bh_ip_cmp(&e->remote, &unspecified) || (is4 ? b[12] >= 224 : b[0] == 0xff) ||
	       (is4 && !b[12] && !b[13] && !b[14] && !b[15]) || e->proto == PROTO_ICMP6;
}

static uint32_t hash_of(const struct bh_act_edge *e, bool with_host, bool with_port)
{
	uint8_t bytes[19] = {0};

	if (with_host)
		memcpy(bytes, e->remote.b, 16);
	if (with_port) {
		bytes[16] = (uint8_t)(e->port >> 8);
		bytes[17] = (uint8_t)e->port;
		bytes[18] = e->proto;
	}
	return (uint32_t)bh_hash(bytes, sizeof(bytes), 4);
}

static size_t count_distinct(struct bh_distinct **window, uint32_t value, uint64_t ts_ns,
			     uint32_t window_s)
{
	if (!*window)
		*window = calloc(1, sizeof(**window));
	return *window ? bh_distinct_add(*window, value, (uint32_t)(ts_ns / BH_S) + 1, window_s)
		       : 0;
}

/* A scan goes through ports or hosts; who asks a few places again and again is only refused. */
static bool raise_denied(struct bh_judge *j)
{
	const struct bh_act_edge *e = &j->a->u.edge;
	struct bh_pod_state *pod = j->pod;
	uint64_t ts_ns = j->a->ts_ns;
	size_t ports =
		count_distinct(&pod->denied_ports, hash_of(e, false, true), ts_ns, SCAN_WINDOW_S);
	size_t hosts =
		count_distinct(&pod->denied_hosts, hash_of(e, true, false), ts_ns, SCAN_WINDOW_S);
	size_t fast =
		count_distinct(&pod->denied_hosts, hash_of(e, true, false), ts_ns, SCAN_FAST_S);

	if (ports < SCAN_PORTS && hosts < SCAN_HOSTS)
		return false;
	pod->scan_ns = ts_ns;
	if (ports >= SCAN_HIGH || fast >= SCAN_HIGH)
		j->severity = BH_SEVERITY_HIGH;
	bh_judge_key(j, "denied");
	bh_judge_say(j, "refused at %zu hosts and %zu ports within %u s", hosts, ports,
		     SCAN_WINDOW_S);
	return true;
}

bool bh_row_scan(struct bh_judge *j)
{
	const struct bh_act_edge *e = &j->a->u.edge;
	size_t reached;

	if (!e->is_egress || is_chatter(e))
		return false;
	reached = count_distinct(&j->pod->reached, hash_of(e, true, true), j->a->ts_ns,
				 SCAN_WINDOW_S);
	if (e->is_denied && raise_denied(j))
		return true;
	/* one that talks to many allowed peers in its first minute fills its pools */
	if (reached < SCAN_REACHED || j->is_starting)
		return false;
	j->severity = BH_SEVERITY_LOW;
	bh_judge_key(j, "reached");
	bh_judge_say(j, "%zu different destinations within %u s", reached, SCAN_WINDOW_S);
	return true;
}

/* ---- names that carry data ---- */

#define DNS_WINDOW_S 300u
#define DNS_NAMES    24u
#define DNS_BYTES    1024u
#define DNS_MEAN     20u  /* mean length below the domain */
#define DNS_ENTROPY  330u /* hundredths of a bit per character */

/* Where the registered domain begins: two labels, three below a short second level (co.uk). */
static const char *domain_of(const char *name)
{
	const char *dots[3] = {NULL, NULL, NULL}, *at;

	for (at = name; *at; at++) {
		if (*at == '.') {
			dots[0] = dots[1];
			dots[1] = dots[2];
			dots[2] = at;
		}
	}
	if (!dots[1])
		return name;
	if (dots[2] - dots[1] <= 4)
		return dots[0] ? dots[0] + 1 : name;
	return dots[1] + 1;
}

static uint32_t entropy(const char *s, size_t n)
{
	unsigned count[256] = {0};
	double sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		count[(uint8_t)s[i]]++;
	for (i = 0; i < 256; i++) {
		if (count[i])
			sum -= count[i] * log2((double)count[i] / (double)n);
	}
	return n ? (uint32_t)(sum * 100 / (double)n) : 0;
}

static struct bh_dns_window *dns_get(struct bh_pod_state *pod, uint32_t domain, uint32_t now_s)
{
	struct bh_dns_window *oldest, *w;

	if (!pod->dns)
		pod->dns = calloc(BH_DNS_WINDOWS, sizeof(*pod->dns));
	if (!pod->dns)
		return NULL;
	oldest = pod->dns;
	for (w = pod->dns; w < pod->dns + BH_DNS_WINDOWS; w++) {
		if (w->domain == domain && w->n && now_s - w->since_s < DNS_WINDOW_S)
			return w;
		/* names that carry little make room for names that carry much */
		if (w->bytes < oldest->bytes || (w->n && now_s - w->since_s >= DNS_WINDOW_S))
			oldest = w;
	}
	*oldest = (struct bh_dns_window){.domain = domain, .since_s = now_s};
	return oldest;
}

/* Names that machines make within the cluster, and reverse ones. */
static bool is_local(const char *name)
{
	static const char *const zones[] = {"*.cluster.local", "*.arpa", "*.local",
					    "*.internal",      "*.svc",	 NULL};

	return bh_path_fits(name, zones);
}

bool bh_row_dns_tunnel(struct bh_judge *j)
{
	const char *name = j->a->u.dns.name, *domain = domain_of(name);
	uint32_t now_s = (uint32_t)(j->a->ts_ns / BH_S), bit;
	size_t n = (size_t)(domain - name);
	struct bh_dns_window *w;

	if (n < 2 || is_local(name))
		return false;
	w = dns_get(j->pod, (uint32_t)bh_hash(domain, strlen(domain), 5), now_s);
	if (!w)
		return false;
	bit = (uint32_t)bh_hash(name, strlen(name), 6) % 128;
	if (w->seen[bit / 64] & (1ull << (bit % 64)))
		return false;
	w->seen[bit / 64] |= 1ull << (bit % 64);
	w->n++;
	w->bytes += (uint32_t)n;
	w->entropy_sum += entropy(name, n - 1);
	if (w->n < DNS_NAMES || w->bytes < DNS_BYTES || w->bytes / w->n < DNS_MEAN ||
	    w->entropy_sum / w->n < DNS_ENTROPY)
		return false;
	bh_judge_key(j, "%s", domain);
	bh_judge_say(j, "%u different names below %s carried %u bytes that look like data", w->n,
		     domain, w->bytes);
	return true;
}

/* ---- processor time ---- */

#define CPU_LEARN  30u /* intervals before anything can be far above normal */
#define CPU_FACTOR 4.0
#define CPU_LEAST  0.5 /* of one processor */

bool bh_row_cpu(struct bh_judge *j)
{
	uint64_t interval = j->a->u.rate.interval_ns;
	struct bh_pod_state *pod = j->pod;
	double share;

	if (!interval)
		return false;
	share = (double)j->a->u.rate.cpu_ns / (double)interval;
	if (pod->cpu_n < CPU_LEARN || share < CPU_LEAST || share < CPU_FACTOR * pod->cpu_normal) {
		/* slowly, so that a miner that creeps up needs days to become normal */
		double k = pod->cpu_n < CPU_LEARN ? 1.0 / (pod->cpu_n + 1) : 0.002;

		pod->cpu_normal += k * (share - pod->cpu_normal);
		pod->cpu_n += pod->cpu_n < CPU_LEARN;
		/* a pause takes back twice its length: who rests now and then is found all the same
		 */
		pod->cpu_high_ns -=
			pod->cpu_high_ns < 2 * interval ? pod->cpu_high_ns : 2 * interval;
		return false;
	}
	pod->cpu_high_ns += interval;
	if (pod->cpu_high_ns < j->d->opt.busy_ns)
		return false;
	bh_judge_key(j, "cpu");
	bh_judge_say(j, "%.1f processors for %llu seconds, %.2f is usual", share,
		     (unsigned long long)(pod->cpu_high_ns / BH_S), pod->cpu_normal);
	return true;
}

/* ---- how the container is made ---- */

bool bh_row_privileged(struct bh_judge *j)
{
	if (!j->a->u.start.is_privileged)
		return false;
	bh_judge_key(j, "privileged");
	bh_judge_say(j, "the container is privileged");
	return true;
}

bool bh_row_root_user(struct bh_judge *j)
{
	bool is_root = !j->a->u.start.uid, is_writable = j->a->u.start.is_rootfs_writable;

	if (!is_root && !is_writable)
		return false;
	bh_judge_key(j, "posture");
	bh_judge_say(j, "the container %s%s%s", is_root ? "runs as root" : "",
		     is_root && is_writable ? " and " : "",
		     is_writable ? "can write its root file system" : "");
	return true;
}

bool bh_row_overflow(struct bh_judge *j)
{
	/* whoever unpacks an application fills it; so does who wants to hide, but later */
	if (j->is_starting)
		j->severity = BH_SEVERITY_INFO;
	bh_judge_key(j, "%s", j->a->u.name);
	bh_judge_say(j, "the pod used up its quota of %s; what came after it is only counted",
		     j->a->u.name);
	return true;
}
