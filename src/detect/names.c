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

bool bh_act_is_interactive(const struct bh_activity *a)
{
	const struct bh_act_process *p = &a->process;

	if (a->kind != BH_ACT_EXEC || !(p->flags & BH_PROC_FROM_OUTSIDE) ||
	    (p->flags & BH_PROC_CONTAINER_INIT))
		return false;
	if (p->stdio[0] == BH_STDIO_TTY)
		return true;
	/* a shell without a command reads them; `sh -c probe` does not */
	return bh_tool_is_shell(bh_act_tool(p)) && p->args_len && !bh_act_arg(p, 1) &&
	       (p->stdio[0] == BH_STDIO_PIPE || p->stdio[0] == BH_STDIO_UNIX);
}

bool bh_act_is_net_shell(const struct bh_activity *a)
{
	const struct bh_act_process *p = &a->process;
	const char *tool;

	if (a->kind != BH_ACT_EXEC ||
	    (p->stdio[0] != BH_STDIO_INET && p->stdio[1] != BH_STDIO_INET))
		return false;
	tool = bh_act_tool(p);
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
