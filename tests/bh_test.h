/* bh_test.h - what every cmocka test includes: cmocka with the headers it needs before it, and the
 * few helpers that all tests share. Header only; nothing here knows any module but base/err.h. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ftw.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/err.h"

/* Room for a temporary directory's name. */
#define BH_TEST_DIR 64

/* Makes a fresh temporary directory; the test removes it with bh_test_rmdir. */
static inline void bh_test_mkdir(char dir[BH_TEST_DIR])
{
	snprintf(dir, BH_TEST_DIR, "/tmp/bh-test.XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static inline int bh_test_remove_(const char *path, const struct stat *st, int type,
				  struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

/* Removes what bh_test_mkdir made, with everything in it. */
static inline void bh_test_rmdir(const char *dir)
{
	assert_int_equal(strncmp(dir, "/tmp/bh-test.", 13), 0);
	assert_int_equal(nftw(dir, bh_test_remove_, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The call must succeed; otherwise its sentence is shown. */
#define bh_assert_ok(err, call)                                                                    \
	do {                                                                                       \
		struct bh_err *bh_e_ = (err);                                                      \
		int bh_r_ = (call);                                                                \
		if (bh_r_)                                                                         \
			fail_msg("%s: %d: %s", #call, bh_r_, bh_e_->text);                         \
	} while (0)

/* The call must fail with this negative errno and a sentence that contains `part`. */
#define bh_assert_fails(err, want, part, call)                                                     \
	do {                                                                                       \
		struct bh_err *bh_e_ = (err);                                                      \
		int bh_r_;                                                                         \
		memset(bh_e_, 0, sizeof(*bh_e_));                                                  \
		bh_r_ = (call);                                                                    \
		assert_int_equal(bh_r_, (want));                                                   \
		assert_int_equal(bh_e_->code, (want));                                             \
		if (!strstr(bh_e_->text, (part)))                                                  \
			fail_msg("'%s' does not contain '%s'", bh_e_->text, (part));               \
	} while (0)
