#include "ctl/spawn.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int find_program(char *out, size_t size, struct bh_err *err)
{
	static const char *const places[] = {"bulkhead-worker",
					     "../libexec/bulkhead/bulkhead-worker"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return bh_fail_sys(err, errno, "where this program is");
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < BH_ARRAY_SIZE(places); i++) {
		int len = snprintf(out, size, "%.*s/%s", (int)(slash - self), self, places[i]);

		if (len > 0 && (size_t)len < size && !access(out, X_OK))
			return 0;
	}
	return bh_fail(err, ENOENT, "bulkhead-worker is not installed beside this program");
}

/* Signals as after a fresh start: blocked and ignored ones would be inherited. */
static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (!r)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return r;
}

static int set_files(posix_spawn_file_actions_t *files, int fd)
{
	int r = posix_spawn_file_actions_adddup2(files, fd, STDIN_FILENO);

	if (!r)
		r = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", 1, 0);
	if (!r)
		r = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
	return r;
}

int bh_spawn_worker(int fd, const char *mode, pid_t *ret, struct bh_err *err)
{
	char path[PATH_MAX], name[] = "bulkhead-worker", argument[32];
	char *const argv[] = {name, argument, NULL}, *const env[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r = find_program(path, sizeof(path), err);

	if (r)
		return r;
	snprintf(argument, sizeof(argument), "%s", mode);
	r = posix_spawn_file_actions_init(&files);
	if (r)
		return bh_fail_sys(err, r, "start '%s'", path);
	r = posix_spawnattr_init(&attr);
	if (!r) {
		r = set_signals(&attr);
		if (!r)
			r = set_files(&files, fd);
		if (!r)
			r = posix_spawn(ret, path, &files, &attr, argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&files);
	return r ? bh_fail_sys(err, r, "start '%s'", path) : 0;
}
