#include "daemon/worker_start.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

/* Of the two places, the one that has it. The caller owns it; NULL: none. */
static char *find_worker(void)
{
	static const char *const places[] = {"bulkhead-worker",
					     "../libexec/bulkhead/bulkhead-worker"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < BH_ARRAY_SIZE(places); i++) {
		char *path = bh_strf("%.*s/%s", (int)(slash - self), self, places[i]);

		if (path && !access(path, X_OK))
			return path;
		free(path);
	}
	return NULL;
}

int bh_worker_start(int fd, const char *mode, pid_t *ret, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *path = find_worker();
	char *argv[] = {"bulkhead-worker", (char *)mode, NULL};
	char *env[] = {NULL};
	posix_spawn_file_actions_t files;
	int r;

	if (!path)
		return bh_fail(err, ENOENT, "bulkhead-worker is not installed beside bulkheadd");
	r = posix_spawn_file_actions_init(&files);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, fd, STDIN_FILENO);
	if (!r)
		r = posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", 1, 0);
	if (!r)
		r = posix_spawn(ret, path, &files, NULL, argv, env);
	posix_spawn_file_actions_destroy(&files);
	return r ? bh_fail_sys(err, r, "start '%s'", path) : 0;
}
