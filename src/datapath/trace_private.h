/* trace_private.h - the tracer's handle, for the files trace*.c of this folder. */
#pragma once

#include "bulkhead/look.h"
#include "datapath/private.h"
#include "datapath/trace.h"

#define BH_TRACE_MAPS(X)                                                                           \
	X(CGROUP, "trace_cgroup")                                                                  \
	X(CONFIG, "trace_config")                                                                  \
	X(SLOT, "trace_slot")                                                                      \
	X(POLICY, "trace_policy")                                                                  \
	X(ALLOW, "trace_allow")                                                                    \
	X(NAME, "trace_name")                                                                      \
	X(LEARN, "trace_learn")                                                                    \
	X(SEQ, "trace_seq")                                                                        \
	X(GRAM, "trace_gram")                                                                      \
	X(WINDOWS, "trace_windows")                                                                \
	X(FACT, "trace_fact")                                                                      \
	X(EVENTS, "trace_events")                                                                  \
	X(ALARMS, "trace_alarms")

enum bh_trace_map {
#define BH_TRACE_MAP_ENUM_(sym, name) BH_T_##sym,
	BH_TRACE_MAPS(BH_TRACE_MAP_ENUM_)
#undef BH_TRACE_MAP_ENUM_
		BH_T_COUNT
};

#define BH_TRACE_EXTRAS 5
#define BH_TRACE_LSMS	13

struct bpf_object;

#define BH_TRACE_OBJECT_MAPS 48

/* What stays of a BPF object: descriptors, owned. */
struct bh_trace_object {
	bool is_loaded; /* else all is zero */
	unsigned n_progs, n_maps;
	struct bh_trace_prog {
		char name[32];
		int fd; /* below zero: left out of the load */
	} prog[16];
	/* its own: those of the data path, and pinned ones that an object before it has, are not
	 * here */
	struct bh_trace_own_map {
		char name[24];
		bool is_pinned;
		struct bh_kmap k;
	} map[BH_TRACE_OBJECT_MAPS];
};

struct bh_trace {
	struct bh_datapath *dp;
	struct bh_trace_object obj, watch, extra, uring, dns, lsm, guard, cpu;
	int lsm_link[BH_TRACE_LSMS];	 /* -1: not attached */
	size_t n_lsm;			 /* attached ones */
	char lsm_why[240];		 /* why it is not loaded; "": nobody tried, or it is */
	struct bh_trace_rate *rate;	 /* mmap of trace_rate; NULL: not loaded */
	int cpu_link;			 /* -1: not attached */
	int extra_link[BH_TRACE_EXTRAS]; /* -1: not attached */
	/* -1: not attached */
	int watch_link, learn_link, uring_link;
	struct bh_kmap map[BH_T_COUNT]; /* of obj, borrowed */
	struct bh_trace_config *config; /* mmaps of the maps of these names */
	struct bh_trace_slot *slot;
	size_t slot_bytes;
	uint8_t wants[BH_TRACE_SLOTS]; /* BH_TRACE_WANT_* */
	unsigned n_wanting[3];	       /* slots with each of them */
	struct bh_kring *alarms, *events, *windows;
	int poll_fd;		   /* readable when alarms or events are */
	struct bh_look_table look; /* base 0: not known */
	int sent_fd;		   /* program that marks a fact announced */
	enum bh_trace_mode mode;
	struct bh_trace_reader {
		void (*fn)(const void *record, size_t len, void *arg);
		void *arg;
		int n, max;
		struct bh_trace_held *held; /* alarms, the oldest first */
		int n_held;		    /* in this turn */
	} reader, windower;
};

/* One BPF object of the tracer. */
struct bh_trace_source {
	const char *name;
	const void *(*bytes)(size_t *size);
	int (*prepare)(struct bpf_object *obj,
		       struct bh_err *err); /* before loading; may be NULL */
};

/* trace_object.c */
int bh_trace_load(const struct bh_trace *t, const struct bh_trace_source *src,
		  struct bh_trace_object *ret, struct bh_err *err);
void bh_trace_unload(struct bh_trace_object *o);
/* Descriptor of a program, borrowed; below zero when it is not there or not loaded. */
int bh_trace_prog(const struct bh_trace_object *o, const char *name);
/* A map of its own, borrowed; NULL when it is not there. */
const struct bh_kmap *bh_trace_map(const struct bh_trace_object *o, const char *name);

/* trace_watch.c: the programs on system calls; loaded when they are first wanted. */
int bh_trace_watch_begin(struct bh_trace *t, struct bh_err *err);
void bh_trace_watch_end(struct bh_trace *t);
int bh_trace_learn_begin(struct bh_trace *t, struct bh_err *err);
void bh_trace_learn_end(struct bh_trace *t);
void bh_trace_next_round(struct bh_trace *t, uint32_t slot);

/* Whether a slot wants calls that are of no class, what: one BH_TRACE_WANT_*. While no slot does,
 * the program on calls passes them over: so wanting comes before the kernel is told the rest, and
 * its end after. */
void bh_trace_want(struct bh_trace *t, uint32_t slot, unsigned what, bool is_wanted);
/* The same of the slot's policy; NULL: none. */
void bh_trace_want_policy(struct bh_trace *t, uint32_t slot, const struct bh_trace_policy *p);

/* trace_look.c: tells an object's programs where the kernel's table of names is. Where that cannot
 * be found out, links in paths are not followed, and events say so. */
void bh_trace_look_begin(struct bh_trace *t, const struct bh_trace_object *o);
/* false: the samples do not agree upon a table. */
bool bh_look_solve(const struct bh_look_at *at, size_t n, struct bh_look_table *ret);

/* trace_extra.c: what loads of the optional programs; with light mode. */
void bh_trace_extra_begin(struct bh_trace *t);
void bh_trace_extra_end(struct bh_trace *t);

/* trace_uring.c: requests of io_uring; with watch mode, where the kernel lets us. */
void bh_trace_uring_begin(struct bh_trace *t);
void bh_trace_uring_end(struct bh_trace *t);

/* trace.c: reads the iterator of this name to its end. */
int bh_trace_iterate(const struct bh_trace_object *o, const char *name, struct bh_err *err);

/* trace_rate.c: processor time; with light mode. */
int bh_trace_rates_begin(struct bh_trace *t, struct bh_err *err);
void bh_trace_rates_end(struct bh_trace *t);
void bh_trace_rates_close(struct bh_trace *t);

/* trace_lsm.c: attaches and detaches what the mode wants of it, if it loads. */
void bh_trace_lsm_set(struct bh_trace *t, enum bh_trace_mode mode);
void bh_trace_lsm_close(struct bh_trace *t);

/* trace_dns.c: what names pods ask for; with watch mode. */
int bh_trace_names_begin(struct bh_trace *t, struct bh_err *err);
void bh_trace_names_end(struct bh_trace *t);

/* trace_read.c */
/* Some announcement found no room and was not made up for. */
bool bh_trace_has_unsent(const struct bh_trace *t);
int bh_trace_ring_open(struct bh_trace *t, struct bh_err *err);
void bh_trace_ring_close(struct bh_trace *t);

/* trace_seq.c */
int bh_trace_windows_open(struct bh_trace *t, struct bh_err *err);
