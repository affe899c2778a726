#include "daemon/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>

#include "base/str.h"

static void ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

static int finish(EVP_MD_CTX *ctx, char out[BH_DIGEST_TEXT], struct bh_err *err)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(ctx, md, &n) != 1 || n != 32)
		return bh_fail(err, EIO, "SHA-256");
	bh_hex(md, n, out);
	return 0;
}

int bh_digest_bytes(const void *data, size_t len, char out[BH_DIGEST_TEXT], struct bh_err *err)
{
	BH_CLEANUP(ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(ctx, data, len) != 1)
		return bh_fail(err, EIO, "SHA-256");
	return finish(ctx, out, err);
}

int bh_digest_file(const char *path, size_t max, char out[BH_DIGEST_TEXT], struct bh_err *err)
{
	BH_CLEANUP(ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	BH_CLEANUP(bh_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	if (fd < 0)
		return bh_fail_sys(err, errno, "%s", path);
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		return bh_fail(err, EIO, "SHA-256");
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		total += (size_t)n;
		if (total > max)
			return bh_fail(err, EFBIG, "%s is larger than %zu bytes", path, max);
		if (EVP_DigestUpdate(ctx, buf, (size_t)n) != 1)
			return bh_fail(err, EIO, "SHA-256");
	}
	if (n < 0)
		return bh_fail_sys(err, errno, "%s", path);
	return finish(ctx, out, err);
}
