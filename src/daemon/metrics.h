/* metrics.h - the HTTP listener: /metrics, /healthz, /readyz. */
#pragma once

struct bh_daemon;

/* Listens as configured. A port that is taken is no reason not to enforce: the trouble is shown by
 * status. */
void bh_metrics_open(struct bh_daemon *d);
void bh_metrics_close(struct bh_daemon *d);
