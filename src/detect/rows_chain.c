/* rows_chain.c - deeds that mean more together than each alone. */
#include "detect/rows.h"

#define CHAIN_NS (600 * BH_S)
#define LAG_NS	 BH_S

static bool is_images(enum bh_provenance p)
{
	return p == BH_PROV_IMAGE || p == BH_PROV_METACOPY;
}

/* The rows about code that is not the image's speak of the file, too. */
static bool is_said(const struct bh_judge *j)
{
	enum bh_provenance p =
		j->a->kind == BH_ACT_EXEC ? j->a->process.provenance : j->a->u.file.provenance;

	return p != BH_PROV_VOLUME && p != BH_PROV_OTHER;
}

static bool raise_written(struct bh_judge *j, const char *path)
{
	uint64_t made_ns = bh_made_last(j->pod, j->a, path);

	bh_path_collapse(path, 3, j->key, sizeof(j->key));
	if (bh_code_is_unpacked(j) && (!made_ns || bh_pod_is_starting(j->d, j->pod, made_ns))) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_key(j, "unpacked");
	} else if (bh_code_is_own(j)) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_key(j, "own %s", j->a->process.path);
	}
	bh_judge_say(j, "%s was run, which the container itself had written", path);
	return true;
}

/* Volumes have bytes of their own; of what it wrote there itself the kernel knows. */
static bool raise_own(struct bh_judge *j)
{
	const struct bh_activity *a = j->a;

	if (a->kind == BH_ACT_MAP_EXEC)
		return a->u.map.is_own && !a->u.map.is_shared && raise_written(j, a->u.map.path);
	return a->kind == BH_ACT_EXEC && (a->process.flags & BH_PROC_WROTE) &&
	       raise_written(j, is_images(a->process.provenance) ? a->process.script
								 : a->process.path);
}

/* written > made executable > executed, by whatever programs. The provenance may be unknown to the
 * kernel that reports: the chain itself shows that the file is not the image's. */
bool bh_row_drop_chain(struct bh_judge *j)
{
	const uint32_t all = BH_MADE_WRITTEN | BH_MADE_EXECUTABLE | BH_MADE_EXECUTED;
	const struct bh_act_file *f = &j->a->u.file;
	bool is_exec = j->a->kind == BH_ACT_EXEC;
	const char *path;

	if (raise_own(j))
		return true;
	if (j->a->kind == BH_ACT_MAP_EXEC || (is_exec && is_images(j->a->process.provenance)))
		return false;
	path = is_exec ? j->a->process.path : *f->target ? f->target : f->path;
	if (bh_made_stage(j->pod, j->a, CHAIN_NS) != all)
		return false;
	bh_path_collapse(path, 3, j->key, sizeof(j->key));
	/* by another container of the pod, which its author put there for it, or unseen */
	if (is_exec && !is_said(j)) {
		j->severity = BH_SEVERITY_LOW;
		bh_judge_key(j, "shared");
	}
	/* that code runs which the image did not bring is said already, once for all of it */
	else if (j->is_starting ||
		 (is_exec && bh_pod_is_starting(j->d, j->pod, bh_made_last(j->pod, j->a, path)))) {
		j->severity = BH_SEVERITY_INFO;
		bh_judge_key(j, "unpacked");
	}
	bh_judge_say(j, "%s was written, made executable and executed within minutes", path);
	return true;
}

/* A process that had connected executes another program, which connects in turn: a dropper. Only
 * for code that is not the image's or general tools; services do this all day. */
bool bh_row_dropper(struct bh_judge *j)
{
	const struct bh_proc *p = j->proc;

	if (!j->a->u.edge.is_second || !p)
		return false;
	if (!(p->line & (BH_LINE_FOREIGN | BH_LINE_IN_SHELL | BH_LINE_SERVER_CHILD)))
		return false;
	if (p->line & (BH_LINE_FOREIGN | BH_LINE_IN_SHELL))
		j->severity = BH_SEVERITY_HIGH;
	bh_judge_key(j, "%s", j->a->process.path);
	bh_judge_say(j, "a process connected, executed %s, and that connected again",
		     j->a->process.path);
	return true;
}

/* The first new thing that is reached after a scan is what the scan was for. */
bool bh_row_scan_edge(struct bh_judge *j)
{
	const struct bh_act_edge *e = &j->a->u.edge;
	char ip[BH_IP_TEXT];

	/* packets carry the kernel's tick, which lags behind the clock of the refusals: by little,
	 * but on a virtual machine by as long as the host withholds the processor that counts the
	 * ticks */
	if (!e->is_egress || e->is_denied || !j->pod->scan_ns ||
	    j->a->ts_ns + LAG_NS < j->pod->scan_ns || j->a->ts_ns > j->pod->scan_ns + CHAIN_NS)
		return false;
	bh_judge_key(j, "%s %u", bh_ip_format(&e->remote, ip), e->port);
	bh_judge_say(j, "after a scan the pod reached %s port %u", ip, e->port);
	return true;
}
