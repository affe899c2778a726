/* state.h - what detectors remember, and the one struct that a row of the table gets. Inside
 * detect/ only. Everything here has a fixed size per pod; pods and workloads are counted against
 * limits. */
#pragma once

#include "base/map.h"
#include "detect/detect.h"

#define BH_S 1000000000ull

/* ---- processes: lineage flags by exec id, 4-way cache ---- */

enum {
	BH_LINE_INTERACTIVE = 1u << 0,	/* below a shell that came from outside of the pod */
	BH_LINE_SERVER_CHILD = 1u << 1, /* below a program that was started by a listening one */
	BH_LINE_FOREIGN = 1u << 2,	/* below, or itself, code that is not the image's */
	BH_LINE_LISTENS = 1u << 3,	/* has a listening socket; not inherited by other images */
	BH_LINE_IN_SHELL = 1u << 4,	/* below a shell whose input is the network */
	BH_LINE_PACKAGES = 1u << 6,	/* below a package manager at work, or itself */
	BH_LINE_PRELOADED = 1u << 5,	/* a library is forced into it by its environment */
	BH_LINE_INLINE = 1u << 8,	/* an interpreter whose text is an argument */
	BH_LINE_ENTERED = 1u << 7,	/* below what came into a running container from outside */
	BH_LINE_NO_HISTORY = 1u << 11,	/* its environment tells shells to keep none */
	BH_LINE_RELAYED = 1u << 10,	/* started by what was connected, or by a shell that was */
	BH_LINE_HELPER = 1u << 12,	/* a server's own helper: nothing else between the two */
	BH_LINE_UNPACKED = 1u << 9, /* below, or itself, what the container brought as it began */
	BH_LINE_FED = 1u << 13,	    /* as entered, with somebody at the other end of its input */
};
#define BH_LINE_TAINT                                                                              \
	(BH_LINE_INTERACTIVE | BH_LINE_SERVER_CHILD | BH_LINE_FOREIGN | BH_LINE_IN_SHELL)
#define BH_LINE_INHERITED                                                                          \
	(BH_LINE_TAINT | BH_LINE_PACKAGES | BH_LINE_ENTERED | BH_LINE_UNPACKED | BH_LINE_FED)

struct bh_proc {
	uint64_t exec_id, parent_exec_id, pod_id;
	uint64_t starter;   /* as parent_exec_id, past what only wraps programs */
	uint32_t line;	    /* BH_LINE_* */
	uint32_t inherited; /* the part of line that was there before it was executed */
	uint32_t used;	    /* for replacement */
	uint64_t file;	    /* as bh_made.file; 0: not known */
	bool is_news;	    /* the workload never executed it while it was learnt */
	bool was_odd;	    /* its calls came in an order that the workload does not have */
	bool was_unkept;    /* as was_preloaded, for no history */
	bool was_preloaded; /* so was the one that executed it, or that one is not known */
	bool is_wrapper;    /* timeout, env: it starts what others asked for */
	bool is_probe;	    /* `nc -z`: it only asks whether a port is open */
	char name[16];	    /* it was called by, where that is not its file's; cut */
};

#define BH_PROC_WAYS 4
#define BH_PROC_SETS 1024

/* ---- windows ---- */

/* Distinct 32-bit values seen in the last so many seconds; full: the oldest goes. */
#define BH_DISTINCT_MAX 128
struct bh_distinct {
	uint32_t value[BH_DISTINCT_MAX], at_s[BH_DISTINCT_MAX];
};
/* Notes a value; returns how many different ones there are in the window that ends at now_s (> 0).
 */
size_t bh_distinct_add(struct bh_distinct *d, uint32_t value, uint32_t now_s, uint32_t window_s);

/* Questions below one domain. */
struct bh_dns_window {
	uint32_t domain, since_s;
	uint32_t n, bytes;
	uint32_t entropy_sum; /* hundredths of a bit */
	uint64_t seen[2];     /* 128-bit sketch of distinct names */
};
#define BH_DNS_WINDOWS 8

/* Files a pod made or changed lately. */
enum {
	BH_MADE_WRITTEN = 1u << 0,
	BH_MADE_EXECUTABLE = 1u << 1,
	BH_MADE_EXECUTED = 1u << 2,
};
struct bh_made {
	uint64_t file; /* hash of inode and device, else of the path; 0: free */
	uint64_t at_ns;
	uint64_t made_ns; /* as at_ns, without executions; 0: not seen */
	uint64_t by;	  /* exec id of who wrote it last; 0: not seen */
	uint32_t stage;
};
/* One end of a pipeline, and who started it. */
struct bh_piped {
	uint64_t parent_exec_id, ts_ns;
	bool is_page; /* it fetches one */
};

#define BH_MADE_MAX	32
#define BH_UNPACKED_MAX 16

