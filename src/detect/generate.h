/* generate.h - a baseline > a NetworkPolicy, a RuntimePolicy and a seccomp profile.
 *
 * Each text is read back by the parser that enforces it, and every observed key is asked of what
 * was read: a text that would not admit all of them is not given out. The report also says what it
 * admits beyond what was observed, because names had to be cut or addresses joined. */
#pragma once

#include "detect/baseline.h"
#include "policy/model.h"

/* Another workload, as edge keys name it: "namespace/ownerKind/owner". */
struct bh_gen_peer {
	const char *name, *ns;
	struct bh_labels labels; /* that its pods share; at least one */
};

struct bh_gen_input { /* borrowed */
	const struct bh_baseline *baseline;
	struct bh_labels labels; /* that the workload's pods share */
	const struct bh_gen_peer *peers;
	size_t n_peers;
	bool only_confirmed; /* leave out what one replica only did */
};

struct bh_gen_report {
	size_t observed, admitted; /* equal when the call succeeded */
	size_t slack;		   /* questions admitted that were not observed; see what */
	size_t asked;		   /* of so many */
	char what[256];		   /* what the slack counts, in words */
};

/* Each appends to out. -ENOENT: a peer's labels are not known; -EINVAL: nothing was observed;
 * -EPROTO: the text read back does not admit what was observed, out is then worthless. */
int bh_generate_network(const struct bh_gen_input *in, struct bh_str *out,
			struct bh_gen_report *ret, struct bh_err *err);
int bh_generate_runtime(const struct bh_gen_input *in, struct bh_str *out,
			struct bh_gen_report *ret, struct bh_err *err);
/* OCI's "linux.seccomp" object, as container runtimes read it from a file. */
int bh_generate_seccomp(const struct bh_gen_input *in, struct bh_str *out,
			struct bh_gen_report *ret, struct bh_err *err);
