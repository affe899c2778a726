/* bulkhead-worker - what touches bytes of strangers, without privilege: judges images, sends events
 * to receivers, reads what the container runtime says, hashes executables. Started by bulkheadd and
 * by `bulkhead image`, with a socket as standard input. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "bulkhead/ctl.h"
#include "bulkhead_version.h"
#include "ctl/frame.h"
#include "worker/confine.h"
#include "worker/hash.h"
#include "worker/job.h"
#include "worker/serve.h"

#define MAX_QUESTION (32u << 20)

static int read_question(int fd, json_t **ret, struct bh_err *err)
{
	struct bh_frame_reader in = {.max = MAX_QUESTION};
	char buf[65536];
	unsigned flags;
	int r = 0;

	while (!r) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = bh_fail_sys(err, errno, "read the question");
		else if (!n)
			r = bh_fail(err, EPIPE, "the question is not whole");
		else
			r = bh_frame_feed(&in, buf, (size_t)n, err);
		if (!r)
			r = bh_frame_next(&in, ret, &flags, err);
	}
	explicit_bzero(buf, sizeof(buf));
	bh_frame_done(&in);
	return r < 0 ? r : 0;
}

static int send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		bytes += sent;
		n -= (size_t)sent;
	}
	return 0;
}

static int send_frame(int fd, json_t *take_body)
{
	struct bh_err err;
	char *frame = NULL;
	size_t len = 0;
	int r = take_body ? bh_frame_encode(take_body, 0, &frame, &len, &err) : -ENOMEM;

	json_decref(take_body);
	if (!r)
		r = send_all(fd, frame, len);
	free(frame);
	return r;
}

static int emit(json_t *take_answer, void *arg)
{
	return send_frame(*(int *)arg, take_answer);
}

static int judge_images(int fd, const struct bh_confine *c)
{
	json_t *job = NULL;
	struct bh_err err;
	int r = bh_confine(c, &err);

	if (!r)
		r = read_question(fd, &job, &err);
	if (!r)
		r = bh_job_run(job, emit, &fd, &err);
	json_decref(job);
	if (r)
		send_frame(fd,
			   json_pack("{s:{s:i, s:s}}", "error", "code", -r, "message", err.text));
	return r ? 1 : 0;
}

static const struct {
	const char *name;
	struct bh_confine confine;
	int (*serve)(int fd, const struct bh_confine *c);
} modes[] = {
	{"image", {.keeps_user = false}, judge_images},
	{"image-as-user", {.keeps_user = true}, judge_images},
	{"sink", {.is_lasting = true}, bh_serve_sink},
	{"cri", {.is_lasting = true}, bh_serve_cri},
	{"hash", {.is_lasting = true, .only_hashes = true}, bh_serve_hash},
};

int main(int argc, char **argv)
{
	const char *mode = argc == 2 ? argv[1] : "";
	struct stat st;

	bh_json_forgets();
	if (!strcmp(mode, "--version")) {
		printf("bulkhead-worker %s\n", BH_VERSION);
		return 0;
	}
	for (size_t i = 0; i < BH_ARRAY_SIZE(modes); i++) {
		if (!strcmp(mode, modes[i].name) && !fstat(STDIN_FILENO, &st) &&
		    S_ISSOCK(st.st_mode))
			return modes[i].serve(STDIN_FILENO, &modes[i].confine);
	}
	fprintf(stderr, "bulkhead-worker: started by bulkheadd and bulkhead only\n");
	return 2;
}
