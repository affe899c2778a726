/* args.h - the options of one command: a table in, values out.
 *
 * Options may stand anywhere among the operands ("--" ends them) and are written "--name VALUE" or
 * "--name=VALUE"; -o, -h and -V are the short ones. The table also makes the help, so an option
 * cannot be forgotten there. Knows nothing of what the values mean. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/vec.h"

struct bh_option {
	const char *name;  /* without dashes; NULL ends a table */
	const char *value; /* what stands for the value in the help; NULL: a flag */
	const char *help;  /* one line */
	char letter;	   /* short form, 0: none */
	bool repeats;	   /* may be given more than once */
	bool may_be_bare;  /* the value may be left out when nothing or another option follows */
};

struct bh_arg {
	const struct bh_option *option;
	const char *value; /* borrowed from argv; "" for flags and bare options */
};

/* Zero-initialised is empty. Strings are borrowed from argv. */
struct bh_args {
	BH_VEC(struct bh_arg) given;
	BH_VEC(const char *) operands;
};

/* Parses argv[0..argc) by up to two tables (either may be NULL). -EINVAL with a sentence for what
 * is unknown, repeated or lacks its value. */
int bh_args_parse(struct bh_args *a, const struct bh_option *const tables[2], int argc,
		  char *const *argv, struct bh_err *err);
void bh_args_done(struct bh_args *a);

/* The value of the option, NULL when it was not given. With repeats: the first one. */
const char *bh_args_get(const struct bh_args *a, const char *name);
bool bh_args_has(const struct bh_args *a, const char *name);
/* The nth operand, NULL beyond the last. */
const char *bh_args_operand(const struct bh_args *a, size_t n);
