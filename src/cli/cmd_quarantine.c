#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "cli/commands.h"

static const struct bh_option options[] = {
	{"reason", "TEXT", "why; kept in the event log (needed)", 0, false, false},
	{"ttl", "2h", "give it back by itself after this long", 0, false, false},
	{"allow", "CIDR[:PORT/PROTO]", "still let this through", 0, true, false},
	{"kill", NULL, "kill every process of the pod", 0, false, false},
	{"freeze", NULL, "stop every process of the pod", 0, false, false},
	{"evidence", "DIR", "first save what the pod is and does here", 0, false, false},
	{"list", NULL, "show who is quarantined", 0, false, false},
	{0},
};

static int show_list(struct bh_cli *cli, const json_t *answer)
{
	static const struct bh_column columns[] = {{"POD", false, 16},	   {"SINCE", false, 11},
						   {"EXPIRES", false, 11}, {"ALLOWED", false, 12},
						   {"REASON", false, 12},  {"BY", false, 8},
						   {"PRESENT", false, 0}};
	BH_CLEANUP(bh_table_freep)
	struct bh_table *t = bh_table_new(columns, BH_ARRAY_SIZE(columns));
	const json_t *list = json_object_get(answer, "quarantines");
	json_t *v;
	size_t i;

	if (!json_array_size(list)) {
		fputs("No pod is quarantined.\n", cli->out.f);
		return BH_EXIT_OK;
	}
	json_array_foreach(list, i, v)
	{
		BH_CLEANUP(bh_freep) char *allow = bh_show_list(v, "allow");

		bh_table_add(t, BH_BAD, bh_show_str(v, "pod"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "since"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "expires"));
		bh_table_add(t, BH_PLAIN, allow);
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "reason"));
		bh_table_add(t, BH_PLAIN, bh_show_str(v, "by"));
		bh_table_add(t, BH_PLAIN, bh_show_bool(v, "active") ? "yes" : "no");
	}
	return bh_table_print(t, &cli->out) ? bh_cli_fail(cli, "out of memory") : BH_EXIT_OK;
}

static int show_receipt(struct bh_cli *cli, const json_t *r)
{
	const struct bh_out *o = &cli->out;

	bh_out_line(o, BH_BAD, "%s is quarantined", bh_show_str(r, "pod"));
	bh_out_line(o, BH_PLAIN, "since                 %s", bh_show_str(r, "since"));
	bh_out_line(o, BH_PLAIN, "reason                %s", bh_show_str(r, "reason"));
	bh_out_line(o, BH_PLAIN, "by                    %s", bh_show_str(r, "by"));
	bh_out_line(o, BH_PLAIN, "expires               %s", bh_show_str(r, "expires"));
	bh_out_line(o, BH_PLAIN, "verdict in the kernel %lld us after the command",
		    bh_show_int(r, "verdictMicroseconds"));
	bh_out_line(o, BH_PLAIN, "sockets destroyed     %lld", bh_show_int(r, "socketsDestroyed"));
	if (json_is_number(json_object_get(r, "lastPacketMicroseconds")))
		bh_out_line(o, BH_PLAIN, "last packet           %lld us after the command",
			    bh_show_int(r, "lastPacketMicroseconds"));
	else
		bh_out_line(o, BH_PLAIN, "last packet           none since the command");
	bh_out_line(o, bh_show_int(r, "packetsAfter") ? BH_BAD : BH_PLAIN,
		    "packets after that    %lld", bh_show_int(r, "packetsAfter"));
	if (bh_show_int(r, "killed"))
		bh_out_line(o, BH_PLAIN, "processes killed      %lld", bh_show_int(r, "killed"));
	if (bh_show_bool(r, "frozen"))
		bh_out_line(o, BH_PLAIN, "processes             frozen");
	if (strcmp(bh_show_str(r, "evidence"), "-"))
		bh_out_line(o, BH_PLAIN, "evidence              %s", bh_show_str(r, "evidence"));
	return BH_EXIT_OK;
}

/* The daemon runs elsewhere in the tree of directories, so it gets an absolute path. */
static json_t *evidence(const struct bh_args *args)
{
	const char *dir = bh_args_get(args, "evidence");
	char cwd[PATH_MAX];

	if (!dir)
		return json_null();
	if (dir[0] == '/' || !getcwd(cwd, sizeof(cwd)))
		return json_string(dir);
	return json_sprintf("%s/%s", cwd, dir);
}

static json_t *allowed(const struct bh_args *args)
{
	json_t *list = json_array();

	for (size_t i = 0; i < args->given.n; i++) {
		if (!strcmp(args->given.v[i].option->name, "allow"))
			json_array_append_new(list, json_string(args->given.v[i].value));
	}
	return list;
}

static int cut(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call call = {.verb = "quarantine", .timeout_ms = 120000};
	const char *pod = bh_args_operand(args, 0);
	const char *reason = NULL;
	uint64_t ttl_ms = 0;
	int r = bh_cli_pod(cli, pod);

	if (!r)
		r = bh_cli_reason(cli, args, &reason);
	if (!r)
		r = bh_cli_duration(cli, args, "ttl", &ttl_ms);
	if (r)
		return r;
	if (bh_args_has(args, "ttl") && ttl_ms < 1000)
		return bh_cli_usage(cli, "--ttl: at least 1s");
	if (bh_args_has(args, "kill") && bh_args_has(args, "freeze"))
		return bh_cli_usage(cli, "--kill and --freeze exclude each other");
	call.take_args = json_pack(
		"{s:s s:s s:o s:o s:b s:b s:o}", "pod", pod, "reason", reason, "ttlSeconds",
		ttl_ms ? json_integer((json_int_t)((ttl_ms + 999) / 1000)) : json_null(), "allow",
		allowed(args), "kill", bh_args_has(args, "kill"), "freeze",
		bh_args_has(args, "freeze"), "evidence", evidence(args));
	if (!call.take_args)
		return bh_cli_usage(cli, "an argument is not UTF-8");
	return bh_cli_call_and_show(cli, call, show_receipt);
}

static int run(struct bh_cli *cli, const struct bh_args *args)
{
	struct bh_call list = {.verb = "quarantine.list"};

	if (!bh_args_has(args, "list") && !args->operands.n)
		return bh_cli_usage(cli, "quarantine needs NAMESPACE/POD, or --list");
	if (!bh_args_has(args, "list"))
		return cut(cli, args);
	if (args->operands.n || args->given.n > 1 + (size_t)bh_args_has(args, "output") +
							(size_t)bh_args_has(args, "socket"))
		return bh_cli_usage(cli, "--list stands alone");
	return bh_cli_call_and_show(cli, list, show_list);
}

const struct bh_command bh_cmd_quarantine = {
	.name = "quarantine",
	.operands = "NS/POD",
	.summary = "cut a pod off at once; prints the receipt (--list: who is)",
	.more = "Overrides every policy in both directions, ends live connections, and outlives "
		"the "
		"daemon. With --ttl it ends by itself, otherwise only with release.",
	.example =
		"bulkhead quarantine shop/web --reason 'beacon to 203.0.113.7' --ttl 2h "
		"--allow 10.0.0.9/32:22/TCP",
	.options = options,
	.min_operands = 0,
	.max_operands = 1,
	.shows = true,
	.run = run,
};
