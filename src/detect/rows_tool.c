/* rows_tool.c - tools that a running container has no business with. */
#include <stdio.h>
#include <string.h>

#include "detect/rows.h"

#define MAX_ARGS 24

/* true when one of the arguments is in the list. */
static bool asks_for(const struct bh_act_process *p, const char *const *verbs)
{
	const char *arg;
	size_t i;

	for (i = 1; i < MAX_ARGS && (arg = bh_act_arg(p, i)); i++) {
		if (bh_name_in(arg, verbs))
			return true;
	}
	return false;
}

/* `dpkg -S FILE`, `rpm -q -i NAME`, `apk info -R NAME`: the same letters ask elsewhere. */
static bool is_question(const struct bh_act_process *p)
{
	static const char *const words[] = {"-S", "--search", "-V",	"--verify", "--query", "-L",
					    "-s", "info",     "search", "list",	    NULL};
	const char *tool = bh_act_tool(p), *first = bh_act_arg(p, 1);

	if (!first || !strcmp(tool, "pacman"))
		return false;
	return !strncmp(first, "-q", 2) || bh_name_in(first, words);
}

bool bh_act_changes_packages(const struct bh_act_process *p)
{
	static const char *const managers[] = {"apt",	 "apt-get", "aptitude", "dpkg", "apk",
					       "yum",	 "dnf",	    "microdnf", "rpm",	"zypper",
					       "pacman", "snap",    NULL};
	/* what changes the container; lists and queries are what scanners do */
	static const char *const verbs[] = {"install",	    "add",	    "upgrade",
					    "dist-upgrade", "full-upgrade", "update",
					    "remove",	    "purge",	    "del",
					    "erase",	    "reinstall",    "localinstall",
					    "groupinstall", "-i",	    "--install",
					    "--unpack",	    "--configure",  "-U",
					    "-e",	    "-r",	    "-P",
					    "--purge",	    "--remove",	    "autoremove",
					    "-S",	    "-Sy",	    "-Syu",
					    "-R",	    "in",	    "rm",
					    "-ivh",	    "-Uvh",	    NULL};

	return bh_name_in(bh_act_tool(p), managers) && asks_for(p, verbs) && !is_question(p);
}

bool bh_act_compiles(const struct bh_act_process *p)
{
	static const char *const compilers[] = {"cc1",	 "cc1plus", "f951",    "clang",
						"rustc", "javac",   "compile", NULL};

	return p->provenance == BH_PROV_IMAGE && bh_name_in(bh_act_tool(p), compilers);
}

/* The managers of languages: `pip install`, `python3 -m pip install`, `npm install`. What they do
 * while a container starts is what virtual environments are made of. */
static const char *language_manager(const struct bh_act_process *p)
{
	static const char *const managers[] = {"pip",  "pip3", "npm",	"npx",	  "yarn",
					       "pnpm", "gem",  "conda", "poetry", NULL};
	static const char *const verbs[] = {"install", "uninstall", "add", "remove", "i", NULL};
	const char *first = bh_act_arg(p, 1), *name = bh_act_tool(p);

	if (bh_tool_is_interpreter(name) && first && !strcmp(first, "-m"))
		first = bh_act_arg(p, 2);
	if (bh_tool_is_interpreter(name))
		name = first ? bh_path_base(first) : "";
	return bh_name_in(name, managers) && asks_for(p, verbs) ? name : NULL;
}

bool bh_row_package_manager(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	const char *tool = bh_act_changes_packages(p) ? bh_act_tool(p) : NULL;
	bool is_language = !tool;

	if (is_language)
		tool = language_manager(p);
	if (!tool)
		return false;
	bh_judge_weigh(j);
	if (is_language && j->is_starting)
		j->severity = BH_SEVERITY_INFO;
	j->pod->is_built |= !is_language && j->is_starting;
	bh_judge_key(j, "packages");
	bh_judge_say(j, "packages of the running container are being changed with %s", tool);
	return true;
}

