/* rows_exec.c - code that is not from the image, and programs where they should not be. */
#include <stdio.h>
#include <string.h>

#include "detect/rows.h"

static const char *const scratch[] = {"/tmp/*", "/var/tmp/*", "/dev/shm/*",
				      "/run/*", "/var/run/*", NULL};
/* below /run, where supervisors keep the programs of their services */
static const char *const services[] = {"/run/?*/*", "/var/run/?*/*", NULL};
static const char *const shm[] = {"/dev/shm/*", "/run/shm/*", "/tmp/*", "/var/tmp/*", NULL};

static void directory(const char *path, char *out, size_t size)
{
	char file[BH_FINDING_KEY];
	const char *base = bh_path_base(path);
	int n = (int)(base - path);

	/* a file's own name counts where nothing but its directory would be left */
	if (bh_path_fits(path, scratch) || n <= 1) {
		bh_path_collapse(path, 3, out, size);
		return;
	}
	snprintf(file, sizeof(file), "%.*s", n - 1, path);
	bh_path_collapse(file, 2, out, size);
}

/* What a container unpacks while it starts it may go on running; it stays worth a look, but a
 * graver word is for code that came later. Scratch directories are where everything lands, so they
 * never count as unpacked. */
static uint64_t directory_id(const char *path)
{
	static const char *const deep[] = {"/var/*", NULL};
	/* of others, as /app, everything below is one application */
	static const char *const shared[] = {"/bin/*",	 "/etc/*", "/home/*", "/lib/*",	 "/lib64/*",
					     "/media/*", "/mnt/*", "/opt/*",  "/?oot/*", "/run/*",
					     "/sbin/*",	 "/srv/*", "/usr/*",  NULL};
	int depth = bh_path_fits(path, deep) ? 3 : bh_path_fits(path, shared) ? 2 : 1;
	int n = (int)(bh_path_base(path) - path);
	char file[BH_FINDING_KEY], dir[BH_FINDING_KEY];

	snprintf(file, sizeof(file), "%.*s", n > 1 ? n - 1 : (int)strlen(path), path);
	bh_path_collapse(file, depth, dir, sizeof(dir));
	return bh_hash(dir, strlen(dir), 3);
}

static bool is_scratch(const char *path)
{
	return bh_path_fits(path, scratch) && !bh_path_fits(path, services);
}

static bool came_at_start(struct bh_judge *j, const char *path)
{
	if (is_scratch(path))
		return j->is_starting;
	return bh_unpacked_has(j->pod, directory_id(path), j->is_starting) &&
	       !bh_judge_is_tainted(j);
}

void bh_code_note(struct bh_judge *j)
{
	static const char *const code[] = {"*/bin/*", "*/sbin/*", "*.so", "*.so.*", NULL};
	const struct bh_act_file *f = &j->a->u.file;
	const char *path = *f->target ? f->target : f->path;
	const uint32_t runnable = BH_MADE_WRITTEN | BH_MADE_EXECUTABLE;
	bool is_packaged = j->pod->is_built && j->proc && (j->proc->line & BH_LINE_PACKAGES) &&
			   !bh_judge_is_tainted(j);

	if ((j->is_starting || is_packaged) && !is_scratch(path) &&
	    (bh_path_fits(path, code) ||
	     (bh_made_stage(j->pod, j->a, BH_S) & runnable) == runnable))
		bh_unpacked_has(j->pod, directory_id(path), true);
}

static bool is_dropped(enum bh_provenance p)
{
	return p == BH_PROV_MODIFIED || p == BH_PROV_NEW;
}

bool bh_code_is_unpacked(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	bool is_script = *p->script && p->script_provenance != BH_PROV_UNKNOWN;

	if (j->a->kind == BH_ACT_MAP_EXEC)
		return came_at_start(j, j->a->u.map.path);
	return (is_script ? p->script_provenance : p->provenance) != BH_PROV_MEMFD &&
	       came_at_start(j, is_script ? p->script : p->path);
}

bool bh_code_is_own(struct bh_judge *j)
{
	const struct bh_activity *a = j->a;
	const struct bh_proc *parent;
	uint64_t by;

	if (a->kind != BH_ACT_MAP_EXEC || a->process.provenance != BH_PROV_IMAGE || !j->proc ||
	    bh_judge_is_tainted(j) || bh_tool_is_generic(bh_act_tool(&a->process)) ||
	    (j->proc->line & (BH_LINE_INLINE | BH_LINE_ENTERED)))
		return false;
	by = bh_made_by(j->pod, a);
	if (!by || by == a->process.exec_id)
		return by;
	parent = by == j->proc->parent_exec_id ? bh_proc_find(j->d, by) : NULL;
	return parent && parent->file && parent->file == j->proc->file;
}

