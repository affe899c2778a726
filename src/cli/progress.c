/* A child draws, so that neither the blocking call nor the evaluator has to know about it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "cli/cli.h"

#define FIRST_MS 400
#define FRAME_MS 200

/* Draws until the other end of the pipe is closed, also by the parent's death. */
static void draw(int fd, const char *text)
{
	static const char frames[] = "|/-\\";
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool has_drawn = false;
	int wait_ms = FIRST_MS;

	signal(SIGINT, SIG_IGN);
	for (unsigned i = 0; !poll(&p, 1, wait_ms); i++) {
		dprintf(STDERR_FILENO, "\r%s ... %c", text, frames[i % 4]);
		has_drawn = true;
		wait_ms = FRAME_MS;
	}
	if (has_drawn)
		dprintf(STDERR_FILENO, "\r\033[K");
	_exit(0);
}

void bh_progress_start(struct bh_progress *p, const char *text)
{
	int fds[2];

	*p = (struct bh_progress){0};
	if (!isatty(STDERR_FILENO) || pipe2(fds, O_CLOEXEC))
		return;
	p->pid = fork();
	if (p->pid == 0) {
		close(fds[1]);
		draw(fds[0], text);
	}
	close(fds[0]);
	if (p->pid < 0) {
		close(fds[1]);
		p->pid = 0;
		return;
	}
	p->fd = fds[1];
}

void bh_progress_stop(struct bh_progress *p)
{
	if (!p->pid)
		return;
	close(p->fd);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*p = (struct bh_progress){0};
}
