/* doctor.h - local checks: what this machine lacks for enforcing, and how to mend it. */
#pragma once

#include <stdbool.h>

#include "base/own.h"
#include "base/vec.h"

enum bh_health { BH_HEALTH_OK, BH_HEALTH_WARN, BH_HEALTH_WRONG };

struct bh_finding {
	enum bh_health health;
	const char *name; /* what was looked at */
	char *text;	  /* what was found; owned */
	const char *mend; /* what to do; NULL when nothing */
};

struct bh_findings {
	BH_VEC(struct bh_finding) list;
	bool failed; /* memory ran out */
};

struct bh_doctor {
	const char *socket;
	const char *cni_conf;	     /* directory of CNI configurations */
	const char *cni_bin;	     /* colon-separated directories of plugins */
	const char *containerd;	     /* the program, looked for in PATH; NULL: not asked */
	const char *containerd_conf; /* NULL: where containerd looks by itself */
};

void bh_findings_done(struct bh_findings *f);
/* A kernel's release, as uname has it: below 5.15 there is something missing, below 6.1 nobody tried. */
void bh_doctor_release(const char *release, struct bh_findings *f);
/* This kernel, BTF, mounts, rights. */
void bh_doctor_kernel(struct bh_findings *f);
/* The first configuration in cni_conf chains our plugin; every plugin it names can be executed. */
void bh_doctor_cni(const struct bh_doctor *d, struct bh_findings *f);
/* containerd asks our image verifier before it pulls. Says nothing where there is no containerd. */
void bh_doctor_containerd(const struct bh_doctor *d, struct bh_findings *f);
/* Owner and mode of the socket. */
void bh_doctor_socket(const struct bh_doctor *d, struct bh_findings *f);
/* text is formatted; mend may be NULL. */
void bh_finding_add(struct bh_findings *f, struct bh_finding finding, const char *fmt, ...)
	BH_PRINTF(3, 4);
