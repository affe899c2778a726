/* runtime.h - tracing in the daemon: mode, rings > events > journal and detectors. Tracing that
 * does not work is a degraded guarantee, never a reason not to enforce. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "bulkhead/trace.h"
#include "daemon/config.h"
#include "daemon/verbs.h"

struct bh_edge_fact;
struct bh_map_fill;
struct bh_endpoint;
struct bh_baselines;
struct bh_digests;
struct bh_prog_cost;
struct bh_runtime;

/* Opens the tracer in the configured mode. What fails is told by bh_runtime_trouble. */
int bh_runtime_open(struct bh_daemon *d, struct bh_runtime **ret, struct bh_err *err);
void bh_runtime_close(struct bh_runtime *rt);

/* Why tracing is not what the settings or the last command ask for; NULL: it is. */
const char *bh_runtime_trouble(const struct bh_runtime *rt);
/* Why a RuntimePolicy does nothing: the same, or that nothing is asked for; NULL: it is enforced. */
const char *bh_runtime_why_not(const struct bh_runtime *rt);
/* Changes the mode while everything runs; lasts until the daemon ends. */
int bh_runtime_set_mode(struct bh_runtime *rt, enum bh_runtime_mode mode, struct bh_err *err);

/* Policies, pods or what is enforced changed: gives the kernel what it refuses by itself. Cheap
 * when nothing of it concerns us. rt may be NULL. */
void bh_runtime_changed(struct bh_runtime *rt);
/* The same for one that was told before: for the baselines only. */
void bh_runtime_edge_again(struct bh_runtime *rt, const struct bh_endpoint *ep,
			   const struct bh_edge_fact *e, const char *peer);
/* The baselines; borrowed. */
struct bh_baselines *bh_runtime_baselines(const struct bh_runtime *rt);
/* Once in a few seconds: announces what a full ring left in the sets, forgets former tenants. */
void bh_runtime_tick(struct bh_runtime *rt);
/* Call before an endpoint is attached. rt may be NULL. */
void bh_runtime_endpoint_comes(struct bh_runtime *rt, const struct bh_endpoint *ep);
/* Call before an endpoint goes: what it did is told under its name. */
void bh_runtime_endpoint_gone(struct bh_runtime *rt, const struct bh_endpoint *ep);

/* Findings told since the start, by OCSF's numbers of severity, 0 to 4. */
void bh_runtime_findings(const struct bh_runtime *rt, uint64_t ret[5]);
/* The books of all slots together; all zero without tracing. */
struct bh_trace_slot bh_runtime_total(const struct bh_runtime *rt);
/* A new edge of the endpoint; peer: "NS/NAME" of a pod, "node", or an address. rt may be NULL. */
void bh_runtime_edge(struct bh_runtime *rt, const struct bh_endpoint *ep,
		     const struct bh_edge_fact *e, const char *peer);

/* Digests of executables; borrowed, NULL without tracing. */
const struct bh_digests *bh_runtime_digests(const struct bh_runtime *rt);

/* {"NS/NAME": {"cpuNanoseconds", "execs", "connections", "dns"}} since each pod began; empty
 * without tracing. rt may be NULL. */
json_t *bh_runtime_used(struct bh_runtime *rt);

/* As bh_datapath_progs, of the tracing programs; borrowed names. rt may be NULL. */
size_t bh_runtime_progs(const struct bh_runtime *rt, struct bh_prog_cost *v, size_t n);

/* As bh_datapath_maps, of the tracing maps; borrowed names. rt may be NULL. */
size_t bh_runtime_maps(struct bh_runtime *rt, struct bh_map_fill *v, size_t n);

/* How many of the optional programs at the kernel's security hooks are attached, and why they are
 * not; NULL: they are, or nobody wanted them. rt may be NULL. */
const char *bh_runtime_hooks(const struct bh_runtime *rt, size_t *ret_n);

/* The verb runtime: {"mode": NAME | null} > {"mode", "wanted", "books", "records", "hashes",
 * "pods"}. */
bh_verb_fn bh_verb_runtime;
