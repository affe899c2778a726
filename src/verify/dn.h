/* dn.h - trusted identities of notation: "x509.subject: C=US,ST=WA,O=Acme". */
#pragma once

#include <openssl/x509.h>

#include <stdbool.h>

#include "base/err.h"

/* -EINVAL with a sentence when text is neither "*" nor such a list. */
int bh_dn_check(const char *text, struct bh_err *err);

/* true when the subject has each of the attributes with exactly that value, or text is "*". */
bool bh_dn_matches(const char *text, const X509_NAME *subject);
