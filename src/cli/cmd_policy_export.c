/* cmd_policy_export.c - `bulkhead policy export`: ImagePolicies as containers-policy.json(5), which
 * podman and CRI-O enforce by themselves. What that format cannot say is refused with a sentence: a
 * policy that came out weaker than it reads would be worse than none. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/image_files.h"

#define MAX_FILE (4u << 20)

/* ---- what cannot be said ---- */

static int check_signer(const struct bh_image_signer *s, struct bh_err *err)
{
	if (s->kind != BH_IMAGE_KEYS)
		return bh_fail(err, ENOTSUP, "signer '%s' is not one of keys", s->name);
	if (s->require.tlog || s->require.timestamp)
		return bh_fail(err, ENOTSUP, "signer '%s': 'require'", s->name);
	if (s->annotations.n)
		return bh_fail(err, ENOTSUP, "signer '%s': 'annotations'", s->name);
	for (size_t i = 0; i < s->keys.n; i++) {
		const struct bh_image_key *k = &s->keys.v[i];

		if (k->not_before_s != BH_TIME_MIN || k->not_after_s != BH_TIME_MAX)
			return bh_fail(err, ENOTSUP, "signer '%s': the window of key '%s'", s->name,
				       k->file);
	}
	return 0;
}

static int check_policy(const struct bh_image_policy *p, struct bh_err *err)
{
	const struct {
		bool is_there;
		const char *what;
	} rows[] = {
		{p->mode != BH_IMAGE_ENFORCE, "a mode other than enforce"},
		{p->match.namespaces.n, "'match.namespaces'"},
		{p->require_digest, "'requireDigest'"},
		{p->signature_store, "'signatureStore'"},
		{p->signature_repository, "'signatureRepository'"},
		{p->threshold > 1, "'threshold'"},
		{p->attestations.n, "'attestations'"},
		{p->signers.n != 1, "several signers, any of which is enough"},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (rows[i].is_there)
			return bh_fail(err, ENOTSUP, "%s", rows[i].what);
	}
	return check_signer(&p->signers.v[0], err);
}

/* ---- scopes ---- */

/* A pattern of all below "host/team" is the scope "host/team", which the format takes so. "" is the
 * default. NULL: it cannot be said. */
static char *scope_of(const char *pattern)
{
	size_t n = strlen(pattern);

	if (!strcmp(pattern, "**"))
		return strdup("");
	if (n < 4 || strcmp(pattern + n - 3, "/**") || memchr(pattern, '*', n - 3))
		return NULL;
	return strndup(pattern, n - 3);
}

static int set_scope(json_t *all, const char *pattern, json_t *take_requirement, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *scope = scope_of(pattern);
	json_t *docker = json_object_get(json_object_get(all, "transports"), "docker");
	json_t *list = json_pack("[o]", take_requirement);
	bool is_default = scope && !*scope;

	if (!scope || !list) {
		json_decref(list);
		return bh_fail(err, ENOTSUP, "the pattern '%.200s'; one ends in '/**'", pattern);
	}
	if (!is_default && json_object_get(docker, scope)) {
		json_decref(list);
		return bh_fail(err, ENOTSUP, "a second policy about '%.200s'", scope);
	}
	return is_default ? json_object_set_new(all, "default", list)
			  : json_object_set_new(docker, scope, list);
}

/* ---- requirements ---- */

static json_t *requirement_of(const struct bh_image_signer *s)
{
	json_t *keys = json_array(), *identity;

	for (size_t i = 0; i < s->keys.n; i++)
		json_array_append_new(keys, json_string(s->keys.v[i].file));
	/* what cosign signs names the repository without a tag */
	identity = s->signed_repository ? json_pack("{s:s, s:s}", "type", "exactRepository",
						    "dockerRepository", s->signed_repository)
					: json_pack("{s:s}", "type", "matchRepository");
	if (s->keys.n > 1) /* containers/image 5.31 and later */
		return json_pack("{s:s, s:o, s:o}", "type", "sigstoreSigned", "keyPaths", keys,
				 "signedIdentity", identity);
	json_decref(keys);
	return json_pack("{s:s, s:s, s:o}", "type", "sigstoreSigned", "keyPath", s->keys.v[0].file,
			 "signedIdentity", identity);
}

static int export_policy(const struct bh_image_policy *p, json_t *all, struct bh_err *err)
{
	int r = check_policy(p, err);

	for (size_t i = 0; !r && i < p->match.images.n; i++)
		r = set_scope(all, p->match.images.v[i], requirement_of(&p->signers.v[0]), err);
	if (!r && !p->match.images.n)
		r = set_scope(all, "**", requirement_of(&p->signers.v[0]), err);
	for (size_t i = 0; !r && i < p->match.exclude.n; i++)
		r = set_scope(all, p->match.exclude.v[i],
			      json_pack("{s:s}", "type", "insecureAcceptAnything"), err);
	return r ? bh_note(err, r, "ImagePolicy '%s' cannot be exported", p->name) : 0;
}

static int read_policies(const struct bh_cli *cli, const char *path, struct bh_image_policies *ret)
{
	BH_CLEANUP(bh_problems_done) struct bh_problems problems = {0};
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	size_t n;

	if (bh_fs_read(path, MAX_FILE, &text, &n, &err))
		return bh_cli_fail(cli, "%s", err.text);
	if (bh_image_policies_read(path, text, n, &bh_cli_image_files, ret, &problems))
		return bh_cli_fail(cli, "out of memory");
	for (size_t i = 0; i < problems.n; i++) {
		const struct bh_problem *p = &problems.v[i];

		if (p->level == BH_PROBLEM_ERROR)
			return bh_cli_fail(cli, "%s:%u:%u: %s", p->file, p->line, p->col, p->text);
	}
	return ret->n ? BH_EXIT_OK : bh_cli_fail(cli, "%s: there is no ImagePolicy in it", path);
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_image_policies_done) struct bh_image_policies policies = {0};
	json_t *all = json_pack("{s:[{s:s}], s:{s:{}}}", "default", "type",
				"insecureAcceptAnything", "transports", "docker");
	int r = read_policies(cli, bh_args_operand(args, 0), &policies);
	struct bh_err err;

	for (size_t i = 0; !r && i < policies.n; i++) {
		if (export_policy(policies.v[i], all, &err))
			r = bh_cli_fail(cli, "%s", err.text);
	}
	if (!r)
		bh_out_json(&cli->out, all, false);
	json_decref(all);
	return r;
}

const struct bh_command bh_cmd_policy_export = {
	.name = "policy export",
	.operands = "FILE",
	.summary = "ImagePolicies as containers-policy.json, for podman and CRI-O",
	.more = "Prints /etc/containers/policy.json. What that format cannot say is refused. Where "
		"signatures lie beside images, registries.d needs use-sigstore-attachments: true.",
	.example = "bulkhead policy export images.yaml > /etc/containers/policy.json",
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
