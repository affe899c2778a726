/* pem.h - PEM as it comes with a policy or a signature: blocks of one kind, no headers, nothing
 * encrypted (the usual readers would ask a terminal for the passphrase). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include "verify/flaw.h"

#define BH_MAX_CHAIN 8

/* The one public key in the text, nothing beside it; NULL otherwise. The caller frees it. */
EVP_PKEY *bh_pem_public_key(const void *pem, size_t n);

/* The same of a file that the operator wrote: with text around it, as people add, and in RSA's own
 * form too. MALFORMED says what the file holds instead. */
int bh_pem_key_file(const void *pem, size_t n, EVP_PKEY **ret, struct bh_flaw *flaw);

/* One to max certificates and nothing else; MALFORMED. The caller frees with bh_certs_free(). */
int bh_pem_certs(const void *pem, size_t n, int max, STACK_OF(X509) * *ret, struct bh_flaw *flaw);

/* The same of a file that the operator wrote, with text between them. */
int bh_pem_certs_file(const void *pem, size_t n, int max, STACK_OF(X509) * *ret,
		      struct bh_flaw *flaw);

/* One DER certificate, every byte of it; NULL otherwise. */
X509 *bh_der_cert(const unsigned char *der, size_t n);

void bh_certs_free(STACK_OF(X509) * certs);
void bh_certs_freep(STACK_OF(X509) * *certs);
void bh_x509_freep(X509 **cert);
void bh_pkey_freep(EVP_PKEY **key);