bool bh_row_preload_env(struct bh_judge *j)
{
	static const char *const forcing[] = {"--preload", "--audit", NULL};
	const struct bh_act_process *p = &j->a->process;
	struct bh_proc *setter;

	/* the loader is asked itself */
	if (!strncmp(bh_path_base(p->path), "ld-", 3) && asks_for(p, forcing)) {
		bh_judge_weigh(j);
		bh_judge_key(j, "argument %s", p->path);
		bh_judge_say(j, "%s was told to force a library into a program", p->path);
		return true;
	}
	/* images set it for an allocator: then the first process has it, and all others from it */
	if (!(p->flags & BH_PROC_LD_PRELOAD) || !j->proc || j->proc->was_preloaded ||
	    (p->flags & (BH_PROC_CONTAINER_INIT | BH_PROC_FROM_OUTSIDE)) || !p->parent_exec_id)
		return false;
	bh_judge_weigh(j);
	/* whoever sets it sets it for all that he starts */
	bh_judge_key(j, "environment %s", j->a->parent.path);
	setter = bh_proc_find(j->d, j->a->process.parent_exec_id);
	if (j->is_starting && setter)
		setter->line |= BH_LINE_PRELOADED;
	bh_judge_say(j, "%s was started with a library forced into it through the environment",
		     p->path);
	return true;
}

#define FAMILY_NETLINK 16
#define NETFILTER      12

/* The tools are judged by what they are asked for; who needs none of them speaks to the kernel
 * himself. */
static bool is_netfilter_by_hand(const struct bh_activity *a)
{
	static const char *const readers[] = {"nft",	   "ss",	 "ip",	       "ipset",
					      "conntrack", "conntrackd", "ulogd",      "firewalld",
					      "tcpdump",   "dumpcap",	 "tshark",     "ufw",
					      "ebtables",  "arptables",	 "keepalived", NULL};
	const char *tool = bh_act_tool(&a->process);

	return a->u.socket.family == FAMILY_NETLINK && a->u.socket.protocol == NETFILTER && *tool &&
	       !bh_name_in(tool, readers) && strncmp(tool, "ip", 2) != 0 &&
	       strncmp(tool, "xtables-", 8) != 0 && strncmp(tool, "nft", 3) != 0;
}

/* "iptables-legacy-restore" is iptables-restore, "ip6tables-nft" ip6tables. */
static const char *without_kind(const char *tool, char out[32])
{
	static const char *const kinds[] = {"-legacy", "-nft", NULL};
	const char *const *kind;

	for (kind = kinds; *kind; kind++) {
		const char *at = strstr(tool, *kind);

		if (!at)
			continue;
		snprintf(out, 32, "%.*s%s", (int)(at - tool), tool, at + strlen(*kind));
		return out;
	}
	return tool;
}

bool bh_row_firewall(struct bh_judge *j)
{
	static const char *const tools[] = {"iptables",
					    "ip6tables",
					    "ebtables",
					    "arptables",
					    "nft",
					    "ipset",
					    "tc",
					    "ufw",
					    "firewall-cmd",
					    "ifconfig",
					    "route",
					    "iptables-restore",
					    "ip6tables-restore",
					    NULL};
	static const char *const verbs[] = {
		"-A",	    "-I",     "-D",	  "-F",	      "-X",	  "-P",
		"-N",	    "-R",     "--append", "--insert", "--delete", "--flush",
		"--policy", "add",    "delete",	  "del",      "flush",	  "insert",
		"replace",  "change", "create",	  "destroy",  "disable",  "-f",
		"--file",   "down",   "up",	  "netmask",  NULL};
	static const char *const ip_verbs[] = {"add", "del",   "delete", "replace", "change",
					       "set", "flush", "append", "prepend", NULL};
	const struct bh_act_process *p = &j->a->process;
	char name[32];
	const char *tool = without_kind(bh_act_tool(p), name);
	bool restores = strstr(tool, "-restore");
	bool is_ip = !strcmp(tool, "ip");

	if (j->a->kind == BH_ACT_SOCKET) {
		if (!is_netfilter_by_hand(j->a))
			return false;
		bh_judge_weigh(j);
		bh_judge_key(j, "netfilter %s", p->path);
		bh_judge_say(j, "%s speaks to the kernel's packet filter itself", p->path);
		return true;
	}
	if (!is_ip && !bh_name_in(tool, tools))
		return false;
	if (!restores && !asks_for(p, is_ip ? ip_verbs : verbs))
		return false;
	bh_judge_weigh(j);
	/* init containers of meshes set up both families */
	bh_judge_key(j, "%s", j->is_starting ? "starting" : tool);
	bh_judge_say(j, "%s changes the rules of the pod's network", tool);
	return true;
}

bool bh_row_nsenter(struct bh_judge *j)
{
	static const char *const tools[] = {"nsenter", "ctr",	 "crictl",  "runc",
					    "docker",  "podman", "nerdctl", NULL};
	const char *tool = bh_act_tool(&j->a->process);

	if (!bh_name_in(tool, tools))
		return false;
	bh_judge_weigh(j);
	bh_judge_key(j, "%s", tool);
	bh_judge_say(j, "%s, a tool for entering other namespaces, was started", tool);
	return true;
}
