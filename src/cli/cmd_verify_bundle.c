/* cmd_verify_bundle.c - `bulkhead verify-bundle`: one sigstore bundle about one file, with the
 * options of sigstore's conformance tests (docs/cli_protocol.md there). Nothing is fetched: the
 * trusted root is a file. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "cli/commands.h"
#include "verify/artifact.h"
#include "verify/ref.h"

#define MAX_BUNDLE   (16u << 20)
#define MAX_ARTIFACT (256u << 20)
#define ROOT_NAME    "given"

static int read_blob(const struct bh_cli *cli, const char *path, size_t max, struct bh_blob *ret)
{
	struct bh_err err;
	char *text;

	if (bh_fs_read(path, max, &text, &ret->n, &err))
		return bh_cli_fail(cli, "%s", err.text);
	ret->v = (unsigned char *)text;
	return BH_EXIT_OK;
}

static char *option(const struct bh_args *args, const char *name)
{
	const char *text = bh_args_get(args, name);

	return text ? strdup(text) : NULL;
}

static int key_signer(const struct bh_cli *cli, const struct bh_args *args,
		      struct bh_image_signer *s)
{
	struct bh_image_key key = {.not_before_s = BH_TIME_MIN, .not_after_s = BH_TIME_MAX};
	int r = read_blob(cli, bh_args_get(args, "key"), MAX_BUNDLE, &key.pem);

	s->kind = BH_IMAGE_KEYS;
	key.file = option(args, "key");
	if (!r && key.file && !bh_vec_push(&s->keys, key))
		return BH_EXIT_OK;
	free(key.file);
	bh_blob_done(&key.pem);
	return r ? r : bh_cli_fail(cli, "out of memory");
}

static int keyless_signer(const struct bh_cli *cli, const struct bh_args *args,
			  struct bh_image_signer *s)
{
	struct bh_image_identity id = {
		.issuer = option(args, "certificate-oidc-issuer"),
		.subject = option(args, "certificate-identity"),
	};

	s->kind = BH_IMAGE_KEYLESS;
	s->trust_root = strdup(ROOT_NAME);
	s->require = (struct bh_image_require){.tlog = true, .sct = true};
	if (s->trust_root && !bh_vec_push(&s->identities, id))
		return BH_EXIT_OK;
	free(id.issuer);
	free(id.subject);
	return bh_cli_fail(cli, "out of memory");
}

static int add_root(const struct bh_cli *cli, const struct bh_args *args, struct bh_image_policy *p)
{
	struct bh_image_trust_root root = {.name = strdup(ROOT_NAME)};
	int r = read_blob(cli, bh_args_get(args, "trusted-root"), MAX_BUNDLE, &root.json);

	if (!r && root.name && !bh_vec_push(&p->trust_roots, root))
		return BH_EXIT_OK;
	free(root.name);
	bh_blob_done(&root.json);
	return r ? r : bh_cli_fail(cli, "out of memory");
}

static int make_policy(const struct bh_cli *cli, const struct bh_args *args,
		       struct bh_image_policy **ret)
{
	BH_CLEANUP(bh_image_policy_freep) struct bh_image_policy *p = bh_image_policy_new();
	struct bh_image_signer s = {.name = strdup("signer")};
	int r = p && s.name ? BH_EXIT_OK : bh_cli_fail(cli, "out of memory");

	if (!r && bh_args_has(args, "trusted-root"))
		r = add_root(cli, args, p);
	if (!r)
		r = bh_args_has(args, "key") ? key_signer(cli, args, &s)
					     : keyless_signer(cli, args, &s);
	if (!r && bh_vec_push(&p->signers, s))
		r = bh_cli_fail(cli, "out of memory");
	if (r) {
		bh_image_signer_done(&s);
		return r;
	}
	*ret = BH_TAKE(p);
	return BH_EXIT_OK;
}

static int check_usage(const struct bh_cli *cli, const struct bh_args *args)
{
	bool has_key = bh_args_has(args, "key");
	bool has_name = bh_args_has(args, "certificate-identity");

	if (!bh_args_has(args, "bundle"))
		return bh_cli_usage(cli, "--bundle FILE is what is verified");
	if (has_name != bh_args_has(args, "certificate-oidc-issuer"))
		return bh_cli_usage(cli,
				    "--certificate-identity and --certificate-oidc-issuer "
				    "belong together");
	if (has_key == has_name)
		return bh_cli_usage(cli,
				    "either --key or --certificate-identity says whom to "
				    "trust");
	if (has_name && !bh_args_has(args, "trusted-root"))
		return bh_cli_usage(cli,
				    "--trusted-root FILE says which authorities and logs to "
				    "trust; none is built in");
	return BH_EXIT_OK;
}

static int judge(const struct bh_cli *cli, const struct bh_args *args,
		 const struct bh_image_policy *p, struct bh_artifact *a)
{
	BH_CLEANUP(bh_image_rules_freep) struct bh_image_rules *rules = NULL;
	BH_CLEANUP(bh_blob_done) struct bh_blob bundle = {0}, bytes = {0};
	BH_CLEANUP(bh_freep) char *who = NULL;
	const char *name = bh_args_operand(args, 0);
	struct bh_flaw flaw;
	struct bh_err err;
	struct stat st;
	int r = read_blob(cli, bh_args_get(args, "bundle"), MAX_BUNDLE, &bundle);

	/* "sha256:..." is a digest unless there is a file of that name */
	a->digest = bh_digest_ok(name) && stat(name, &st) ? name : NULL;
	if (!r && !a->digest)
		r = read_blob(cli, name, MAX_ARTIFACT, &bytes);
	if (r)
		return r;
	a->bundle = &bundle;
	a->bytes = a->digest ? NULL : &bytes;
	if (bh_image_rules_new(p, &rules, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_artifact_verify(rules, a, &who, &flaw))
		return bh_cli_fail(cli, "%s: %s", bh_image_word_text(flaw.word), flaw.err.text);
	bh_out_line(&cli->out, BH_GOOD, "signed by %s", who);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_image_policy_freep) struct bh_image_policy *p = NULL;
	struct bh_artifact a = {.now_s = (int64_t)time(NULL)};
	int r = check_usage(cli, args);

	if (!r)
		r = make_policy(cli, args, &p);
	return r ? r : judge(cli, args, p, &a);
}

static const struct bh_option options[] = {
	{"bundle", "FILE", "the sigstore bundle", 0, false, false},
	{"certificate-identity", "NAME", "who must have signed: an e-mail address or URI", 0, false,
	 false},
	{"certificate-oidc-issuer", "URL", "who must have vouched for that identity", 0, false,
	 false},
	{"key", "FILE", "the public key, instead of an identity", 0, false, false},
	{"trusted-root", "FILE", "sigstore's trusted_root.json", 0, false, false},
	{"staging", NULL, "taken and without a meaning: no root is built in", 0, false, false},
	{0},
};

const struct bh_command bh_cmd_verify_bundle = {
	.name = "verify-bundle",
	.operands = "FILE|DIGEST",
	.summary = "judge a sigstore bundle about a file, as sigstore's conformance tests do",
	.more = "Exit status 0: the signature is good, 1: it is not. Identities need an entry in a "
		"transparency log and a certificate that a trusted log has seen.",
	.example = "bulkhead verify-bundle --bundle app.sigstore.json --key cosign.pub app.tar.gz",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