static bool raise_code(struct bh_judge *j, const char *path, enum bh_provenance p, const char *verb)
{
	char dir[BH_FINDING_KEY];

	directory(path, dir, sizeof(dir));
	bh_judge_key(j, "%s %s", bh_provenance_name(p), dir);
	/* a virtual environment is many directories, and those of its builds have random names */
	if (came_at_start(j, path)) {
		/* whoever builds an image tries what he installed */
		j->severity = j->pod->is_built ? BH_SEVERITY_INFO : BH_SEVERITY_MEDIUM;
		bh_judge_key(j, "unpacked");
	} else if (bh_code_is_own(j)) {
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_key(j, "own %s", j->a->process.path);
	}
	bh_judge_say(j, "%s was %s, which is not the image's (%s)", path, verb,
		     bh_provenance_name(p));
	return true;
}

bool bh_row_foreign_code(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;

	if (j->a->kind == BH_ACT_EXEC) {
		/* a file without a name is the fileless row's */
		if (is_dropped(p->provenance) && !(p->flags & BH_PROC_UNLINKED))
			return raise_code(j, p->path, p->provenance, "executed");
		if (is_dropped(p->script_provenance))
			return raise_code(j, p->script, p->script_provenance, "run as a script");
		return false;
	}
	if (!is_dropped(j->a->u.map.provenance) && j->a->u.map.provenance != BH_PROV_TMPFS)
		return false;
	if (j->a->u.map.is_shared) {
		/* loaders map privately; compilers at run time map a nameless file twice */
		if (!*j->a->u.map.path || strstr(j->a->u.map.path, " (deleted)"))
			return false;
		raise_code(j, j->a->u.map.path, j->a->u.map.provenance, "mapped as code");
		j->severity = BH_SEVERITY_LOW;
		return true;
	}
	return raise_code(j, j->a->u.map.path, j->a->u.map.provenance, "mapped as code");
}

bool bh_row_fileless(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;

	if (j->a->kind == BH_ACT_MAP_EXEC) {
		if (j->a->u.map.provenance != BH_PROV_MEMFD || j->a->u.map.is_shared)
			return false;
		bh_judge_key(j, "map %s", p->path);
		bh_judge_say(j, "%s loaded a library from memory, without a file", p->path);
		return true;
	}
	if (p->provenance == BH_PROV_MEMFD || p->script_provenance == BH_PROV_MEMFD) {
		bh_judge_key(j, "exec %s", j->a->parent.path);
		bh_judge_say(j, "%s executed a program from memory, without a file",
			     *j->a->parent.path ? j->a->parent.path : "a process");
		return true;
	}
	if (!(p->flags & BH_PROC_UNLINKED) || !bh_provenance_is_foreign(p->provenance))
		return false;
	bh_judge_key(j, "unlinked %s", j->a->parent.path);
	bh_judge_say(j, "a program was executed whose file has been removed (%s)", p->path);
	return true;
}

bool bh_row_tmpfs_exec(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	bool is_script = p->script_provenance == BH_PROV_TMPFS;
	const char *path = is_script ? p->script : p->path;
	bool is_shm = bh_path_fits(path, shm);

	if ((p->provenance != BH_PROV_TMPFS && !is_script) || (p->flags & BH_PROC_UNLINKED))
		return false;
	bh_path_collapse(path, 3, j->key, sizeof(j->key));
	if (!is_shm || j->is_starting)
		j->severity = BH_SEVERITY_MEDIUM;
	/* where supervisors keep what they start */
	if (!is_shm && came_at_start(j, path))
		bh_judge_key(j, "unpacked");
	bh_judge_say(j, "%s was executed from a file system in memory", path);
	return true;
}

/* ---- names that pretend ---- */

static const char *const daemons[] = {
	"sshd",	   "systemd",	  "systemd-journald", "systemd-udevd", "systemd-logind",
	"cron",	   "crond",	  "kubelet",	      "containerd",    "dockerd",
	"runc",	   "dbus-daemon", "rsyslogd",	      "agetty",	       "kthreadd",
	"kworker", "ksoftirqd",	  "migration",	      "rcu_sched",     "watchdogd",
	NULL};

static bool is_hidden(const char *path)
{
	const char *dot = strstr(path, "/.");

	return dot && dot[2] && dot[2] != '/' &&
	       (bh_path_fits(path, scratch) || !strchr(dot + 2, '/'));
}

/* Latin letters with Greek or Cyrillic ones among them, which look the same. */
static bool is_mixed(const char *name)
{
	bool has_latin = false, has_other = false;

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		has_latin |= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		has_other |= c >= 0xcd && c <= 0xd3;
	}
	return has_latin && has_other;
}

