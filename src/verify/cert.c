#include "verify/cert.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "verify/pem.h"

#define FULCIO	  "1.3.6.1.4.1.57264.1."
#define OTHERNAME FULCIO "7"

/* A name as bytes of an ASN.1 string: no NUL inside, or two readers would see two names. */
static char *text_of(const ASN1_STRING *s)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(s);
	int n = ASN1_STRING_length(s);

	if (n <= 0 || memchr(bytes, '\0', (size_t)n))
		return NULL;
	return strndup((const char *)bytes, (size_t)n);
}

static bool oid_is(const ASN1_OBJECT *obj, const char *oid)
{
	char text[80];

	return OBJ_obj2txt(text, sizeof(text), obj, 1) > 0 && !strcmp(text, oid);
}

/* The kinds Fulcio issues; DNS names only where a company's own PKI is asked about. */
static char *name_text(const GENERAL_NAME *name, bool with_dns)
{
	switch (name->type) {
	case GEN_EMAIL:
	case GEN_URI:
		return text_of(name->d.ia5);
	case GEN_DNS:
		return with_dns ? text_of(name->d.ia5) : NULL;
	case GEN_OTHERNAME:
		if (!oid_is(name->d.otherName->type_id, OTHERNAME) ||
		    name->d.otherName->value->type != V_ASN1_UTF8STRING)
			return NULL;
		return text_of(name->d.otherName->value->value.utf8string);
	default:
		return NULL;
	}
}

int bh_cert_subject(X509 *leaf, char **ret, struct bh_flaw *flaw)
{
	int critical;
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
	char *text = NULL;

	if (names && sk_GENERAL_NAME_num(names) == 1)
		text = name_text(sk_GENERAL_NAME_value(names, 0), false);
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	if (!text)
		return bh_flaw(flaw, BH_WORD_IDENTITY_MISMATCH,
			       "the certificate has not exactly one subject alternative name");
	*ret = text;
	return 0;
}

bool bh_cert_has_name(X509 *leaf, const char *name)
{
	int critical;
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &critical, NULL);
	bool is_there = false;

	for (int i = 0; names && !is_there && i < sk_GENERAL_NAME_num(names); i++) {
		BH_CLEANUP(bh_freep)
		char *text = name_text(sk_GENERAL_NAME_value(names, i), true);

		is_there = text && !strcmp(text, name);
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return is_there;
}

/* ---- extensions ---- */

/* .1.1 to .1.6 are bare bytes, all later ones a DER string. */
static bool is_bare(const char *oid)
{
	return !strncmp(oid, FULCIO, strlen(FULCIO)) && oid[strlen(FULCIO)] >= '1' &&
	       oid[strlen(FULCIO)] <= '6' && !oid[strlen(FULCIO) + 1];
}

static char *der_text(const ASN1_OCTET_STRING *value)
{
	const unsigned char *start = ASN1_STRING_get0_data(value), *at = start;
	int n = ASN1_STRING_length(value);
	ASN1_TYPE *any = d2i_ASN1_TYPE(NULL, &at, n);
	unsigned char *again = NULL;
	char *text = NULL;

	/* encoded again it must be the same bytes: lengths have one form in DER */
	if (any && at == start + n && i2d_ASN1_TYPE(any, &again) == n &&
	    !memcmp(again, start, (size_t)n) &&
	    (any->type == V_ASN1_UTF8STRING || any->type == V_ASN1_IA5STRING ||
	     any->type == V_ASN1_PRINTABLESTRING))
		text = text_of(any->value.asn1_string);
	OPENSSL_free(again);
	ASN1_TYPE_free(any);
	ERR_clear_error();
	return text;
}

char *bh_cert_extension(X509 *leaf, const char *oid)
{
	ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
	int at = obj ? X509_get_ext_by_OBJ(leaf, obj, -1) : -1;
	bool is_single = at >= 0 && X509_get_ext_by_OBJ(leaf, obj, at) < 0;
	ASN1_OCTET_STRING *value;

	ASN1_OBJECT_free(obj);
	ERR_clear_error();
	if (!is_single)
		return NULL;
	value = X509_EXTENSION_get_data(X509_get_ext(leaf, at));
	return is_bare(oid) ? text_of(value) : der_text(value);
}

static bool has_extension(X509 *leaf, const char *oid)
{
	ASN1_OBJECT *obj = OBJ_txt2obj(oid, 1);
	bool has = obj && X509_get_ext_by_OBJ(leaf, obj, -1) >= 0;

	ASN1_OBJECT_free(obj);
	return has;
}

int bh_cert_issuer(X509 *leaf, char **ret, struct bh_flaw *flaw)
{
	char *text =
		bh_cert_extension(leaf, has_extension(leaf, FULCIO "8") ? FULCIO "8" : FULCIO "1");

	if (!text)
		return bh_flaw(flaw, BH_WORD_ISSUER_MISMATCH,
			       "the certificate does not say who issued the identity");
	*ret = text;
	return 0;
}

static bool same_name(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (*a == ' ' || *a == '-')
			a++;
		while (*b == ' ' || *b == '-')
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
	}
}

const char *bh_fulcio_oid(const char *name)
{
	static const struct {
		const char *name, *oid;
	} names[] = {
		{"Issuer", FULCIO "8"},
		{"Issuer (V2)", FULCIO "8"},
		{"GitHub Workflow Trigger", FULCIO "2"},
		{"GitHub Workflow SHA", FULCIO "3"},
		{"GitHub Workflow Name", FULCIO "4"},
		{"GitHub Workflow Repository", FULCIO "5"},
		{"GitHub Workflow Ref", FULCIO "6"},
		{"Build Signer URI", FULCIO "9"},
		{"Build Signer Digest", FULCIO "10"},
		{"Runner Environment", FULCIO "11"},
		{"Source Repository URI", FULCIO "12"},
		{"Source Repository Digest", FULCIO "13"},
		{"Source Repository Ref", FULCIO "14"},
		{"Source Repository Identifier", FULCIO "15"},
		{"Source Repository Owner URI", FULCIO "16"},
		{"Source Repository Owner Identifier", FULCIO "17"},
		{"Build Config URI", FULCIO "18"},
		{"Build Config Digest", FULCIO "19"},
		{"Build Trigger", FULCIO "20"},
		{"Run Invocation URI", FULCIO "21"},
		{"Source Repository Visibility At Signing", FULCIO "22"},
		{"Deployment Environment", FULCIO "23"},
	};
	size_t n = strlen(name);

	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		if (same_name(name, names[i].name))
			return names[i].oid;
	return n > 2 && n < 64 && strspn(name, "0123456789.") == n && name[1] == '.' ? name : NULL;
}
