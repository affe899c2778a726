#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* Sentences quote bytes from outside and end up on terminals and in JSON strings: what is no
 * printable UTF-8 becomes '?', and a cut never falls inside a character. */
static void put_text(struct bh_err *err, const char *text)
{
	size_t left = strlen(text), out = 0;

	while (left) {
		size_t n = bh_utf8_len(text, left);
		bool is_plain = n > 1 || (n == 1 && *text >= 0x20 && *text != 0x7f);

		n = n ? n : 1;
		if (out + n >= sizeof(err->text))
			break;
		if (is_plain)
			memcpy(err->text + out, text, n);
		else
			err->text[out] = '?';
		out += n;
		text += n;
		left -= n;
	}
	err->text[out] = '\0';
}

static const char *system_text(int errnum, char *buf, size_t cap)
{
	return strerror_r(errnum, buf, cap);
}

/* A caller that passes a negative or zero errno made a mistake, but it must still not look like
 * success. */
static int positive(int errnum)
{
	if (errnum < 0)
		return -errnum;
	return errnum ? errnum : EIO;
}

static void set_error(struct bh_err *err, int errnum, const char *text)
{
	char sys[128];

	err->code = -errnum;
	put_text(err, *text ? text : system_text(errnum, sys, sizeof(sys)));
}

int bh_fail(struct bh_err *err, int errnum, const char *fmt, ...)
{
	char text[BH_ERR_TEXT + 8];
	va_list ap;

	errnum = positive(errnum);
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	set_error(err, errnum, text);
	return -errnum;
}

int bh_fail_sys(struct bh_err *err, int errnum, const char *fmt, ...)
{
	char text[BH_ERR_TEXT], full[BH_ERR_TEXT + 192], sys[128];
	va_list ap;

	errnum = positive(errnum);
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	snprintf(full, sizeof(full), "%s%s%s", text, *text ? ": " : "",
		 system_text(errnum, sys, sizeof(sys)));
	set_error(err, errnum, full);
	return -errnum;
}

int bh_note(struct bh_err *err, int r, const char *fmt, ...)
{
	char context[BH_ERR_TEXT], full[2 * BH_ERR_TEXT + 4];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(context, sizeof(context), fmt, ap) < 0)
		context[0] = '\0';
	va_end(ap);
	snprintf(full, sizeof(full), "%s%s%s", context, *context && *err->text ? ": " : "",
		 err->text);
	set_error(err, positive(r), full);
	return r;
}
