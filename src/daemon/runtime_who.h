/* runtime_who.h - more of a process of which only its number and executable's path are known: who
 * opened a connection, or asked for a name. What lives is looked up in the kernel. Of what has
 * ended since, where its executable comes from is remembered from the pod's executions; which one
 * of them it was is not known then, and not told. */
#pragma once

#include "event/ocsf.h"

struct bh_endpoint;
struct bh_event_edge;
struct bh_runtime;
struct bh_trace_event;
struct bh_whose;
struct bh_who_memory;

int bh_who_memory_open(struct bh_who_memory **ret, struct bh_err *err);
void bh_who_memory_close(struct bh_who_memory *m);
/* Something was executed. */
void bh_who_memory_note(struct bh_who_memory *m, const struct bh_trace_event *ev);

/* The executable of who opened an edge: the record's own, else that of the process while it lives;
 * the caller's, NULL when it is not known. */
char *bh_runtime_who_path(struct bh_runtime *rt, const struct bh_event_edge *ev);
/* Fills in o->who, and the container in o->pod with texts in whose, for the process of o->event.
 * Use them before the next call. rt may be NULL. */
void bh_runtime_who_edge(struct bh_runtime *rt, const struct bh_endpoint *ep,
			 struct bh_ocsf_edge *o, struct bh_whose *whose);
/* The container of that execution in pod, with texts in whose: use them before the next call. */
void bh_runtime_who_container(struct bh_runtime *rt, const struct bh_endpoint *ep, uint64_t exec_id,
			      struct bh_whose *whose, struct bh_ocsf_pod *pod);
/* As for edges, into the event itself, which is about a name. */
void bh_runtime_who_name(struct bh_runtime *rt, struct bh_trace_event *ev);
