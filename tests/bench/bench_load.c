/* bench_load.c - a steady load: so many programs and so many system calls a second, in portions of
 * ten milliseconds.
 *
 * Usage: bench_load SECONDS EXECS CALLS PROGRAM. Prints the seconds it took. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORTIONS 100 /* a second */
#define NS_OF_S	 1000000000u

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_OF_S + (uint64_t)t.tv_nsec;
}

static void execute(char *path)
{
	char *const argv[] = {path, NULL}, *const env[] = {NULL};
	pid_t pid = vfork();

	if (pid == 0) {
		execve(path, argv, env);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void wait_until(uint64_t ns)
{
	const struct timespec t = {.tv_sec = (time_t)(ns / NS_OF_S),
				   .tv_nsec = (long)(ns % NS_OF_S)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

int main(int argc, char **argv)
{
	uint64_t start = now_ns();
	long seconds, execs, calls;

	if (argc != 5)
		return 2;
	seconds = strtol(argv[1], NULL, 10);
	execs = strtol(argv[2], NULL, 10) / PORTIONS;
	calls = strtol(argv[3], NULL, 10) / PORTIONS;
	for (long n = 1; n <= seconds * PORTIONS; n++) {
		for (long i = 0; i < execs; i++)
			execute(argv[4]);
		for (long i = 0; i < calls; i++)
			syscall(SYS_getppid);
		wait_until(start + (uint64_t)n * (NS_OF_S / PORTIONS));
	}
	printf("%.3f\n", (double)(now_ns() - start) / NS_OF_S);
	return 0;
}