struct bh_pod_state {
	uint64_t pod_id, workload;
	struct bh_runtime_set policies; /* owned, each with a reference */
	struct bh_baseline *baseline;
	uint64_t start_ns; /* of the pod, then of its newest container; 0: not known */
	bool is_suspect, has_io_uring;
	bool has_container; /* one began, or runs */
	bool is_built;	    /* packages were installed while it started */
	bool is_compiled;   /* a compiler ran while it started */
	uint64_t news_ns;   /* of the last program that it never executed; 0: none */
	double score;	    /* of anomaly, as it was at score_ns */
	uint64_t score_ns;
	double sequences;     /* how many it holds; they count less and less */
	uint64_t scan_ns;     /* of the last scan found; 0: none */
	double cpu_normal;    /* running mean of the CPU share */
	uint32_t cpu_n;	      /* intervals in it */
	uint64_t cpu_high_ns; /* how long it has been far above, less twice its pauses */
	uint64_t unpacked[BH_UNPACKED_MAX]; /* directories filled while starting; 0: free */
	struct bh_piped shell, feeder;	    /* the last of each */
	uint64_t bare_ns;  /* of the last shell at whose other end is another process; 0: none */
	uint64_t relay_ns; /* of the last connection of what may be that; 0: none */
	struct bh_made made[BH_MADE_MAX];
	unsigned next_made;
	struct bh_distinct *denied_hosts, *denied_ports, *reached; /* lazily */
	struct bh_dns_window *dns;				   /* lazily, BH_DNS_WINDOWS */
};

/* ---- findings ---- */

struct bh_found_state {
	const struct bh_detector *detector;
	enum bh_severity severity;
	uint64_t first_ns, last_ns, count;
};
struct bh_workload_state {
	struct bh_map findings; /* "detector key" > struct bh_found_state */
	uint64_t last_ns;	/* of the newest of them */
};

struct bh_detect {
	struct bh_detect_options opt;
	struct bh_map pods;	    /* pod id > struct bh_pod_state */
	struct bh_map workloads;    /* workload > struct bh_workload_state */
	struct bh_proc *procs;	    /* BH_PROC_SETS x BH_PROC_WAYS */
	uint32_t clock;		    /* of procs */
	struct bh_pod_state shared; /* for pods beyond the limit */
	struct bh_detect_stats stats;
	uint8_t rows[BH_ACT_COUNT][96]; /* which rows look at a kind */
	uint8_t n_rows[BH_ACT_COUNT];
};

/* What a row gets, and where it writes what it found. */
struct bh_judge {
	struct bh_detect *d;
	const struct bh_activity *a;
	struct bh_pod_state *pod; /* never NULL */
	struct bh_proc *proc;	  /* NULL when the process is not known */
	bool is_starting;	  /* the pod's own start-up code in its first minute */
	enum bh_severity severity;
	enum bh_signal signal;
	const struct bh_runtime_policy *policy; /* that decided; NULL: none did */
	unsigned line;				/* of its file; 0: not known */
	double score, usual;			/* as in bh_finding */
	char key[BH_FINDING_KEY], text[BH_FINDING_TEXT];
};

/* Key and sentence; both are cut where they are too long. */
void bh_judge_key(struct bh_judge *j, const char *fmt, ...) BH_PRINTF(2, 3);
void bh_judge_say(struct bh_judge *j, const char *fmt, ...) BH_PRINTF(2, 3);
/* true when the process descends from an intruder's: foreign code, a shell on a socket, a program
 * that a server started, or an interactive shell. An execution is judged by who does it, not by
 * what is executed. */
bool bh_judge_is_tainted(const struct bh_judge *j);
/* true when only programs of the image that are made for a server to start lie between that server
 * and the process: postfix starts its smtpd, which reads the key. */
bool bh_judge_is_helper(const struct bh_judge *j);
/* One step lower for what an image's own start-up does, one step higher (at most `high`) for what a
 * tainted process does. */
void bh_judge_weigh(struct bh_judge *j);

/* true when the workload's closed baseline has this fact (BH_BASE_USE), confirmed. */
bool bh_judge_baseline_has(const struct bh_judge *j, const char *use);

/* ---- processes (lineage.c) ---- */

struct bh_proc *bh_proc_find(struct bh_detect *d, uint64_t exec_id);
/* Keeps the table in step with an activity; returns the entry of a->process or NULL. */
struct bh_proc *bh_proc_follow(struct bh_detect *d, const struct bh_activity *a);

/* true when at ts_ns the container was starting, or was still being built. */
bool bh_pod_is_starting(const struct bh_detect *d, const struct bh_pod_state *pod, uint64_t ts_ns);

/* ---- files made (window.c) ---- */

uint64_t bh_made_id(uint64_t inode, uint64_t dev, const char *path);
void bh_made_note(struct bh_pod_state *pod, const struct bh_activity *a);
/* What is done to the file that a is about, an execution or a change, within window_ns before or
 * after it: BH_MADE_*. Reports of what matters most overtake the others, so the order in which they
 * come says nothing. */
uint32_t bh_made_stage(struct bh_pod_state *pod, const struct bh_activity *a, uint64_t window_ns);
/* When the file that a runs from path was last written or made executable, as far as that is
 * remembered; 0: it is not. */
uint64_t bh_made_last(struct bh_pod_state *pod, const struct bh_activity *a, const char *path);
/* Exec id of who wrote the file that a maps; 0: that is not remembered. */
uint64_t bh_made_by(struct bh_pod_state *pod, const struct bh_activity *a);
/* Notes a directory of programs or libraries that fills while the pod starts. */
void bh_code_note(struct bh_judge *j);
/* true when a service of the image maps what it, or the same program that started it, has just
 * written: the runtimes of languages bring native code along so. */
bool bh_code_is_own(struct bh_judge *j);
/* true when the code that was executed is what the container unpacked while it started: not the
 * image's, but no intruder's either. */
bool bh_code_is_unpacked(struct bh_judge *j);
/* true when the directory was filled while the pod started. is_new: it is being filled now, note
 * it; beyond BH_UNPACKED_MAX directories nothing is noted any more. */
bool bh_unpacked_has(struct bh_pod_state *pod, uint64_t dir, bool is_new);
