/* A baseline's file, signed or not. What is read must write itself the same way, and what is
 * generated from it must never fail its own proof. */
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "detect/generate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The public half of a key that nobody has. */
static const char key[] =
	"-----BEGIN PUBLIC KEY-----\n"
	"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
	"-----END PUBLIC KEY-----\n";

static void write_twice(const struct bh_baseline *b)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *again = NULL;
	BH_CLEANUP(bh_str_done) struct bh_str one = {0}, two = {0}, diff = {0};
	struct bh_err err;

	if (bh_baseline_write(b, &one) || bh_baseline_read(one.s, one.n, &again, &err) ||
	    bh_baseline_write(again, &two) || strcmp(one.s, two.s) ||
	    bh_baseline_diff(b, again, &diff))
		abort();
}

static void generate(const struct bh_baseline *b)
{
	static struct bh_label label = {"app", "x"};
	const struct bh_gen_input in = {.baseline = b, .labels = {&label, 1}};
	static int (*const make[])(const struct bh_gen_input *in, struct bh_str *out,
				   struct bh_gen_report *ret, struct bh_err *err) = {
		bh_generate_network, bh_generate_runtime, bh_generate_seccomp};

	for (size_t i = 0; i < BH_ARRAY_SIZE(make); i++) {
		BH_CLEANUP(bh_str_done) struct bh_str out = {0};
		struct bh_gen_report report;
		struct bh_err err;

		if (!make[i](&in, &out, &report, &err) && report.admitted != report.observed)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	BH_CLEANUP(bh_baseline_freep) struct bh_baseline *b = NULL;
	BH_CLEANUP(bh_freep) char *payload = NULL;
	struct bh_err err = {0};

	if (bh_signed_read((const char *)data, size, key, &payload, &err) == 0)
		abort(); /* nobody can have signed it */
	if (bh_baseline_read((const char *)data, size, &b, &err)) {
		if (b || !*err.text)
			abort();
		return 0;
	}
	write_twice(b);
	generate(b);
	return 0;
}
