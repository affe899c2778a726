/* unlike.c - executes programs no two of which are the same file, as fast as the machine can.
 *
 * Usage: unlike PROCESSES COUNT DIR ARGUMENTS. Each process makes COUNT copies of DIR/tiny, each
 * under a name of its own, and executes it once. ARGUMENTS: none, long (one of 4000 bytes), many
 * (3900 empty ones). Prints how many ended as they should. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 3900
#define LONG 4000

static char tiny[1 << 16];
static ssize_t tiny_len;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void make_arguments(char *argv[MANY + 2], const char *kind)
{
	static char text[LONG + 1];
	int n = 1;

	memset(text, 'x', LONG);
	if (!strcmp(kind, "long"))
		argv[n++] = text;
	while (!strcmp(kind, "many") && n <= MANY)
		argv[n++] = "";
	argv[n] = NULL;
}

static void copy(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);

	if (fd < 0 || write(fd, tiny, (size_t)tiny_len) != tiny_len || close(fd))
		die(path);
}

/* Whether the program ended with 0. */
static int execute(char *const argv[])
{
	char *const env[] = {NULL};
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0) {
		execve(argv[0], argv, env);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	char path[96], *args[MANY + 2] = {path};
	long good = 0, one;
	int fd[2];

	if (argc != 5)
		return 2;
	make_arguments(args, argv[4]);
	snprintf(path, sizeof(path), "%.60s/tiny", argv[3]);
	fd[0] = open(path, O_RDONLY | O_CLOEXEC);
	tiny_len = read(fd[0], tiny, sizeof(tiny));
	if (fd[0] < 0 || tiny_len < 1 || pipe(fd))
		die(path);
	for (long p = 0; p < atol(argv[1]); p++) {
		if (fork())
			continue;
		for (long i = 0; i < atol(argv[2]); i++) {
			snprintf(path, sizeof(path), "%.60s/n%ld.%ld", argv[3], p, i);
			copy(path);
			good += execute(args);
		}
		_exit(write(fd[1], &good, sizeof(good)) != sizeof(good));
	}
	close(fd[1]);
	while (read(fd[0], &one, sizeof(one)) == sizeof(one))
		good += one;
	while (wait(NULL) > 0)
		;
	printf("%ld\n", good);
	return 0;
}
