#include "worker/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "bulkhead/hash.h"

#define SLICE	(256 * 1024)
#define NICE	10 /* pods come first */
#define FDS_MAX 4  /* of one packet; only one is wanted, all are closed */

struct hasher {
	EVP_MD_CTX *ctx;
	EVP_MD *sha256;
	unsigned char *buf;
};

static void hasher_done(struct hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->sha256);
	free(h->buf);
}

/* Fetches the algorithm while files may still be opened: OpenSSL reads its settings for it. */
static int hasher_init(struct hasher *h, struct bh_err *err)
{
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned n;

	h->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	h->buf = malloc(SLICE);
	if (!h->sha256 || !h->ctx || !h->buf || EVP_Digest("", 0, out, &n, h->sha256, NULL) != 1 ||
	    n != BH_HASH_LEN)
		return bh_fail(err, ENOMEM, "SHA-256 does not work here");
	return 0;
}

/* From the file's beginning, wherever its offset stands: somebody else may share it. */
static int hash_file(const struct hasher *h, int fd, uint64_t max, struct bh_hash_answer *ret)
{
	struct stat st;
	unsigned n;

	if (fstat(fd, &st))
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	if (EVP_DigestInit_ex(h->ctx, h->sha256, NULL) != 1)
		return ENOMEM;
	for (;;) {
		ssize_t got = pread(fd, h->buf, SLICE, (off_t)ret->bytes);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (!got)
			break;
		ret->bytes += (uint64_t)got;
		if (ret->bytes > max)
			return EFBIG;
		if (EVP_DigestUpdate(h->ctx, h->buf, (size_t)got) != 1)
			return ENOMEM;
	}
	return EVP_DigestFinal_ex(h->ctx, ret->digest, &n) == 1 && n == BH_HASH_LEN ? 0 : ENOMEM;
}

/* The first descriptor of a packet; whatever else came is closed. */
static int take_file(struct msghdr *m)
{
	int file = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (file < 0)
				file = fd;
			else
				close(fd);
		}
	}
	return file;
}

/* 1: a question; 0: the daemon hung up; -EBADMSG: that is none. */
static int next_question(int fd, struct bh_hash_ask *ret, int *ret_file, struct bh_err *err)
{
	union {
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec v = {ret, sizeof(*ret)};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return bh_fail_sys(err, errno, "question");
	*ret_file = take_file(&m);
	if (!n && *ret_file < 0)
		return 0;
	if (n != (ssize_t)sizeof(*ret) || m.msg_flags & MSG_TRUNC) {
		bh_closep(ret_file);
		return bh_fail(err, EBADMSG, "a question of %zd bytes", n);
	}
	return 1;
}

static int serve(int fd, const struct hasher *h, struct bh_err *err)
{
	for (;;) {
		struct bh_hash_answer answer = {0};
		BH_CLEANUP(bh_closep) int file = -1;
		struct bh_hash_ask ask;
		ssize_t n;
		int r = next_question(fd, &ask, &file, err);

		if (r <= 0)
			return r;
		answer.id = ask.id;
		answer.error = (uint32_t)(file < 0 ? EBADF : hash_file(h, file, ask.max, &answer));
		bh_closep(&file); /* who has the answer may unmount what holds the file */
		do
			n = send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return errno == EPIPE ? 0 : bh_fail_sys(err, errno, "answer");
	}
}

int bh_serve_hash(int fd, const struct bh_confine *c)
{
	BH_CLEANUP(hasher_done) struct hasher h = {0};
	struct bh_err err = {0};
	int r = hasher_init(&h, &err);

	setpriority(PRIO_PROCESS, 0, NICE);
	if (!r)
		r = bh_confine(c, &err);
	if (!r)
		r = serve(fd, &h, &err);
	if (r)
		fprintf(stderr, "bulkhead-worker: %s\n", err.text);
	return r ? 1 : 0;
}
