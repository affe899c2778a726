#include "detect/names.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* one file with many names */
static const char *const many[] = {"busybox", "toybox", "coreutils", NULL};
static const char *const shells[] = {"sh",   "bash", "dash", "ash",  "zsh",   "ksh",
				     "mksh", "fish", "csh",  "tcsh", "rbash", NULL};
static const char *const generic[] = {
	"cat",	   "head",    "tail",	 "less",    "more",  "base64", "base32", "xxd",	   "od",
	"hexdump", "strings", "grep",	 "egrep",   "awk",   "gawk",   "mawk",	 "sed",	   "cp",
	"dd",	   "tar",     "find",	 "tee",	    "curl",  "wget",   "nc",	 "ncat",   "netcat",
	"socat",   "telnet",  "openssl", "mv",	    "rm",    "sort",   "cut",	 "xargs",  "vi",
	"vim",	   "nano",    "ln",	 "nl",	    "tac",   "rev",    "paste",	 "tr",	   "uniq",
	"fold",	   "fmt",     "pr",	 "gzip",    "bzip2", "xz",     "zstd",	 "zip",	   "cpio",
	"rsync",   "scp",     "sftp",	 "diff",    "cmp",   "comm",   "split",	 "csplit", "shuf",
	"ed",	   "view",    "basenc",	 "install", "jq",    "yq",     "expand", "column", "strace",
	"gdb",	   "md5sum",  "ssh",	 "ex",	    NULL};
static const char *const interpreters[] = {"python", "perl", "ruby", "node",  "php", "lua",
					   "tclsh",  "java", "awk",  "socat", NULL};

const char *bh_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool bh_path_fits(const char *path, const char *const *patterns)
{
	for (; *patterns; patterns++) {
		if (!fnmatch(*patterns, path, 0))
			return true;
	}
	return false;
}

bool bh_name_in(const char *name, const char *const *list)
{
	for (; *list; list++) {
		if (!strcmp(*list, name))
			return true;
	}
	return false;
}

const char *bh_act_arg(const struct bh_act_process *p, size_t n)
{
	const char *at = p->args, *end = at ? at + p->args_len : NULL;

	while (at && at < end) {
		const char *nul = memchr(at, 0, (size_t)(end - at));

		/* the last one may have been cut off */
		if (!nul)
			return NULL;
		if (!n--)
			return at;
		at = nul + 1;
	}
	return NULL;
}

const char *bh_act_tool(const struct bh_act_process *p)
{
	const char *base = bh_path_base(p->path), *arg;

	if (!bh_name_in(base, many) && strncmp(base, "xtables-", 8))
		return base;
	arg = bh_act_arg(p, 0);
	if (arg &&
	    (bh_name_in(bh_path_base(arg), many) || !strncmp(bh_path_base(arg), "xtables-", 8)))
		arg = bh_act_arg(p, 1);
	/* only executions tell arguments; the task has the name of the link it was started by */
	if (!arg && !p->args_len && *p->comm)
		arg = p->comm;
	arg = arg ? bh_path_base(arg) : base;
	return *arg == '-' ? arg + 1 : arg;
}

bool bh_tool_is_shell(const char *tool)
{
	return bh_name_in(tool, shells);
}

/* "nc.openbsd" is nc. */
bool bh_tool_is_generic(const char *tool)
{
	char stem[16];

	snprintf(stem, sizeof(stem), "%.*s", (int)strcspn(tool, "."), tool);
	return bh_tool_is_shell(tool) || bh_name_in(stem, generic) || bh_name_in(tool, many);
}

/* "python3.11" is python. */
bool bh_tool_is_interpreter(const char *tool)
{
	const char *const *name;

	for (name = interpreters; *name; name++) {
		size_t n = strlen(*name);

		if (!strncmp(tool, *name, n) && strspn(tool + n, "0123456789.") == strlen(tool + n))
			return true;
	}
	return false;
}

/* `bash -o pipefail`: the next argument is no file. */
static bool takes_value(const char *arg)
{
	static const char *const options[] = {"-o",	  "+o",		 "-O", "+O",
					      "--rcfile", "--init-file", NULL};

	return bh_name_in(arg, options);
}

/* Of a shell's arguments from the i-th none is a text or a file. */
static bool is_without_text(const struct bh_act_process *p, size_t i)
{
	const char *arg;

	for (; (arg = bh_act_arg(p, i)); i++) {
		if (*arg != '-' && *arg != '+')
			return false;
		if (takes_value(arg))
			i++;
		else if (!arg[1])
			return !bh_act_arg(p, i + 1);
		else if (arg[1] == '-')
			continue;
		else if (strchr(arg, 'c'))
			return false;
		else if (*arg == '-' && strchr(arg, 's'))
			return true; /* what follows is for what is read */
	}
	return true;
}

/* `python3`, `python3 -iu`, `perl -`: no text, no module, no file. */
static bool is_asked_to_read(const struct bh_act_process *p)
{
	const char *arg;
	size_t i;

	for (i = 1; (arg = bh_act_arg(p, i)); i++) {
		if (*arg != '-' || arg[1 + strspn(arg + 1, "iuqBEsSI")])
			return false;
	}
	return true;
}

bool bh_act_reads_input(const struct bh_act_process *p)
{
	const char *tool = bh_act_tool(p), *zero = bh_act_arg(p, 0);

	if (!p->args_len || p->stdio[0] == BH_STDIO_NULL || p->stdio[0] == BH_STDIO_UNKNOWN)
		return false;
	if (bh_tool_is_shell(tool))
		return is_without_text(p, zero && bh_name_in(bh_path_base(zero), many) ? 2 : 1);
	return bh_tool_is_interpreter(tool) && strcmp(tool, "java") && strcmp(tool, "socat") &&
	       is_asked_to_read(p);
}

bool bh_act_is_interactive(const struct bh_activity *a)
{
	const struct bh_act_process *p = &a->process;

	if (a->kind != BH_ACT_EXEC || !(p->flags & BH_PROC_FROM_OUTSIDE) ||
	    (p->flags & BH_PROC_CONTAINER_INIT))
		return false;
	/* a shell without a command reads them; `sh -c probe` does not */
	return p->stdio[0] == BH_STDIO_TTY || bh_act_reads_input(p);
}

bool bh_act_is_net_shell(const struct bh_activity *a)
{
	const struct bh_act_process *p = &a->process;
	const char *tool;

	if (a->kind != BH_ACT_EXEC)
		return false;
	tool = bh_act_tool(p);
	if (p->stdio[0] != BH_STDIO_INET && p->stdio[1] != BH_STDIO_INET)
		return p->stdio[2] == BH_STDIO_INET && bh_tool_is_shell(tool);
	/* a shell by another name is not the image's, or it is its name */
	return bh_tool_is_shell(tool) || bh_tool_is_interpreter(tool) ||
	       bh_provenance_is_foreign(p->provenance);
}

const char *bh_path_collapse(const char *path, int depth, char *out, size_t size)
{
	size_t n = 0;

	for (; *path && n + 1 < size; path++) {
		char c = *path;

		if (c == '/' && n && !--depth)
			break;
		if (isdigit((unsigned char)c))
			c = '#';
		if (c != '#' || !n || out[n - 1] != '#')
			out[n++] = c;
	}
	out[n] = '\0';
	return out;
}
