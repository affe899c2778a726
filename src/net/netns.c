#include "net/visit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include "net/link.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int bh_visit_open(const char *path, int *ret_fd, struct bh_err *err)
{
	/* whatever else the path names (a FIFO), opening it must not wait */
	BH_CLEANUP(bh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct statfs st;

	if (fd < 0)
		return bh_fail_sys(err, errno, "network namespace '%s'", path);
	/* the mount point that stays behind when a namespace goes is an ordinary file */
	if (fstatfs(fd, &st) != 0 || st.f_type != NSFS_MAGIC ||
	    ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return bh_fail(err, ENOENT, "'%s' is not a network namespace", path);
	*ret_fd = BH_TAKE_FD(fd);
	return 0;
}

int bh_visit_enter(int fd, int *ret_home, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0)
		return bh_fail_sys(err, errno, "own network namespace");
	if (setns(fd, CLONE_NEWNET) != 0)
		return bh_fail_sys(err, errno, "enter the network namespace");
	*ret_home = BH_TAKE_FD(home);
	return 0;
}

int bh_visit_leave(int home, int r, struct bh_err *err)
{
	if (setns(home, CLONE_NEWNET) != 0)
		r = bh_fail_sys(err, errno, "return to the own network namespace");
	close(home);
	return r;
}

int bh_visit_cookie(int sock, uint64_t *ret_cookie, struct bh_err *err)
{
	socklen_t len = sizeof(*ret_cookie);

	if (getsockopt(sock, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) != 0)
		return bh_fail_sys(err, errno, "cookie of a network namespace");
	return 0;
}

int bh_netns_cookie(const char *netns_path, uint64_t *ret_cookie, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int ns = -1;
	BH_CLEANUP(bh_closep) int sock = -1;
	int home, r;

	r = bh_visit_open(netns_path, &ns, err);
	if (r)
		return r;
	r = bh_visit_enter(ns, &home, err);
	if (r)
		return r;
	/* not AF_INET: our own socket hook denies those in a quarantined pod */
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		r = bh_fail_sys(err, errno, "socket");
	r = bh_visit_leave(home, r, err);
	if (!r)
		r = bh_visit_cookie(sock, ret_cookie, err);
	return r ? bh_note(err, r, "network namespace '%s'", netns_path) : 0;
}
