/* Loading in a process of its own. To place a tracing program libbpf reads the kernel's types, 6 MB
 * and for a moment twice that, for every object anew: more than all the daemon needs else. A child
 * does it, with a copy of our memory and with our own descriptors, so that what it opens stays open
 * here; what is to be known of it comes back as plain bytes. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/private.h"

struct shared {
	int r;
	struct bh_err err;
	char state[] __attribute__((aligned(16)));
};

static pid_t start(int (*fn)(void *state, struct bh_err *err), struct shared *s)
{
	pid_t parent = getpid();
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0);

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		s->r = fn(s->state, &s->err);
	_exit(0);
}

int bh_dp_apart(int (*fn)(void *state, struct bh_err *err), void *state, size_t n,
		struct bh_err *err)
{
	struct shared *s = mmap(NULL, sizeof(*s) + n, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigset_t all, old;
	pid_t pid;
	int status = -1, r;

	if (s == MAP_FAILED)
		return fn(state, err);
	memcpy(s->state, state, n);
	/* the child would run our handlers, which write into our pipes: it gets no signals */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = start(fn, s);
	while (pid > 0 && waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
		continue;
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (pid < 0) { /* then it costs us the memory */
		r = fn(state, err);
	} else if (!WIFEXITED(status)) {
		r = bh_fail(err, ECHILD, "the process that loads BPF objects was killed");
	} else {
		memcpy(state, s->state, n);
		r = s->r;
		if (r < 0)
			*err = s->err;
	}
	munmap(s, sizeof(*s) + n);
	return r;
}
