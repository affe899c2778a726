#include <string.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/doctor.h"
#include "ctl/client.h"

#define TIMEOUT_MS 5000

static const struct bh_option options[] = {
	{"cni-conf", "DIR", "where the runtime looks for its CNI configuration", 0, false, false},
	{"cni-bin", "DIRS", "where it looks for CNI plugins, separated by ':'", 0, false, false},
	{"containerd", "PROGRAM", "containerd, to be asked for its settings", 0, false, false},
	{"containerd-conf", "FILE", "its configuration, where that is not the usual one", 0, false,
	 false},
	{0},
};

static const char *const words[] = {
	[BH_HEALTH_OK] = "ok",
	[BH_HEALTH_WARN] = "warning",
	[BH_HEALTH_WRONG] = "wrong",
};

static void add_degraded(const json_t *status, struct bh_findings *f)
{
	struct bh_finding is = {.name = "guarantee", .health = BH_HEALTH_WARN};
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(status, "degraded"), i, v)
		bh_finding_add(f, is, "%s: %s", bh_show_str(v, "what"), bh_show_str(v, "why"));
}

static void add_sources(const json_t *status, struct bh_findings *f)
{
	struct bh_finding is = {.name = "source",
				.health = BH_HEALTH_WRONG,
				.mend = "Put it back; until then the last state stays in force."};
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(status, "sources"), i, v)
	{
		if (strcmp(bh_show_str(v, "state"), "ok"))
			bh_finding_add(f, is, "%s %s: %s", bh_show_str(v, "directory"),
				       bh_show_str(v, "state"), bh_show_str(v, "why"));
	}
}

static void add_policies(const json_t *status, struct bh_findings *f)
{
	struct bh_finding is = {.name = "policy",
				.health = BH_HEALTH_WRONG,
				.mend = "bulkhead policy check names the line."};
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(status, "policies"), i, v)
	{
		if (!bh_show_bool(v, "live"))
			bh_finding_add(f, is, "%s %s/%s is not in force: %s",
				       bh_show_str(v, "kind"), bh_show_str(v, "namespace"),
				       bh_show_str(v, "name"), bh_show_str(v, "why"));
	}
}

static void check_daemon(const struct bh_cli *cli, struct bh_findings *f)
{
	struct bh_finding is = {.name = "daemon"};
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *status = NULL;
	struct bh_err err;

	if (bh_client_open(cli->socket, TIMEOUT_MS, &c, &err) ||
	    bh_client_call(c, "status", NULL, &status, NULL, &err)) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "systemctl status bulkheadd, or bulkheadd --check.";
		bh_finding_add(f, is, "%s", err.text);
		return;
	}
	if (!bh_show_bool(status, "ready")) {
		is.health = BH_HEALTH_WRONG;
		is.mend = "bulkhead status says what it waits for.";
	}
	bh_finding_add(f, is, "version %s, revision %lld, %s", bh_show_str(status, "version"),
		       bh_show_int(status, "revision"),
		       bh_show_bool(status, "ready") ? "enforcing" : "not enforcing yet");
	add_sources(status, f);
	add_policies(status, f);
	add_degraded(status, f);
}

static void print_table(const struct bh_cli *cli, const struct bh_findings *f)
{
	static const enum bh_paint paints[] = {
		[BH_HEALTH_OK] = BH_GOOD,
		[BH_HEALTH_WARN] = BH_WARN,
		[BH_HEALTH_WRONG] = BH_BAD,
	};

	bh_vec_each (it, &f->list) {
		const struct bh_out *o = &cli->out;

		fprintf(o->f, "%s%-8s%s", bh_out_on(o, paints[it->health]), words[it->health],
			bh_out_off(o, paints[it->health]));
		bh_out_line(o, BH_PLAIN, "%-18s %s", it->name, it->text);
		if (it->mend && it->health != BH_HEALTH_OK)
			bh_out_wrap(o, 10, it->mend);
	}
}

static int print_json(const struct bh_cli *cli, const struct bh_findings *f, bool is_wrong)
{
	json_t *list = json_array();
	json_t *all;

	bh_vec_each (it, &f->list)
		json_array_append_new(list,
				      json_pack("{s:s s:s s:s s:s?}", "name", it->name, "state",
						words[it->health], "text", it->text, "mend",
						it->health == BH_HEALTH_OK ? NULL : it->mend));
	all = json_pack("{s:b s:o}", "ok", !is_wrong, "checks", list);
	if (!all)
		return bh_cli_fail(cli, "out of memory");
	bh_out_json(&cli->out, all, false);
	json_decref(all);
	return BH_EXIT_OK;
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	BH_CLEANUP(bh_findings_done) struct bh_findings f = {0};
	const char *conf = bh_args_get(args, "cni-conf"), *bin = bh_args_get(args, "cni-bin");
	const char *containerd = bh_args_get(args, "containerd");
	struct bh_doctor d = {
		.socket = cli->socket,
		.cni_conf = conf ? conf : "/etc/cni/net.d",
		.cni_bin = bin ? bin : "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni",
		.containerd = containerd ? containerd : "containerd",
		.containerd_conf = bh_args_get(args, "containerd-conf"),
	};
	bool is_wrong = false;

	bh_doctor_kernel(&f);
	bh_doctor_cni(&d, &f);
	bh_doctor_containerd(&d, &f);
	bh_doctor_socket(&d, &f);
	check_daemon(cli, &f);
	if (f.failed)
		return bh_cli_fail(cli, "out of memory");
	bh_vec_each (it, &f.list)
		is_wrong |= it->health == BH_HEALTH_WRONG;
	if (!cli->wants_json)
		print_table(cli, &f);
	else if (print_json(cli, &f, is_wrong))
		return BH_EXIT_FAILED;
	return is_wrong ? BH_EXIT_FAILED : BH_EXIT_OK;
}

const struct bh_command bh_cmd_doctor = {
	.name = "doctor",
	.operands = "",
	.summary = "check kernel, mounts, CNI, containerd, rights; say how to mend each",
	.more = "Works without a daemon. Exit status 1 when something is wrong; warnings alone are "
		"0.",
	.example = "bulkhead doctor --cni-conf /etc/cni/net.d",
	.options = options,
	.shows = true,
	.run = run,
};