/* Unicode's spaces, marks of direction, joiners, and what else has no shape, in UTF-8. */
static bool has_blank(const char *name)
{
	static const char *const blanks[] = {"\xc2\xa0",     "\xc2\xad",     "\xe2\x81\xa0",
					     "\xe2\x81\x9f", "\xe3\x80\x80", "\xef\xbb\xbf"};
	const char *at = name;
	size_t i;

	for (i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
		if (strstr(name, blanks[i]))
			return true;
	}
	while ((at = strstr(at, "\xe2\x80"))) {
		unsigned char c = (unsigned char)at[2];

		if ((c >= 0x80 && c <= 0x8f) || (c >= 0xa8 && c <= 0xaf))
			return true;
		at += 2;
	}
	return false;
}

/* Spaces at the end and characters that change direction, show nothing or look like others. */
static bool is_deceptive(const char *name)
{
	size_t n = strlen(name);

	return (n && name[n - 1] == ' ') || has_blank(name) || strpbrk(name, "\t\n\r\x1b") ||
	       is_mixed(name);
}

/* "/usr/sbin/sshd -D" and "sshd: root" say the same name. */
static const char *first_word(const char *zero, char out[64])
{
	const char *base;

	snprintf(out, 64, "%.*s", (int)strcspn(zero, " :"), zero);
	base = bh_path_base(out);
	return base;
}

/* A program of the image gets another name outside of where programs are. */
static bool is_renamed_program(const struct bh_act_file *f)
{
	static const char *const dirs[] = {"/bin/*",	  "/sbin/*",	      "/usr/bin/*",
					   "/usr/sbin/*", "/usr/local/bin/*", NULL};

	return f->op == BH_FILE_LINK && !f->is_symbolic && bh_path_fits(f->path, dirs) &&
	       !bh_path_fits(f->target, dirs) &&
	       strcmp(bh_path_base(f->path), bh_path_base(f->target)) != 0;
}

static bool pretend(struct bh_judge *j, const char *what)
{
	bh_judge_key(j, "%s", j->a->process.path);
	bh_judge_say(j, "%s: %s", j->a->process.path, what);
	return true;
}

/* "[kworker/0:1]", with whatever blanks around it. */
static bool is_like_thread(const char *zero)
{
	size_t n;

	zero += strspn(zero, " \t");
	n = strlen(zero);
	while (n && strchr(" \t", zero[n - 1]))
		n--;
	return n > 2 && zero[0] == '[' && zero[n - 1] == ']';
}

/* "[celeryd: worker@host]": services that say what they do; a thread's name is one word. Of what is
 * said the kernel keeps 15 bytes. */
static bool is_title(const char *name)
{
	const char *colon = strstr(name, ": ");
	size_t n = colon ? (size_t)(colon - name) : 0;
	char word[64];

	if (*name != '[' || n < 3 || n > 13 || strcspn(name, "]/ ") < n)
		return false;
	return !bh_name_in(first_word(name + 1, word), daemons);
}

bool bh_row_masquerade(struct bh_judge *j)
{
	const struct bh_act_process *p = &j->a->process;
	const char *base = bh_path_base(p->path), *zero = bh_act_arg(p, 0);
	bool is_foreign = bh_provenance_is_foreign(p->provenance);
	char word[64];

	if (j->a->kind == BH_ACT_NAME) {
		if (is_title(j->a->u.name) && !is_foreign && !bh_judge_is_tainted(j))
			return false;
		bh_judge_key(j, "%s", p->path);
		bh_judge_say(j, "%s calls itself like a thread of the kernel: %s", p->path,
			     j->a->u.name);
		return true;
	}
	if (j->a->kind == BH_ACT_FILE) {
		if (!is_renamed_program(&j->a->u.file))
			return false;
		j->severity = BH_SEVERITY_MEDIUM;
		bh_judge_weigh(j);
		bh_judge_key(j, "%s", j->a->u.file.target);
		bh_judge_say(j, "%s gave the program %s another name: %s", p->path,
			     j->a->u.file.path, j->a->u.file.target);
		return true;
	}
	if ((zero && is_like_thread(zero) && strcmp(base, "[")) ||
	    (is_foreign && is_like_thread(base)))
		return pretend(j, "it calls itself like a thread of the kernel");
	if (!is_foreign)
		j->severity = BH_SEVERITY_MEDIUM;
	if (is_deceptive(base) || (is_foreign && strstr(p->path, " /")))
		return pretend(j, "its name is made to be misread");
	if (is_foreign && bh_name_in(base, daemons))
		return pretend(j, "it has the name of a system program");
	if (is_foreign && is_hidden(p->path))
		return pretend(j, "it is hidden");
	if (zero)
		zero = first_word(zero, word);
	if (!zero || !bh_name_in(zero, daemons))
		return false;
	/* a daemon under a second name is a link in the image; systemd is called many things */
	if (!strcmp(base, zero) || !strncmp(base, zero, 4) || strcmp(base, bh_act_tool(p)))
		return false;
	return pretend(j, "it calls itself like a system program");
}
