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

/* true when a block of this kind follows with nothing but blanks before it: PEM readers skip what
 * they do not know, and two readers skip differently. */
static bool next_block(BIO *bio, const char *kind, struct block *b)
{
	char *text;
	long left = BIO_get_mem_data(bio, &text);
	long blank = 0;

	while (blank < left && isspace((unsigned char)text[blank]))
		blank++;
	if (blank == left || text[blank] != '-')
		return false;
	return PEM_read_bio(bio, &b->name, &b->header, &b->der, &b->n) && !*b->header &&
	       !strcmp(b->name, kind);
}

static bool at_end(BIO *bio)
{
	char *text;
	long left = BIO_get_mem_data(bio, &text);

	for (long i = 0; i < left; i++)
		if (!isspace((unsigned char)text[i]))
			return false;
	return true;
}

EVP_PKEY *bh_pem_public_key(const void *pem, size_t n)
{
	BH_CLEANUP(bio_freep) BIO *bio = n <= INT_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
	BH_CLEANUP(bh_pkey_freep) EVP_PKEY *key = NULL;
	BH_CLEANUP(block_done) struct block b = {0};
	const unsigned char *at;

	if (bio && next_block(bio, "PUBLIC KEY", &b) && at_end(bio)) {
		at = b.der;
		key = d2i_PUBKEY(NULL, &at, b.n);
		if (key && at == b.der + b.n)
			return BH_TAKE(key);
	}
	ERR_clear_error();
	return NULL;
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

int bh_pem_certs(const void *pem, size_t n, int max, STACK_OF(X509) * *ret, struct bh_flaw *flaw)
{
	BH_CLEANUP(bio_freep) BIO *bio = n <= INT_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
	BH_CLEANUP(bh_certs_freep) STACK_OF(X509) *certs = sk_X509_new_null();

	if (!bio || !certs)
		return bh_flaw(flaw, BH_WORD_INTERNAL, "out of memory");
	while (!at_end(bio)) {
		BH_CLEANUP(block_done) struct block b = {0};
		int r;

		if (!next_block(bio, "CERTIFICATE", &b)) {
			ERR_clear_error();
			return bh_flaw(flaw, BH_WORD_MALFORMED, "no certificate in PEM");
		}
		r = take_cert(&b, certs, max, flaw);
		if (r)
			return r;
	}
	if (!sk_X509_num(certs))
		return bh_flaw(flaw, BH_WORD_MALFORMED, "no certificate in PEM");
	*ret = BH_TAKE(certs);
	return 0;
}
