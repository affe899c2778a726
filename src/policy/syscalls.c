#include "policy/syscalls.h"

#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

int bh_syscall_number(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	/* pseudo numbers, for calls that other machines have, are negative too */
	return nr < 0 ? -1 : nr;
}

bool bh_syscall_exists(const char *name)
{
	return seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
}

const char *bh_syscall_name(int number, char *out, size_t size)
{
	BH_CLEANUP(bh_freep)
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

	if (!name)
		return NULL;
	snprintf(out, size, "%s", name);
	return out;
}

/* ---- i386 ---- */

static int native(const char *name)
{
	int nr = name ? bh_syscall_number(name) : -1;

	return nr > 0 ? nr : 0;
}

/* What has another name there, and is no older or wider form that the name itself shows. */
static const char *other_name(const char *name)
{
	static const struct {
		const char *there, *here;
	} names[] = {
		{"_llseek", "lseek"},
		{"_newselect", "select"},
		{"mmap2", "mmap"},
		{"olduname", "uname"},
		{"oldolduname", "uname"},
		{"readdir", "getdents"},
		{"sigaction", "rt_sigaction"},
		{"signal", "rt_sigaction"},
		{"sigpending", "rt_sigpending"},
		{"sigprocmask", "rt_sigprocmask"},
		{"sigreturn", "rt_sigreturn"},
		{"sigsuspend", "rt_sigsuspend"},
		{"stime", "settimeofday"},
		{"ugetrlimit", "getrlimit"},
		{"umount", "umount2"},
		{"waitpid", "wait4"},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		if (!strcmp(name, names[i].there))
			return names[i].here;
	return NULL;
}

/* stat64, setuid32, futex_time64, fstatat64 and oldstat are stat, setuid, futex, newfstatat, stat.
 */
static int by_form(const char *name)
{
	static const char *const ends[] = {"_time64", "64", "32"};
	char text[64];

	if (!strncmp(name, "old", 3))
		return native(name + 3);
	for (size_t i = 0; i < BH_ARRAY_SIZE(ends); i++) {
		size_t n = strlen(name), end = strlen(ends[i]);

		if (n <= end || strcmp(name + n - end, ends[i]))
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)(n - end), name);
		return native(strcmp(text, "fstatat") ? text : "newfstatat");
	}
	return 0;
}

int bh_syscall_of_i386(unsigned number)
{
	BH_CLEANUP(bh_freep)
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86, (int)number);
	int nr = native(name);

	if (!name || nr)
		return nr;
	nr = native(other_name(name));
	return nr ? nr : by_form(name);
}

int bh_syscall_of_socketcall(unsigned part)
{
	static const char *const names[] = {
		NULL,	       "socket",      "bind",	    "connect",	  "listen",   "accept",
		"getsockname", "getpeername", "socketpair", "sendto",	  "recvfrom", "sendto",
		"recvfrom",    "shutdown",    "setsockopt", "getsockopt", "sendmsg",  "recvmsg",
		"accept4",     "recvmmsg",    "sendmmsg"};

	return part < BH_ARRAY_SIZE(names) ? native(names[part]) : 0;
}

int bh_syscall_of_ipc(unsigned part)
{
	static const char *const names[] = {
		[1] = "semop",	 [2] = "semget",  [3] = "semctl",  [4] = "semtimedop",
		[11] = "msgsnd", [12] = "msgrcv", [13] = "msgget", [14] = "msgctl",
		[21] = "shmat",	 [22] = "shmdt",  [23] = "shmget", [24] = "shmctl"};

	return part < BH_ARRAY_SIZE(names) ? native(names[part]) : 0;
}
