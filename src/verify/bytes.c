#include "verify/bytes.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/own.h"
#include "base/str.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The decoder of OpenSSL skips blanks and ignores the unused bits, so both are looked at here. */
static bool b64_form_ok(const char *text, size_t n, size_t *ret_pad)
{
	size_t body = strspn(text, alphabet);
	size_t pad = n - body;
	unsigned int unused;

	if (n % 4 || body > n || pad > 2 || (pad && text[n - 1] != '=') ||
	    (pad == 2 && text[n - 2] != '='))
		return false;
	*ret_pad = pad;
	if (!pad)
		return true;
	unused = (unsigned int)(strchr(alphabet, text[body - 1]) - alphabet);
	return !(unused & (pad == 2 ? 0xf : 0x3));
}

int bh_b64_decode(const char *text, size_t n, struct bh_blob *ret)
{
	BH_CLEANUP(bh_freep) unsigned char *out = NULL;
	size_t pad = 0;
	int len;

	if (n > INT_MAX / 2 || strlen(text) != n || !b64_form_ok(text, n, &pad))
		return -EINVAL;
	out = malloc(n / 4 * 3 + 1);
	if (!out)
		return -ENOMEM;
	len = n ? EVP_DecodeBlock(out, (const unsigned char *)text, (int)n) : 0;
	if (len < 0 || (size_t)len < pad)
		return -EINVAL;
	ret->n = (size_t)len - pad;
	ret->v = BH_TAKE(out);
	return 0;
}

int bh_b64url_decode(const char *text, size_t n, struct bh_blob *ret)
{
	BH_CLEANUP(bh_freep) char *plain = NULL;

	if (n > INT_MAX / 2 || strlen(text) != n || n % 4 == 1 || strpbrk(text, "+/="))
		return -EINVAL;
	plain = malloc(n + 4);
	if (!plain)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		plain[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	while (n % 4)
		plain[n++] = '=';
	plain[n] = '\0';
	return bh_b64_decode(plain, n, ret);
}

char *bh_b64_encode(const void *bytes, size_t n)
{
	char *out;

	if (n > INT_MAX / 2)
		return NULL;
	out = malloc((n + 2) / 3 * 4 + 1);
	if (out)
		EVP_EncodeBlock((unsigned char *)out, bytes, (int)n);
	return out;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bh_hex_decode(const char *text, size_t n, unsigned char *out)
{
	if (strlen(text) != 2 * n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

size_t bh_sha2(unsigned int bits, const void *bytes, size_t n, unsigned char *out)
{
	const EVP_MD *md = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
	unsigned int len = 0;

	return EVP_Digest(bytes, n, out, &len, md, NULL) == 1 ? len : 0;
}

bool bh_digest_is_of(const char *digest, const void *bytes, size_t n)
{
	unsigned char hash[BH_HASH_MAX];
	char hex[2 * BH_HASH_MAX + 1];
	size_t len = bh_sha2(!strncmp(digest, "sha512:", 7) ? 512 : 256, bytes, n, hash);

	bh_hex(hash, len, hex);
	return len && !strcmp(digest + 7, hex);
}

bool bh_digest_of(const void *bytes, size_t n, char *out)
{
	unsigned char hash[BH_HASH_MAX];

	if (!bh_sha256(bytes, n, hash))
		return false;
	memcpy(out, "sha256:", 7);
	bh_hex(hash, BH_SHA256_LEN, out + 7);
	return true;
}

int bh_blob_copy(const void *bytes, size_t n, struct bh_blob *ret)
{
	unsigned char *v = malloc(n ? n : 1);

	if (!v)
		return -ENOMEM;
	if (n)
		memcpy(v, bytes, n);
	ret->v = v;
	ret->n = n;
	return 0;
}
