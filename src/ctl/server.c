#include "ctl/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/json.h"
#include "ctl/conn.h"
#include "ctl/frame.h"

#define ACCEPTS_PER_WAKE 32
#define ACCEPT_PAUSE_MS	 200
#define BACKLOG		 512
#define LONG_MS		 (365ull * 24 * 3600 * 1000)

struct bh_server {
	int fd;
	char *path;
	dev_t dev;
	ino_t ino; /* 0: not bound */
	gid_t group;
	struct bh_source *watch, *resume;
	struct bh_conn_list conns;
};

/* ---- accepting ---- */

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool is_same(uid_t uid, uid_t other)
{
	return uid == other;
}

static bool is_foreign(uid_t uid, uid_t unused)
{
	(void)unused;
	return !is_trusted(uid);
}

static bool is_any(uid_t uid, uid_t unused)
{
	(void)uid;
	(void)unused;
	return true;
}

static const char *full_reason(const struct bh_conn_list *l, uid_t uid)
{
	if (bh_conn_list_count(l, is_same, uid) >= BH_CTL_MAX_PER_UID)
		return "this user has too many connections to the daemon";
	if (bh_conn_list_count(l, is_any, 0) >= BH_CTL_MAX_CLIENTS)
		return "the daemon has too many connections";
	if (!is_trusted(uid) &&
	    bh_conn_list_count(l, is_foreign, 0) >= BH_CTL_MAX_CLIENTS - BH_CTL_MAX_PER_UID)
		return "the daemon has too many connections of users other than root";
	return NULL;
}

