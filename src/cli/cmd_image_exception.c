/* cmd_image_exception.c - `bulkhead image exception`: the text of an ImageException that is to be
 * signed, or whether it is. */
#include <string.h>

#include "base/fs.h"
#include "cli/commands.h"
#include "policy/image_exempt.h"
#include "verify/pem.h"

#define MAX_FILE (4u << 20)

static int read_one(const struct bh_cli *cli, const char *path, struct bh_image_exempts *ret)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	size_t n;

	if (bh_fs_read(path, MAX_FILE, &text, &n, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_image_exempts_read(path, text, n, ret, &problems))
		return bh_cli_fail(cli, "out of memory");
	if (problems.n)
		return bh_cli_fail(cli, "%s:%u:%u: %s", path, problems.v[0].line, problems.v[0].col,
				   problems.v[0].text);
	if (ret->n != 1)
		return bh_cli_fail(cli, "%s: %zu ImageExceptions where one is expected", path,
				   ret->n);
	return BH_EXIT_OK;
}

static int check(const struct bh_cli *cli, const struct bh_image_exempt *e, const char *path)
{
	BH_CLEANUP(bh_freep) char *pem = NULL;
	EVP_PKEY *pkey = NULL;
	struct bh_key key = {0};
	struct bh_flaw flaw;
	struct bh_err err;
	bool is_signed;
	size_t n;

	if (bh_fs_read(path, MAX_FILE, &pem, &n, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_pem_key_file(pem, n, &pkey, &flaw) || bh_key_init(&key, pkey, &flaw))
		return bh_cli_fail(cli, "%s: not one public key of a kind that is supported", path);
	is_signed = bh_image_exempt_is_signed(e, &key, 1);
	bh_key_done(&key);
	if (!is_signed)
		return bh_cli_fail(cli, "ImageException '%s' is not signed by '%s'", e->name, path);
	bh_out_line(&cli->out, BH_GOOD, "ImageException '%s' is signed by '%s'; it ends at %s",
		    e->name, path, e->until);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_image_exempts_done) struct bh_image_exempts all = {0};
	BH_CLEANUP(bh_freep) char *text = NULL;
	const char *key = bh_args_get(args, "key");
	int r = read_one(cli, bh_args_operand(args, 0), &all);

	if (r)
		return r;
	if (key)
		return check(cli, all.v[0], key);
	text = bh_image_exempt_text(all.v[0]);
	if (!text)
		return bh_cli_fail(cli, "out of memory");
	fputs(text, cli->out.f);
	return BH_EXIT_OK;
}

static const struct bh_option options[] = {
	{"key", "FILE", "check the signature with this public key instead", 0, false, false},
	{0},
};

const struct bh_command bh_cmd_image_exception = {
	.name = "image exception",
	.operands = "FILE",
	.summary = "the text of an ImageException to be signed, or whether it is",
	.more = "Sign what is printed, `| openssl dgst -sha256 -sign KEY | base64 -w0`, and put "
		"the "
		"result into spec.signature. Works without a daemon.",
	.example = "bulkhead image exception incident.yaml --key break-glass.pub",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
