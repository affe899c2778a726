/* Grace periods in a hurry, for the moments when somebody stands and waits for one.
 *
 * The kernel waits for a grace period when a TCX link is made or goes and in membarrier; at 250
 * ticks a second that is 5 to 20 ms each. Told to expedite, it interrupts the processors that are
 * busy in the kernel and is done in well under a millisecond. Its network code does exactly that
 * for every device that goes away (synchronize_net under the RTNL lock). The switch is the whole
 * machine's, so it is on for single calls only, and an administrator's settings come first: one who
 * has it on keeps it, and rcu_normal, which forbids expediting, is respected. */
#include <fcntl.h>
#include <unistd.h>

#include "datapath/private.h"

#define SWITCH_PATH "/sys/kernel/rcu_expedited"
#define FORBID_PATH "/sys/kernel/rcu_normal"

static bool is_forbidden(void)
{
	BH_CLEANUP(bh_closep) int fd = open(FORBID_PATH, O_RDONLY | O_CLOEXEC);
	char now = '0';

	return fd >= 0 && pread(fd, &now, 1, 0) == 1 && now != '0';
}

/* '0': off; '1': on; 0: this is not the switch. */
static char state(int fd)
{
	char now;

	return pread(fd, &now, 1, 0) == 1 ? now : 0;
}

void bh_dp_hurry_open(struct bh_datapath *dp)
{
	BH_CLEANUP(bh_closep) int fd = -1;

	if (is_forbidden())
		return;
	fd = open(SWITCH_PATH, O_RDWR | O_CLOEXEC);
	if (fd < 0 || !state(fd))
		return;
	if (dp->config->has_hurried && pwrite(fd, "0", 1, 0) != 1)
		return;
	dp->config->has_hurried = 0;
	dp->grace.hurry_fd = BH_TAKE_FD(fd);
}

bool bh_dp_hurry_begin(struct bh_datapath *dp)
{
	int fd = dp->grace.hurry_fd;

	if (fd < 0 || state(fd) != '0')
		return false;
	/* noted where it outlives us, before it is done */
	__atomic_store_n(&dp->config->has_hurried, 1, __ATOMIC_SEQ_CST);
	return pwrite(fd, "1", 1, 0) == 1;
}

void bh_dp_hurry_end(struct bh_datapath *dp, bool has_begun)
{
	if (has_begun && pwrite(dp->grace.hurry_fd, "0", 1, 0) != 1)
		return;
	__atomic_store_n(&dp->config->has_hurried, 0, __ATOMIC_SEQ_CST);
}
