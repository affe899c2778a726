/* A grace period without standing still. Where we may hurry it (hurry.c) it costs less than a tenth
 * of a millisecond and is simply waited for when it is due. Elsewhere it takes 8 to 20 ms, several
 * times a small publish, and the kernel has no call that waits for RCU in the background: a child
 * process that shares our memory makes the waiting call right after the epoch moved, and the next
 * publish finds it done. */
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

/* Returns true when the child has ended well. */
static bool reap(struct bh_grace *g)
{
	int status = -1;
	pid_t r;

	if (g->pid <= 0)
		return false;
	do
		r = waitpid(g->pid, &status, __WALL);
	while (r < 0 && errno == EINTR);
	g->pid = 0;
	return r > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void bh_dp_grace_begin(struct bh_datapath *dp)
{
	struct bh_grace *g = &dp->grace;
	sigset_t all, old;

	reap(g);
	g->is_owed = true;
	if (g->hurry_fd >= 0)
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
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void bh_dp_grace_end(struct bh_datapath *dp)
{
	struct bh_grace *g = &dp->grace;

	if (!g->is_owed)
		return;
	if (!reap(g))
		bh_datapath_wait_grace(dp);
	g->is_owed = false;
}

void bh_dp_grace_stop(struct bh_datapath *dp)
{
	reap(&dp->grace);
	if (dp->grace.stack)
		munmap(dp->grace.stack, STACK_BYTES);
	dp->grace.stack = NULL;
	bh_closep(&dp->grace.hurry_fd);
}
