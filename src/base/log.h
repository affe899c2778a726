/* log.h - levels and one sink function. Only the daemon, the CLI and the CNI plugin (layer 4) log
 * above debug; everything below returns struct bh_err. Lines are "level: sentence key=value ...". */
#pragma once

#include "base/own.h"

enum bh_log_level { BH_LOG_ERROR, BH_LOG_WARN, BH_LOG_INFO, BH_LOG_DEBUG };

void bh_log_set_level(enum bh_log_level max);
/* Replaces the sink (default: stderr, with sd-daemon "<N>" prefixes when JOURNAL_STREAM is set). */
void bh_log_set_sink(void (*sink)(enum bh_log_level, const char *line));
void bh_log(enum bh_log_level level, const char *fmt, ...) BH_PRINTF(2, 3);

#define bh_error(...) bh_log(BH_LOG_ERROR, __VA_ARGS__)
#define bh_warn(...)  bh_log(BH_LOG_WARN, __VA_ARGS__)
#define bh_info(...)  bh_log(BH_LOG_INFO, __VA_ARGS__)
#define bh_debug(...) bh_log(BH_LOG_DEBUG, __VA_ARGS__)
