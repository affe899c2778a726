#include "verify/pem.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

void bh_certs_free(STACK_OF(X509) * certs)
{
	sk_X509_pop_free(certs, X509_free);
}

void bh_certs_freep(STACK_OF(X509) * *certs)
{
	bh_certs_free(*certs);
	*certs = NULL;
}

void bh_x509_freep(X509 **cert)
{
	X509_free(*cert);
	*cert = NULL;
}

void bh_pkey_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
	*key = NULL;
}

static void bio_freep(BIO **bio)
{
	BIO_free(*bio);
	*bio = NULL;
}

static BIO *open_text(const void *pem, size_t n)
{
	return n <= INT_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
}

struct block {
	char *name, *header;
	unsigned char *der;
	long n;
};

static void block_done(struct block *b)
{
	OPENSSL_free(b->name);
	OPENSSL_free(b->header);
	OPENSSL_free(b->der);
	*b = (struct block){0};
}

static long blanks(const char *text, long n)
{
	long i = 0;

	while (i < n && isspace((unsigned char)text[i]))
		i++;
	return i;
}

/* Where the operator wrote the file, text around the blocks is a comment. In what was sent it is
 * refused: readers of PEM skip what they do not know, and two of them skip differently. */
enum text { TEXT_REFUSED, TEXT_SKIPPED };

static bool begins_here(const char *text, long n, long at)
{
	static const char mark[] = "-----BEGIN ";
	long len = (long)sizeof(mark) - 1;

	return (!at || text[at - 1] == '\n') && n - at >= len &&
	       !memcmp(text + at, mark, (size_t)len);
}

static bool at_end(BIO *bio, enum text around)
{
	char *text;
	long left = BIO_get_mem_data(bio, &text);

	if (around == TEXT_REFUSED)
		return blanks(text, left) == left;
	for (long i = 0; i < left; i++)
		if (begins_here(text, left, i))
			return false;
	return true;
}

/* The next block, which has no headers: what is encrypted would ask a terminal for a passphrase. */
static bool next_block(BIO *bio, enum text around, struct block *b)
{
	char *text;
	long left = BIO_get_mem_data(bio, &text), blank = blanks(text, left);

	if (around == TEXT_REFUSED && (blank == left || text[blank] != '-'))
		return false;
	return PEM_read_bio(bio, &b->name, &b->header, &b->der, &b->n) && !*b->header;
}

static EVP_PKEY *key_of(const struct block *b)
{
	const unsigned char *at = b->der;
	BH_CLEANUP(bh_pkey_freep) EVP_PKEY *key = NULL;

	if (!strcmp(b->name, "PUBLIC KEY"))
		key = d2i_PUBKEY(NULL, &at, b->n);
	else if (!strcmp(b->name, "RSA PUBLIC KEY"))
		key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, b->n);
	return key && at == b->der + b->n ? BH_TAKE(key) : NULL;
}

EVP_PKEY *bh_pem_public_key(const void *pem, size_t n)
{
	BH_CLEANUP(bio_freep) BIO *bio = open_text(pem, n);
	BH_CLEANUP(block_done) struct block b = {0};
	EVP_PKEY *key = NULL;

	if (bio && next_block(bio, TEXT_REFUSED, &b) && !strcmp(b.name, "PUBLIC KEY") &&
	    at_end(bio, TEXT_REFUSED))
		key = key_of(&b);
	ERR_clear_error();
	return key;
}

int bh_pem_key_file(const void *pem, size_t n, EVP_PKEY **ret, struct bh_flaw *flaw)
{
	BH_CLEANUP(bio_freep) BIO *bio = open_text(pem, n);
	BH_CLEANUP(block_done) struct block b = {0};
	EVP_PKEY *key = NULL;

	if (!bio || !next_block(bio, TEXT_SKIPPED, &b)) {
		ERR_clear_error();
		return bh_flaw(flaw, BH_WORD_MALFORMED, "holds no public key in PEM");
	}
	if (at_end(bio, TEXT_SKIPPED))
		key = key_of(&b);
	ERR_clear_error();
	if (key) {
		*ret = key;
		return 0;
	}
	if (!at_end(bio, TEXT_SKIPPED))
		return bh_flaw(flaw, BH_WORD_MALFORMED,
			       "holds more than one block; a key has a file of its own");
	return bh_flaw(flaw, BH_WORD_MALFORMED, "holds a '%s', not a public key in PEM", b.name);
}

X509 *bh_der_cert(const unsigned char *der, size_t n)
{
	const unsigned char *at = der;
	BH_CLEANUP(bh_x509_freep) X509 *cert = n <= LONG_MAX ? d2i_X509(NULL, &at, (long)n) : NULL;

	/* this fills in what X509_get_extension_flags() and others answer from */
	if (cert && at == der + n && X509_check_purpose(cert, -1, 0) == 1)
		return BH_TAKE(cert);
	ERR_clear_error();
	return NULL;
}

static int take_cert(const struct block *b, STACK_OF(X509) * certs, int max, struct bh_flaw *flaw)
{
	X509 *cert;

	if (sk_X509_num(certs) == max)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "more than %d certificates", max);
	cert = bh_der_cert(b->der, (size_t)b->n);
	if (!cert)
		return bh_flaw(flaw, BH_WORD_MALFORMED, "a certificate that cannot be read");
	if (!sk_X509_push(certs, cert)) {
		X509_free(cert);
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	}
	return 0;
}

static int read_certs(BIO *bio, enum text around, int max, STACK_OF(X509) * certs,
		      struct bh_flaw *flaw)
{
	while (!at_end(bio, around)) {
		BH_CLEANUP(block_done) struct block b = {0};
		int r;

		if (!next_block(bio, around, &b) || strcmp(b.name, "CERTIFICATE") != 0) {
			ERR_clear_error();
			return bh_flaw(flaw, BH_WORD_MALFORMED, "no certificate in PEM");
		}
		r = take_cert(&b, certs, max, flaw);
		if (r)
			return r;
	}
	if (!sk_X509_num(certs))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "no certificate in PEM");
	return 0;
}

static int certs_of(BIO *bio, enum text around, int max, STACK_OF(X509) * *ret,
		    struct bh_flaw *flaw)
{
	BH_CLEANUP(bh_certs_freep) STACK_OF(X509) *certs = sk_X509_new_null();
	int r;

	if (!bio || !certs)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	r = read_certs(bio, around, max, certs, flaw);
	if (!r)
		*ret = BH_TAKE(certs);
	return r;
}

int bh_pem_certs(const void *pem, size_t n, int max, STACK_OF(X509) * *ret, struct bh_flaw *flaw)
{
	BH_CLEANUP(bio_freep) BIO *bio = open_text(pem, n);

	return certs_of(bio, TEXT_REFUSED, max, ret, flaw);
}

int bh_pem_certs_file(const void *pem, size_t n, int max, STACK_OF(X509) * *ret,
		      struct bh_flaw *flaw)
{
	BH_CLEANUP(bio_freep) BIO *bio = open_text(pem, n);

	return certs_of(bio, TEXT_SKIPPED, max, ret, flaw);
}
