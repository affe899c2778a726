/* rows_secret.c - secrets read by somebody who is not their user. */
#include <stdlib.h>
#include <string.h>

#include "detect/rows.h"

/* true when a program of the image that is not a general tool reads it: that is what it is for. */
static bool is_its_user(const struct bh_judge *j, const char *const *users)
{
	const struct bh_act_process *p = &j->a->process;
	const char *tool = bh_act_tool(p), *name = j->proc ? j->proc->name : "";

	if (bh_provenance_is_foreign(p->provenance) ||
	    bh_provenance_is_foreign(p->script_provenance) ||
	    (bh_judge_is_tainted(j) && !bh_judge_is_helper(j)))
		return false;
	if (users)
		return bh_name_in(tool, users) || bh_name_in(name, users);
	return !bh_tool_is_generic(tool) && !bh_tool_is_generic(name) &&
	       !(j->proc && (j->proc->line & BH_LINE_INLINE));
}

static bool raise_secret(struct bh_judge *j, const char *what)
{
	const char *path = j->a->u.file.path;

	if (!bh_judge_is_helper(j))
		bh_judge_weigh(j);
	bh_judge_key(j, "%s %s", what, bh_path_base(j->a->process.path));
	bh_judge_say(j, "%s read %s: %s", *j->a->process.path ? j->a->process.path : "a process",
		     what, path);
	return true;
}

/* It is read, or put elsewhere under another name. Whoever writes it anew renames within. */
static bool is_taken(const struct bh_act_file *f, const char *const *files)
{
	bool is_moved = (f->op == BH_FILE_RENAME || f->op == BH_FILE_LINK) && !f->is_symbolic;

	return (f->op == BH_FILE_READ || (is_moved && !bh_path_fits(f->target, files))) &&
	       bh_path_fits(f->path, files);
}

bool bh_row_token(struct bh_judge *j)
{
	static const char *const files[] = {"*/secrets/kubernetes.io/serviceaccount/*token",
					    "*/secrets/eks.amazonaws.com/serviceaccount/token",
					    "*/secrets/azure/tokens/*",
					    "*/.kube/config",
					    "*/.aws/credentials",
					    "*/.config/gcloud/*credentials*",
					    "*/.azure/*",
					    "*/.docker/config.json",
					    NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (!is_taken(f, files) || is_its_user(j, NULL))
		return false;
	return raise_secret(j, "an identity of the pod");
}

bool bh_row_ssh_key(struct bh_judge *j)
{
	static const char *const files[] = {"*/.ssh/*", "/etc/ssh/ssh_host_*_key", NULL};
	/* what else lies there; agents' sockets are no files */
	static const char *const others[] = {"*.pub",
					     "*/.ssh/known_hosts*",
					     "*/.ssh/authorized_keys*",
					     "*/.ssh/config*",
					     "*/.ssh/environment",
					     "*/.ssh/rc",
					     NULL};
	static const char *const keys[] = {
		"/etc/ssl/private/*", "/etc/pki/tls/private/*", "*/tls.key", "*/privkey.pem",
		"*/server.key",	      "*/client.key",		"*/ca.key",  NULL};
	static const char *const users[] = {"ssh",	  "sshd",    "sshd-session", "sshd-auth",
					    "ssh-keygen", "ssh-add", "ssh-agent",    "ssh-keysign",
					    "scp",	  "sftp",    "git",	     NULL};
	const struct bh_act_file *f = &j->a->u.file;

	/* a server's own is read by the server */
	if (is_taken(f, keys) && !is_its_user(j, NULL))
		return raise_secret(j, "a private key");
	if (!is_taken(f, files) || bh_path_fits(f->path, others) || is_its_user(j, users))
		return false;
	return raise_secret(j, "a private key");
}

/* Its getpwnam() asks for both files, whatever the image's script wants to know. */
static bool is_script_of_perl(const struct bh_judge *j)
{
	static const char *const users[] = {"perl", NULL};

	return j->proc && *j->proc->name && !(j->proc->line & BH_LINE_INLINE) &&
	       is_its_user(j, users);
}

bool bh_row_shadow(struct bh_judge *j)
{
	static const char *const files[] = {"/etc/shadow*", "/etc/gshadow*", "*/opasswd", NULL};
	static const char *const users[] = {"login",
					    "su",
					    "sudo",
					    "passwd",
					    "sshd",
					    "sshd-session",
					    "cron",
					    "crond",
					    "unix_chkpwd",
					    "useradd",
					    "userdel",
					    "usermod",
					    "groupadd",
					    "groupdel",
					    "groupmod",
					    "gpasswd",
					    "chpasswd",
					    "chage",
					    "adduser",
					    "addgroup",
					    "deluser",
					    "pwck",
					    "vipw",
					    "dovecot",
					    "auth",
					    "vsftpd",
					    "proftpd",
					    "saslauthd",
					    "systemd-sysusers",
					    "shadowconfig",
					    "newusers",
					    "nscd",
					    "atd",
					    "runuser",
					    "chsh",
					    "chfn",
					    "smbd",
					    "pdbedit",
					    "polkit-agent-helper-1",
					    NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (!is_taken(f, files) || is_its_user(j, users))
		return false;
	if (f->op == BH_FILE_READ && is_script_of_perl(j))
		j->severity = BH_SEVERITY_LOW;
	return raise_secret(j, "the password file");
}

bool bh_row_environ(struct bh_judge *j)
{
	static const char *const files[] = {"/proc/[0-9]*/environ", NULL};
	static const char *const users[] = {"ps",    "pgrep",	  "pkill",   "top", "htop",
					    "pidof", "systemctl", "killall", NULL};
	const struct bh_act_file *f = &j->a->u.file;

	if (f->op != BH_FILE_READ || !bh_path_fits(f->path, files) || is_its_user(j, users))
		return false;
	/* its own; pid is the host's view, so this only helps where both views agree */
	if ((uint32_t)strtoul(f->path + 6, NULL, 10) == j->a->process.pid)
		return false;
	return raise_secret(j, "the environment of another process");
}

bool bh_row_metadata(struct bh_judge *j)
{
	static const char *const addresses[] = {"169.254.169.254",
						"169.254.170.2",
						"fd00:ec2::254",
						"100.100.100.200",
						"168.63.129.16",
						"169.254.169.123",
						"fd20:ce::254",
						"fe80::a9fe:a9fe",
						"169.254.170.23",
						"fd00:ec2::23",
						"192.0.0.192",
						"169.254.0.23",
						NULL};
	const struct bh_act_edge *e = &j->a->u.edge;
	char ip[BH_IP_TEXT];

	bh_ip_format(&e->remote, ip);
	if (!e->is_egress || !bh_name_in(ip, addresses))
		return false;
	/* the clock of one cloud lives beside its metadata */
	if (!strcmp(ip, "169.254.169.123") && e->port == 123)
		return false;
	if (*j->a->process.path && is_its_user(j, NULL))
		j->severity = BH_SEVERITY_LOW;
	bh_judge_weigh(j);
	bh_judge_key(j, "%s %s", ip, bh_path_base(j->a->process.path));
	bh_judge_say(j, "%s %s the cloud's metadata service at %s",
		     *j->a->process.path ? j->a->process.path : "the pod",
		     e->is_denied ? "tried to reach" : "asked", ip);
	return true;
}
