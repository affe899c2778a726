#include <errno.h>
#include <string.h>

#include <openssl/objects.h>

#include "verify/dn.h"

#define PREFIX "x509.subject:"

struct pair {
	int nid;
	char value[256];
	size_t n;
};

static int nid_of(const char *name, size_t n)
{
	static const struct {
		const char *name;
		int nid;
	} names[] = {
		{"C", NID_countryName},
		{"ST", NID_stateOrProvinceName},
		{"S", NID_stateOrProvinceName},
		{"L", NID_localityName},
		{"STREET", NID_streetAddress},
		{"O", NID_organizationName},
		{"OU", NID_organizationalUnitName},
		{"CN", NID_commonName},
	};

	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++)
		if (strlen(names[i].name) == n && !memcmp(names[i].name, name, n))
			return names[i].nid;
	return NID_undef;
}

/* One "KEY=value" up to a comma, '\' takes the next character as it is. Moves on behind the comma.
 */
static bool next_pair(const char **at, struct pair *p)
{
	const char *s = *at + strspn(*at, " "), *eq = strchr(s, '=');
	size_t last = 0;

	p->nid = eq ? nid_of(s, (size_t)(eq - s)) : NID_undef;
	p->n = 0;
	if (p->nid == NID_undef)
		return false;
	for (s = eq + 1; *s && *s != ','; s++) {
		bool is_escaped = *s == '\\';

		if (is_escaped && !*++s)
			return false;
		/* "C=US+ST=WA" would be one part of two values */
		if (p->n == sizeof(p->value) || (*s == '+' && !is_escaped))
			return false;
		p->value[p->n++] = *s;
		if (*s != ' ' || is_escaped)
			last = p->n;
	}
	p->n = last;
	*at = *s ? s + 1 : s;
	return p->n > 0 && !(*s && !s[1]);
}

static const char *list_of(const char *text)
{
	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
		return NULL;
	text += strlen(PREFIX);
	return text + strspn(text, " ");
}

int bh_dn_check(const char *text, struct bh_err *err)
{
	const char *at = list_of(text);
	struct pair p;

	if (!strcmp(text, "*"))
		return 0;
	if (!at || !*at)
		return bh_fail(err, EINVAL, "'%s' is not \"x509.subject: C=..,ST=..,O=..\"", text);
	while (*at)
		if (!next_pair(&at, &p))
			return bh_fail(err, EINVAL, "'%s' is no subject", text);
	return 0;
}

static bool has_pair(const X509_NAME *subject, const struct pair *p)
{
	int at = X509_NAME_get_index_by_NID((X509_NAME *)subject, p->nid, -1);
	const ASN1_STRING *value;
	unsigned char *utf8 = NULL;
	int n;
	bool is_same;

	/* what is there twice says two things, and another reader may believe the second */
	if (at < 0 || X509_NAME_get_index_by_NID((X509_NAME *)subject, p->nid, at) >= 0)
		return false;
	value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	n = ASN1_STRING_to_UTF8(&utf8, value);
	is_same = n >= 0 && (size_t)n == p->n && !memcmp(utf8, p->value, p->n);
	OPENSSL_free(utf8);
	return is_same;
}

bool bh_dn_matches(const char *text, const X509_NAME *subject)
{
	const char *at = list_of(text);
	struct pair p;

	if (!strcmp(text, "*"))
		return true;
	if (!at || !*at)
		return false;
	while (*at)
		if (!next_pair(&at, &p) || !has_pair(subject, &p))
			return false;
	return true;
}