/* One attempt to say why; the client is not worth waiting for. */
static void turn_away(int fd, const char *why)
{
	struct bh_err error, err;
	BH_CLEANUP(bh_json_decrefp) json_t *body = NULL;
	BH_CLEANUP(bh_freep) char *frame = NULL;
	size_t len;

	bh_fail(&error, EBUSY, "%s", why);
	body = bh_conn_error_body(&error, true);
	if (body && !bh_frame_encode(body, 0, &frame, &len, &err))
		(void)!send(fd, frame, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void admit(struct bh_server *s, int *take_fd)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	const char *why;
	struct bh_err err;

	if (getsockopt(*take_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return;
	why = full_reason(&s->conns, cred.uid);
	if (why && bh_conn_list_drop_idle(&s->conns, is_trusted(cred.uid), cred.uid))
		why = full_reason(&s->conns, cred.uid);
	if (why) {
		turn_away(*take_fd, why);
		return;
	}
	/* a failure is want of memory or descriptors: the closed connection is the answer */
	bh_conn_open(&s->conns, take_fd, &cred, &err);
}

static void on_resume(void *arg)
{
	struct bh_server *s = arg;

	bh_source_set(s->watch, BH_LOOP_READ);
}

static void on_listen(int fd, unsigned events, void *arg)
{
	struct bh_server *s = arg;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_WAKE; i++) {
		BH_CLEANUP(bh_closep)
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			admit(s, &client);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* no descriptor or memory: the backlog stays readable, so look away for a while */
		if (errno != EAGAIN && !bh_source_set(s->watch, 0))
			bh_source_after(s->resume, ACCEPT_PAUSE_MS);
		return;
	}
}

/* ---- the listening socket ---- */

/* Removes a socket file nobody listens on. */
static int clear_stale(const struct sockaddr_un *sa, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : bh_fail_sys(err, errno, "socket '%s'", sa->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return bh_fail(err, EEXIST, "'%s' exists and is no socket", sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return bh_fail_sys(err, errno, "socket '%s'", sa->sun_path);
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno != ECONNREFUSED)
		return bh_fail(err, EADDRINUSE, "another process listens on '%s'", sa->sun_path);
	if (unlink(sa->sun_path) < 0 && errno != ENOENT)
		return bh_fail_sys(err, errno, "remove the stale socket '%s'", sa->sun_path);
	return 0;
}

static int open_group(const char *path, gid_t group)
{
	if (group == (gid_t)-1)
		return 0;
	if (lchown(path, (uid_t)-1, group) < 0 || chmod(path, 0660) < 0)
		return -errno;
	return 0;
}

static int listen_at(struct bh_server *s, struct bh_err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t path_len = strlen(s->path);
	struct stat st;
	int r;

	if (path_len >= sizeof(sa.sun_path))
		return bh_fail_sys(err, ENAMETOOLONG, "socket '%s'", s->path);
	memcpy(sa.sun_path, s->path, path_len + 1);
	r = clear_stale(&sa, err);
	if (r)
		return r;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* bind gives the file the mode of the socket's inode, so it is never wider, not even for a
	 * moment and whatever the umask */
	if (s->fd < 0 || fchmod(s->fd, 0600) < 0)
		return bh_fail_sys(err, errno, "socket '%s'", s->path);
	if (bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return bh_fail_sys(err, errno, "bind '%s'", s->path);
	if (lstat(s->path, &st) < 0)
		return bh_fail_sys(err, errno, "stat '%s'", s->path);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	r = open_group(s->path, s->group);
	if (r)
		return bh_fail_sys(err, -r, "open '%s' to group %u", s->path, s->group);
	if (listen(s->fd, BACKLOG) < 0)
		return bh_fail_sys(err, errno, "listen on '%s'", s->path);
	return 0;
}

static void server_closep(struct bh_server **s)
{
	bh_server_close(*s);
	*s = NULL;
}

int bh_server_open(struct bh_loop *l, const char *path, gid_t group, bh_server_fn *fn, void *arg,
		   struct bh_server **ret, struct bh_err *err)
{
	BH_CLEANUP(server_closep) struct bh_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return bh_fail(err, ENOMEM, "control socket '%s'", path);
	s->fd = -1;
	s->group = group;
	s->conns = (struct bh_conn_list){
		.loop = l, .idle_ms = BH_CTL_IDLE_S * 1000ull, .fn = fn, .arg = arg};
	s->path = strdup(path);
	if (!s->path)
		return bh_fail(err, ENOMEM, "control socket '%s'", path);
	r = listen_at(s, err);
	if (!r)
		r = bh_loop_fd(l, s->fd, BH_LOOP_READ, on_listen, s, &s->watch, err);
	if (!r)
		r = bh_loop_timer(l, LONG_MS, 0, on_resume, s, &s->resume, err);
	if (r)
		return r;
	*ret = BH_TAKE(s);
	return 0;
}

static bool is_in_place(const struct bh_server *s)
{
	struct stat st;

	return lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

int bh_server_renew(struct bh_server *s, struct bh_err *err)
{
	struct bh_server anew = {.fd = -1, .path = s->path, .group = s->group};
	struct bh_source *watch = NULL;
	int r;

	if (is_in_place(s))
		return 0;
	r = listen_at(&anew, err);
	if (!r)
		r = bh_loop_fd(s->conns.loop, anew.fd, BH_LOOP_READ, on_listen, s, &watch, err);
	if (r) {
		bh_closep(&anew.fd);
		return r;
	}
	bh_source_free(s->watch);
	bh_closep(&s->fd);
	s->watch = watch;
	s->fd = anew.fd;
	s->dev = anew.dev;
	s->ino = anew.ino;
	return 1;
}

void bh_server_set_idle(struct bh_server *s, uint64_t ms)
{
	s->conns.idle_ms = ms;
}

void bh_server_close(struct bh_server *s)
{
	if (!s)
		return;
	bh_conn_list_close(&s->conns);
	bh_source_free(s->watch);
	bh_source_free(s->resume);
	/* the path may be another daemon's by now */
	if (s->ino && is_in_place(s))
		unlink(s->path);
	bh_closep(&s->fd);
	free(s->path);
	free(s);
}
