#include "worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534
#define MEMORY (64ul << 20)
#define ADDRESSES                                                                                  \
	(512ul << 20) /* libraries and stacks of resolver threads are mapped, not used             \
		       */
#define STACK	   (1ul << 20)
#define CPU_S	   20
#define MAX_FILES  64
#define OPEN_WRITE (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)

static int set_limits(bool is_lasting, struct bh_err *err)
{
	const struct {
		int what;
		rlim_t max;
	} rows[] = {
		{RLIMIT_DATA, MEMORY},	    {RLIMIT_AS, ADDRESSES},
		{RLIMIT_STACK, STACK},	    {RLIMIT_CPU, is_lasting ? RLIM_INFINITY : CPU_S},
		{RLIMIT_CORE, 0},	    {RLIMIT_FSIZE, 0},
		{RLIMIT_NOFILE, MAX_FILES}, {RLIMIT_MEMLOCK, 0},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct rlimit l = {rows[i].max, rows[i].max};

		if (setrlimit((__rlimit_resource_t)rows[i].what, &l))
			return bh_fail_sys(err, errno, "resource limit %d", rows[i].what);
	}
	/* one arena: every other one would reserve as much address space as the limit has */
	mallopt(M_ARENA_MAX, 1);
	return 0;
}

static int drop_user(struct bh_err *err)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return bh_fail_sys(err, errno, "become nobody");
	return 0;
}

/* Before the user is dropped: it takes a capability, so not everybody can. With no new privileges
 * it changes little. */
static void bound_capabilities(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int drop_capabilities(struct bh_err *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	if (syscall(SYS_capset, &head, none))
		return bh_fail_sys(err, errno, "drop capabilities");
	return 0;
}

/* ---- system calls ---- */

/* What hashing takes: files are given, memory was taken before, an error is said on stderr. */
static const char *const hash_calls[] = {
	"recvmsg",	   "sendto",	   "pread64",	     "fstat",
	"newfstatat",	   "close",	   "write",	     "brk",
	"munmap",	   "futex",	   "exit",	     "exit_group",
	"restart_syscall", "rt_sigreturn", "rt_sigprocmask", "getpid",
	"clock_gettime",
};

/* Those that may be made with any arguments. */
static const char *const plain_calls[] = {
	"read",
	"readv",
	"pread64",
	"write",
	"writev",
	"close",
	"lseek",
	"fstat",
	"stat",
	"lstat",
	"newfstatat",
	"statx",
	"access",
	"faccessat",
	"faccessat2",
	"readlink",
	"readlinkat",
	"getdents64",
	"getcwd",
	"mmap",
	"munmap",
	"mprotect",
	"mremap",
	"madvise",
	"brk",
	"connect",
	"bind",
	"sendto",
	"sendmsg",
	"sendmmsg",
	"recvfrom",
	"recvmsg",
	"recvmmsg",
	"getsockopt",
	"setsockopt",
	"getsockname",
	"getpeername",
	"shutdown",
	"socketpair",
	"pipe2",
	"eventfd2",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"fcntl",
	"futex",
	"set_robust_list",
	"rseq",
	"exit",
	"exit_group",
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"getrandom",
	"getpid",
	"gettid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sigaltstack",
	"restart_syscall",
	"sched_yield",
	"sched_getaffinity",
	"uname",
	"sysinfo",
	"getrlimit",
	"tgkill",
};

static int allow(scmp_filter_ctx f, const char *name, struct bh_err *err)
{
	int nr = seccomp_syscall_resolve_name(name);
	int r = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array(f, SCMP_ACT_ALLOW, nr, 0, NULL);

	/* -EDOM and negative numbers: a name this architecture does not have */
	if (r && nr >= 0)
		return bh_fail(err, -r, "system call filter: %s", name);
	return 0;
}

static int allow_if(scmp_filter_ctx f, int nr, struct scmp_arg_cmp cmp, struct bh_err *err)
{
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 1, cmp);

	return r ? bh_fail(err, -r, "system call filter: number %d", nr) : 0;
}

/* Threads but no processes, sockets of the internet but no others, files to read but not to write.
 */
static int allow_narrowly(scmp_filter_ctx f, struct bh_err *err)
{
	const struct {
		int nr;
		struct scmp_arg_cmp cmp;
	} rows[] = {
		{SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
		{SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET, 0)},
		{SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET6, 0)},
		{SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, OPEN_WRITE, 0)},
		{SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, OPEN_WRITE, 0)},
		{SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONBIO, 0)},
		{SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0)},
		{SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, SIOCOUTQ, 0)},
		{SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0, 0)},
	};
	int r;

	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		if (rows[i].nr < 0)
			continue;
		r = allow_if(f, rows[i].nr, rows[i].cmp, err);
		if (r)
			return r;
	}
	/* glibc then falls back to clone, whose flags can be looked at */
	r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r ? bh_fail(err, -r, "system call filter: clone3") : 0;
}

static int allow_network(scmp_filter_ctx f, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(plain_calls); i++)
		r = allow(f, plain_calls[i], err);
	return r ? r : allow_narrowly(f, err);
}

/* Memory that is not of a file and cannot be executed, and nothing that names a file. */
static int allow_hashing(scmp_filter_ctx f, struct bh_err *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < BH_ARRAY_SIZE(hash_calls); i++)
		r = allow(f, hash_calls[i], err);
	if (r)
		return r;
	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			     SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
	return r ? bh_fail(err, -r, "system call filter: mmap") : 0;
}

static int filter_calls(bool is_hashing, struct bh_err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!f)
		return bh_fail(err, ENOMEM, "system call filter");
	r = is_hashing ? allow_hashing(f, err) : allow_network(f, err);
	if (!r) {
		r = seccomp_load(f);
		if (r)
			r = bh_fail_sys(err, -r, "load the system call filter");
	}
	seccomp_release(f);
	return r;
}

int bh_confine(const struct bh_confine *c, struct bh_err *err)
{
	int r = set_limits(c->is_lasting, err);

	bound_capabilities();
	if (!r && !c->keeps_user)
		r = drop_user(err);
	if (!r)
		r = drop_capabilities(err);
	/* a change of user resets both of these */
	if (!r && (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL) ||
		   prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))
		r = bh_fail_sys(err, errno, "no new privileges");
	return r ? r : filter_calls(c->only_hashes, err);
}
