#include "cli/args.h"

#include <errno.h>
#include <string.h>

static const struct bh_option *find(const struct bh_option *const tables[2], const char *name,
				    size_t len, char letter)
{
	for (int t = 0; t < 2; t++) {
		for (const struct bh_option *o = tables[t]; o && o->name; o++) {
			if (letter && o->letter == letter)
				return o;
			if (name && strlen(o->name) == len && !strncmp(o->name, name, len))
				return o;
		}
	}
	return NULL;
}

static int add(struct bh_args *a, const struct bh_option *o, const char *value, struct bh_err *err)
{
	if (!o->repeats && bh_args_has(a, o->name))
		return bh_fail(err, EINVAL, "--%s is given twice", o->name);
	if (bh_vec_push(&a->given, ((struct bh_arg){o, value})))
		return bh_fail(err, ENOMEM, "out of memory");
	return 0;
}

/* true when argv[i] can be the value of an option that may stand without one. */
static bool is_value(int argc, char *const *argv, int i)
{
	return i < argc && (argv[i][0] != '-' || !argv[i][1]);
}

/* Takes the option at argv[*i], which starts with a dash, and its value. */
static int take(struct bh_args *a, const struct bh_option *const tables[2], int argc,
		char *const *argv, int *i, struct bh_err *err)
{
	const char *text = argv[*i];
	const char *equals = strchr(text, '=');
	bool is_long = text[1] == '-';
	const char *inlined = NULL;
	const struct bh_option *o;

	if (is_long) {
		size_t len = equals ? (size_t)(equals - text) - 2 : strlen(text) - 2;

		o = find(tables, text + 2, len, 0);
		inlined = equals ? equals + 1 : NULL;
	} else {
		o = find(tables, NULL, 0, text[1]);
		inlined = text[2] ? text + 2 : NULL;
	}
	if (!o)
		return bh_fail(err, EINVAL, "unknown option '%s'", text);
	if (!o->value && inlined)
		return bh_fail(err, EINVAL, "--%s takes no value", o->name);
	if (!o->value || inlined)
		return add(a, o, inlined ? inlined : "", err);
	if (o->may_be_bare && !is_value(argc, argv, *i + 1))
		return add(a, o, "", err);
	if (*i + 1 >= argc)
		return bh_fail(err, EINVAL, "--%s needs a value (%s)", o->name, o->value);
	return add(a, o, argv[++*i], err);
}

int bh_args_parse(struct bh_args *a, const struct bh_option *const tables[2], int argc,
		  char *const *argv, struct bh_err *err)
{
	bool only_operands = false;

	for (int i = 0; i < argc; i++) {
		int r = 0;

		if (!only_operands && !strcmp(argv[i], "--"))
			only_operands = true;
		else if (!only_operands && argv[i][0] == '-' && argv[i][1])
			r = take(a, tables, argc, argv, &i, err);
		else if (bh_vec_push(&a->operands, argv[i]))
			r = bh_fail(err, ENOMEM, "out of memory");
		if (r)
			return r;
	}
	return 0;
}

void bh_args_done(struct bh_args *a)
{
	bh_vec_done(&a->given);
	bh_vec_done(&a->operands);
}

const char *bh_args_get(const struct bh_args *a, const char *name)
{
	for (size_t i = 0; i < a->given.n; i++) {
		if (!strcmp(a->given.v[i].option->name, name))
			return a->given.v[i].value;
	}
	return NULL;
}

bool bh_args_has(const struct bh_args *a, const char *name)
{
	return bh_args_get(a, name);
}

const char *bh_args_operand(const struct bh_args *a, size_t n)
{
	return n < a->operands.n ? a->operands.v[n] : NULL;
}
