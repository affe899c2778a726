/* A grace period without standing still. It takes 8 to 20 ms, several times a small publish, and
 * the kernel has no call that waits for RCU in the background: a child process that shares our
 * memory makes the waiting call right after the epoch moved, and the next publish finds it done.
 * One that comes sooner than that hurries (hurry.c): a tenth of a millisecond on a quiet machine,
 * but several where the processors are busy, so that it is not the rule. */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "datapath/private.h"

#define STACK_BYTES 16384

/* Runs on a stack of its own in our memory: two system calls, nothing else. Its copies of our
 * descriptors go first: should we be killed meanwhile, the next daemon must find no locks. */
static int wait_child(void *arg)
{
	(void)arg;
	syscall(SYS_close_range, 0u, ~0u, 0u);
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0;
}

/* Replacing an element of an array of maps waits until no program can hold the old one. */
static int wait_by_map(void)
{
	struct bpf_map_create_opts opts = {.sz = sizeof(opts)};
	BH_CLEANUP(bh_closep)
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bh_grace", 4, 4, 1, NULL);
	BH_CLEANUP(bh_closep) int outer = -1;
	uint32_t key = 0;

	if (inner < 0)
		return inner;
	opts.inner_map_fd = (uint32_t)inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "bh_grace", 4, 4, 1, &opts);
	if (outer < 0)
		return outer;
	return bpf_map_update_elem(outer, &key, &inner, BPF_ANY);
}

void bh_datapath_wait_grace(struct bh_datapath *dp)
{
	bool has_hurried = bh_dp_hurry_begin(dp);

	/* membarrier is refused on nohz_full machines */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0)
		wait_by_map();
	bh_dp_hurry_end(dp, has_hurried);
}

enum child { NONE, RUNNING, DONE };

/* flags: WNOHANG, or 0 to wait for its end. NONE: there is no child, or it could not do it. */
static enum child reap(struct bh_grace *g, int flags)
{
	int status = -1;
	pid_t r;

	if (g->pid <= 0)
		return NONE;
	do
		r = waitpid(g->pid, &status, __WALL | flags);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return RUNNING;
	g->pid = 0;
	return r > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? DONE : NONE;
}

/* Who can hurry never waits for a child. */
static int patience(const struct bh_grace *g)
{
	return g->hurry_fd >= 0 ? WNOHANG : 0;
}

void bh_dp_grace_begin(struct bh_datapath *dp)
{
	struct bh_grace *g = &dp->grace;
	sigset_t all, old;

	g->is_owed = true;
	g->is_covered = false;
	/* one that still runs began before the epoch moved, and it has the stack */
	if (reap(g, patience(g)) == RUNNING)
		return;
	if (!g->stack) {
		void *p = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

		if (p == MAP_FAILED)
			return; /* then bh_dp_grace_end waits itself */
		g->stack = p;
	}
	/* the child would run our signal handlers in our memory: it gets no signals */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	g->pid = clone(wait_child, (char *)g->stack + STACK_BYTES, CLONE_VM, NULL);
	g->is_covered = g->pid > 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void bh_dp_grace_end(struct bh_datapath *dp)
{
	struct bh_grace *g = &dp->grace;

	if (!g->is_owed)
		return;
	if (!g->is_covered || reap(g, patience(g)) != DONE)
		bh_datapath_wait_grace(dp);
	g->is_owed = g->is_covered = false;
}

void bh_dp_grace_stop(struct bh_datapath *dp)
{
	reap(&dp->grace, 0);
	if (dp->grace.stack)
		munmap(dp->grace.stack, STACK_BYTES);
	dp->grace.stack = NULL;
	bh_closep(&dp->grace.hurry_fd);
}
