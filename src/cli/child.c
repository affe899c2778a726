#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/str.h"

extern char **environ;

/* One end of a pipe that the child writes to, and what it wrote. */
struct stream {
	int fd;
	struct bh_str text;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int start(char *const argv[], const int fds[2], pid_t *ret)
{
	posix_spawn_file_actions_t files;
	int r = posix_spawn_file_actions_init(&files);

	if (r)
		return r;
	r = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	for (int i = 0; i < 2 && !r; i++)
		r = posix_spawn_file_actions_adddup2(&files, fds[i], STDOUT_FILENO + i);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	if (!r)
		r = posix_spawnp(ret, argv[0], &files, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

/* Closes the stream at its end. */
static int read_some(struct stream *s, size_t max, struct bh_err *err)
{
	char buf[4096];
	ssize_t n = read(s->fd, buf, sizeof(buf));

	if (n > 0 && s->text.n + (size_t)n > max)
		return bh_fail(err, EFBIG, "it says more than %zu bytes", max);
	if (n > 0)
		bh_str_addn(&s->text, buf, (size_t)n);
	else
		bh_closep(&s->fd);
	return 0;
}

static int read_all(struct stream s[2], int timeout_ms, size_t max, struct bh_err *err)
{
	int64_t end_ms = now_ms() + timeout_ms;
	int r = 0;

	while (!r && (s[0].fd >= 0 || s[1].fd >= 0)) {
		struct pollfd p[2] = {{.fd = s[0].fd, .events = POLLIN},
				      {.fd = s[1].fd, .events = POLLIN}};
		int64_t left_ms = end_ms - now_ms();

		if (left_ms <= 0 || poll(p, 2, (int)left_ms) == 0)
			return bh_fail(err, ETIMEDOUT, "no answer within %d s", timeout_ms / 1000);
		for (int i = 0; i < 2 && !r; i++)
			r = p[i].revents ? read_some(&s[i], max, err) : 0;
	}
	return r;
}

static const char *last_line(const struct bh_str *text)
{
	char *nl;

	if (!text->n)
		return "it gives no reason";
	while ((nl = strrchr(text->s, '\n')) && !nl[1])
		*nl = '\0';
	return nl ? nl + 1 : text->s;
}

static int listen_to(pid_t pid, struct stream s[2], int timeout_ms, size_t max, struct bh_err *err)
{
	int r = read_all(s, timeout_ms, max, err), status = 0;

	if (r)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (r)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return bh_fail(err, EIO, "%.300s", last_line(&s[1].text));
	return 0;
}

int bh_child_output(char *const argv[], int timeout_ms, size_t max, char **ret, struct bh_err *err)
{
	struct stream s[2] = {{.fd = -1}, {.fd = -1}};
	int out[2] = {-1, -1}, errors[2] = {-1, -1};
	pid_t pid = -1;
	int r = 0;

	if (pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC))
		r = errno;
	if (!r)
		r = start(argv, (int[2]){out[1], errors[1]}, &pid);
	s[0].fd = out[0];
	s[1].fd = errors[0];
	bh_closep(&out[1]);
	bh_closep(&errors[1]);
	r = r ? bh_fail_sys(err, r, "%s", argv[0]) : listen_to(pid, s, timeout_ms, max, err);
	if (!r) {
		*ret = bh_str_take(&s[0].text);
		r = *ret ? 0 : bh_fail(err, ENOMEM, "%s", argv[0]);
	}
	for (int i = 0; i < 2; i++) {
		bh_closep(&s[i].fd);
		bh_str_done(&s[i].text);
	}
	return r;
}
