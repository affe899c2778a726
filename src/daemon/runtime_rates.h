/* runtime_rates.h - what each pod uses up in an interval, for the detectors: processor time, starts
 * of programs, connections, questions for names. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bh_daemon;
struct bh_detection;
struct bh_endpoint;
struct bh_rates;
struct bh_runtime_hosts;
struct bh_trace;

struct bh_rates_options { /* all borrowed */
	struct bh_daemon *d;
	struct bh_trace *trace;
	struct bh_detection *detection;
	const struct bh_runtime_hosts *hosts;
};
/* What a pod used up since it began. */
struct bh_rates_total {
	uint64_t cpu_ns, execs, connections, dns;
};
typedef void bh_rates_fn(const struct bh_endpoint *ep, const struct bh_rates_total *t, void *arg);
/* Calls fn for each pod with what it used up till now. -ENOTCONN: tracing is off. */
int bh_rates_each(struct bh_rates *r, bh_rates_fn *fn, void *arg, struct bh_err *err);

/* How often the detectors were fed. */
uint64_t bh_rates_readings(const struct bh_rates *r);

/* Reads by itself, at the interval of the settings, while tracing is on. */
int bh_rates_open(const struct bh_rates_options *opt, struct bh_rates **ret, struct bh_err *err);
void bh_rates_close(struct bh_rates *r);
