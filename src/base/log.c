#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define LINE_MAX_BYTES 2048

static const struct {
	const char *name;
	char syslog; /* sd-daemon(3) priority digit */
} levels[] = {
	[BH_LOG_ERROR] = {"error", '3'},
	[BH_LOG_WARN] = {"warning", '4'},
	[BH_LOG_INFO] = {"info", '6'},
	[BH_LOG_DEBUG] = {"debug", '7'},
};

static void stderr_sink(enum bh_log_level level, const char *line)
{
	char prefix[] = {'<', levels[level].syslog, '>'};
	bool is_journal = getenv("JOURNAL_STREAM") != NULL;
	struct iovec iov[] = {
		{.iov_base = prefix, .iov_len = is_journal ? sizeof(prefix) : 0},
		{.iov_base = (void *)line, .iov_len = strlen(line)},
		{.iov_base = "\n", .iov_len = 1},
	};
	ssize_t n = writev(STDERR_FILENO, iov, BH_ARRAY_SIZE(iov));

	(void)n; /* nowhere left to report it */
}

static enum bh_log_level max_level = BH_LOG_INFO;
static void (*sink)(enum bh_log_level, const char *) = stderr_sink;

void bh_log_set_level(enum bh_log_level max)
{
	max_level = max;
}

void bh_log_set_sink(void (*fn)(enum bh_log_level, const char *line))
{
	sink = fn ? fn : stderr_sink;
}

/* A pod name with a newline in it must not forge a second line or move a terminal's cursor. */
static void mask_controls(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
}

void bh_log(enum bh_log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;
	int n;

	if (level > max_level)
		return;
	n = snprintf(line, sizeof(line), "%s: ", levels[level].name);
	va_start(ap, fmt);
	if (vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap) < 0)
		line[n] = '\0';
	va_end(ap);
	mask_controls(line);
	sink(level, line);
}
