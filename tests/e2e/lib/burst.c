/* burst.c - executes DIR/tiny as fast as the machine can: in several processes, each a fixed number
 * of times.
 *
 * Usage: burst PROCESSES COUNT DISTINCT DIR. Each process executes COUNT times: DISTINCT times
 * under names that it uses once (symlinks in DIR, made before the clock starts), else under tiny's
 * own; spread evenly. Prints how many ended as they should, and the nanoseconds that all took. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void name_of(char out[96], const char *dir, long process, long i)
{
	snprintf(out, 96, "%.60s/n%ld.%ld", dir, process, i);
}

static void make_names(const char *dir, long processes, long distinct)
{
	char path[96];

	for (long p = 0; p < processes; p++) {
		for (long i = 0; i < distinct; i++) {
			name_of(path, dir, p, i);
			if (symlink("tiny", path))
				die(path);
		}
	}
}

/* Whether the program ended with 0. */
static int execute(const char *path)
{
	char *const argv[] = {(char *)path, NULL}, *const env[] = {NULL};
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		execve(path, argv, env);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* One process: tells through out how many went well. */
static void work(const char *dir, const long arg[3], long process, int out)
{
	long count = arg[1], distinct = arg[2], told = 0, good = 0;
	char same[96], path[96];

	snprintf(same, sizeof(same), "%.60s/tiny", dir);
	for (long i = 0; i < count; i++) {
		int is_new = told < distinct && told * count <= i * distinct;

		if (is_new)
			name_of(path, dir, process, told++);
		good += execute(is_new ? path : same);
	}
	if (write(out, &good, sizeof(good)) != sizeof(good))
		_exit(1);
	_exit(0);
}

int main(int argc, char **argv)
{
	long arg[3], good = 0, one;
	uint64_t start;
	int fd[2];

	if (argc != 5)
		return 2;
	for (int i = 0; i < 3; i++)
		arg[i] = strtol(argv[i + 1], NULL, 10);
	make_names(argv[4], arg[0], arg[2]);
	if (pipe(fd))
		die("pipe");
	start = now_ns();
	for (long p = 0; p < arg[0]; p++)
		if (fork() == 0)
			work(argv[4], arg, p, fd[1]);
	close(fd[1]);
	while (read(fd[0], &one, sizeof(one)) == sizeof(one))
		good += one;
	while (wait(NULL) > 0)
		;
	printf("%ld %llu\n", good, (unsigned long long)(now_ns() - start));
	return 0;
}
