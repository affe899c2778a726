/* trace.h - tracing records > checked C structs in host terms. Version and length are looked at
 * before any other field; what does not add up is refused, never guessed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bulkhead/trace.h"
#include "event/dns.h"

/* One thing that happened. Strings are borrowed from the record or fact, "" when not known; those
 * that are `claimed` or `placed` are this struct's own, so it is not copied. */
struct bh_trace_event {
	enum bh_trace_kind kind;
	uint64_t ts_ns; /* bpf_ktime_get_ns */
	uint64_t exec_id, parent_exec_id;
	uint32_t slot, generation, pid, uid, gid;
	uint32_t flags; /* BH_TRACE_F_* */
	uint64_t count; /* 1; of a fact: how often it was seen */
	char comm[BH_COMM_LEN + 1];
	const char *path;	 /* exec: of the image; file and map: of the file */
	const char *parent_path; /* exec: of the image before; else: of the image that acts */
	const char *script, *cwd;
	const char *target;	      /* rename, link, mount */
	char claimed[2][BH_PATH_MAX]; /* path and target without "//", "." and ".." */
	/* Where path and target are besides, through the mount they were reached by; "": nowhere.
	 * From the record: within the file system place_dev. With place_dev 0, and after the daemon
	 * had a look (placed): in the task's own tree, else on the node. */
	const char *place[2];
	char placed[2][BH_PATH_MAX];
	uint64_t place_dev[2];
	const char *args;	      /* NUL-separated, args_len bytes of args_total */
	uint32_t args_len, args_total;
	uint64_t args_rest;	      /* XXH64 of the other bytes, 0: none, or not known */
	uint64_t ino, dev; /* dev as stat(2) gives it */
	uint64_t parent_ino, parent_dev;
	uint64_t caps, cgroup;
	uint32_t loginuid, ppid, mntns;
	enum bh_trace_origin origin;
	enum bh_trace_origin
		parent_origin; /* exec: of the image before; else: of the image that acts */
	enum bh_trace_stdio stdio[3];
	uint8_t op;		/* enum bh_trace_op of a file, enum bh_trace_class of a call */
	uint32_t call;		/* system call number */
	uint32_t mode;		/* st_mode, 0: not known */
	uint64_t arg[4];	/* as bulkhead/trace.h says for op */
	uint64_t start_ns;	/* exit: of the image */
	int status;		/* exit: as wait(2) gives it */
	char name[BH_DNS_TEXT]; /* DNS: what was asked for */
	uint16_t type;		/* DNS: of the question */
	bool is_answer;		/* DNS */
	uint8_t rcode, proto;	/* DNS */
	uint8_t server[16];	/* DNS: as in struct bh_ip; all zero: not known */

	/* Filled in by the daemon, NULL or "" when not known. SHA-256 in hex: of path for exec and
	 * map, and of the image before or that acts. What is missing is being computed when there
	 * is a ticket; else why says. */
	const char *sha256, *parent_sha256, *sha256_why;
	uint64_t ticket;
};

/* -EBADMSG: too short, of another version or kind, or with values that cannot be. */
int bh_trace_decode(const void *record, size_t len, struct bh_trace_event *ret, struct bh_err *err);
/* The same from the set, for what no record announced: less is known. */
int bh_trace_decode_fact(const struct bh_fact_key *key, const struct bh_fact *fact,
			 struct bh_trace_event *ret, struct bh_err *err);
/* A device number as stat(2) gives it, of the kernel's own form. */
uint64_t bh_trace_device(uint32_t dev);
/* The same for a name. */
int bh_trace_decode_name(const struct bh_dns_key *key, const struct bh_dns *value,
			 struct bh_trace_event *ret, struct bh_err *err);
/* "image", "modified", "new", "metacopy", "tmpfs", "memfd", "volume", "other", "unknown". */
const char *bh_trace_origin_name(enum bh_trace_origin origin);
