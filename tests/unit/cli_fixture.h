/* cli_fixture.h - the command line in-process: streams into memory, and a stand-in for the daemon:
 * a child that answers each verb with a canned result. */
#pragma once

#include "bh_test.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/cli.h"
#include "ctl/frame.h"

/* One run of the program. */
struct shot {
	int code;
	char *out, *err;
	size_t out_len, err_len;
};

#define RUN(s, ...) cli_run(s, (char *[]){"bulkhead", __VA_ARGS__, NULL})

static inline void cli_run(struct shot *s, char **argv)
{
	FILE *out = open_memstream(&s->out, &s->out_len);
	FILE *err = open_memstream(&s->err, &s->err_len);
	int argc = 0;

	while (argv[argc])
		argc++;
	s->code = bh_cli_main(argc, argv, out, err);
	fclose(out);
	fclose(err);
}

static inline void shot_done(struct shot *s)
{
	free(s->out);
	free(s->err);
	*s = (struct shot){0};
}

static inline void shot_is(struct shot *s, int code, const char *out, const char *err)
{
	if (s->code != code || !strstr(s->out, out) || !strstr(s->err, err))
		fail_msg("exit %d\n--- stdout\n%s--- stderr\n%s--- wanted %d, '%s', '%s'", s->code,
			 s->out, s->err, code, out, err);
	shot_done(s);
}

static inline void shot_is_narrow(const struct shot *s)
{
	const char *line = s->out;

	while (*line) {
		size_t n = strcspn(line, "\n");
		BH_CLEANUP(bh_freep) char *copy = strndup(line, n);

		if (bh_out_columns(copy) > BH_OUT_WIDTH)
			fail_msg("wider than 100 columns: %s", copy);
		line += n + (line[n] == '\n');
	}
}

/* ---- the stand-in for the daemon ---- */

struct canned {
	const char *verb;
	const char *want;   /* what must be in the request's JSON; NULL: anything */
	const char *answer; /* body of the reply; several with "\n" between are a stream */
};

static inline void fake_write(int fd, const char *text, unsigned flags)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = json_loads(text, 0, NULL);
	BH_CLEANUP(bh_freep) char *frame = NULL;
	struct bh_err err;
	size_t n = 0;

	if (!body || bh_frame_encode(body, flags, &frame, &n, &err) ||
	    write(fd, frame, n) != (ssize_t)n)
		_exit(1);
}

static inline void fake_answer(int fd, const json_t *request, const struct canned *rows)
{
	const char *verb = json_string_value(json_object_get(request, "verb"));
	BH_CLEANUP(bh_freep) char *text = json_dumps(request, JSON_COMPACT);
	const char *answer = "{\"error\":{\"code\":22,\"message\":\"not canned\",\"retry\":false}}";

	for (; verb && text && rows->verb; rows++) {
		if (!strcmp(rows->verb, verb) && (!rows->want || strstr(text, rows->want))) {
			answer = rows->answer;
			break;
		}
	}
	for (const char *end; (end = strchr(answer, '\n')); answer = end + 1) {
		BH_CLEANUP(bh_freep) char *one = strndup(answer, (size_t)(end - answer));

		fake_write(fd, one, BH_CTL_MORE);
	}
	fake_write(fd, answer, 0);
}

static inline void fake_serve(int fd, const struct canned *rows)
{
	struct bh_frame_reader in = {.max = BH_CTL_MAX_REQUEST};
	json_t *request = NULL;
	struct bh_err err;
	unsigned flags;
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (bh_frame_feed(&in, buf, (size_t)n, &err))
			break;
		while (bh_frame_next(&in, &request, &flags, &err) == 1) {
			fake_answer(fd, request, rows);
			json_decref(request);
		}
	}
	bh_frame_done(&in);
	close(fd);
}

/* Starts the child; its socket is listening when this returns. */
static inline pid_t fake_start(const char *path, const struct canned *rows)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 8), 0);
	pid = fork();
	if (pid == 0) {
		for (;;)
			fake_serve(accept(fd, NULL, NULL), rows);
	}
	close(fd);
	return pid;
}

static inline void fake_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
