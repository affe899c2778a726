/* mutate.h - changes something small somewhere inside bytes that are formats inside formats: JSON
 * in base64 in JSON, certificates in PEM in base64, DER. The same seed gives the same change.
 *
 * Where it was is told as a path, such as
 * "bundle.verificationMaterial.tlogEntries[].logId.keyId>b64", so that a test can say which places
 * are signed and which are not. */
#pragma once

#include <ctype.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "verify/bytes.h"

#define MUTATE_DEPTH 8
#define MUTATE_NODES 512

struct mutation {
	uint64_t state;
	struct bh_str path;
	bool is_raw; /* bytes of a text format were changed: nobody can tell which place it was */
};

static inline uint64_t mutate_random(struct mutation *m)
{
	uint64_t z = m->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline size_t mutate_below(struct mutation *m, size_t n)
{
	return n ? (size_t)(mutate_random(m) % n) : 0;
}

static inline void mutate_any(struct mutation *m, struct bh_blob *b, int depth);

/* ---- bytes ---- */

static inline void mutate_cut(struct bh_blob *b, size_t at, size_t del)
{
	memmove(b->v + at, b->v + at + del, b->n - at - del);
	b->n -= del;
}

static inline void mutate_insert(struct bh_blob *b, size_t at, const void *bytes, size_t n)
{
	unsigned char *v = malloc(b->n + n + 1);

	memcpy(v, b->v, at);
	memcpy(v + at, bytes, n);
	memcpy(v + at + n, b->v + at, b->n - at);
	free(b->v);
	b->v = v;
	b->n += n;
}

static inline void mutate_bytes(struct mutation *m, struct bh_blob *b)
{
	static const unsigned char edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x30, '"', '{'};
	size_t at = mutate_below(m, b->n);
	unsigned char byte = (unsigned char)mutate_random(m);

	switch (b->n ? mutate_below(m, 6) : 5) {
	case 0:
	case 1:
		b->v[at] ^= (unsigned char)(1u << mutate_below(m, 8));
		break;
	case 2:
		b->v[at] = edges[mutate_below(m, sizeof(edges))];
		break;
	case 3:
		mutate_cut(b, at, 1 + mutate_below(m, b->n - at < 16 ? b->n - at : 16));
		break;
	case 4:
		b->n = at;
		break;
	default:
		mutate_insert(b, at, &byte, 1);
	}
}

/* ---- DER ---- */

struct mutate_tlv {
	size_t at, head, n; /* of the tag, bytes of tag and length, bytes of content */
	int up;		    /* number of the element around it, -1: none */
};

/* false: there is no element at `at` that fits. */
static inline bool mutate_tlv_at(const struct bh_blob *b, size_t at, size_t end,
				 struct mutate_tlv *ret)
{
	size_t n_len, n = 0;

	if (end - at < 2 || (b->v[at] & 0x1f) == 0x1f)
		return false;
	n_len = b->v[at + 1] & 0x80 ? b->v[at + 1] & 0x7f : 0;
	if (n_len > 4 || n_len > end - at - 2)
		return false;
	for (size_t i = 0; i < n_len; i++)
		n = n << 8 | b->v[at + 2 + i];
	if (!n_len)
		n = b->v[at + 1];
	*ret = (struct mutate_tlv){at, 2 + n_len, n, -1};
	return n <= end - at - 2 - n_len;
}

static inline void mutate_tlvs(const struct bh_blob *b, const struct mutate_tlv *in,
			       struct mutate_tlv *list, size_t *n)
{
	size_t at = in->at + in->head, end = at + in->n;
	int up = (int)*n - 1;
	struct mutate_tlv t;

	while (at < end && *n < MUTATE_NODES && mutate_tlv_at(b, at, end, &t)) {
		size_t skip = (b->v[at] & 0x1f) == 3 && t.n ? 1 : 0; /* of a bit string */

		t.up = up;
		list[(*n)++] = t;
		at += t.head + t.n;
		t.head += skip;
		t.n -= skip;
		if (b->v[t.at] & 0x20 || skip || b->v[t.at] == 4)
			mutate_tlvs(b, &t, list, n);
	}
}

/* The tags from the outermost element to this one. */
static inline void mutate_tell_tags(struct mutation *m, const struct bh_blob *b,
				    const struct mutate_tlv *list, int i)
{
	if (i < 0)
		return;
	mutate_tell_tags(m, b, list, list[i].up);
	bh_str_fmt(&m->path, "/%02x", b->v[list[i].at]);
}

static inline void mutate_der(struct mutation *m, struct bh_blob *b)
{
	struct mutate_tlv list[MUTATE_NODES], t;
	struct mutate_tlv all = {0, 0, b->n, -1};
	size_t n = 0, at;

	mutate_tlvs(b, &all, list, &n);
	bh_str_add(&m->path, ">der");
	if (!n) {
		mutate_bytes(m, b);
		return;
	}
	at = mutate_below(m, n);
	t = list[at];
	mutate_tell_tags(m, b, list, (int)at);
	switch (mutate_below(m, 7)) {
	case 0:
		b->v[t.at] ^= (unsigned char)(1u << mutate_below(m, 8));
		break;
	case 1:
		b->v[t.at + 1] ^= (unsigned char)(1u << mutate_below(m, 8));
		break;
	case 2:
		mutate_cut(b, t.at, t.head + t.n);
		break;
	case 3:
		memset(b->v + t.at + t.head, 0, t.n);
		break;
	default:
		if (t.n)
			b->v[t.at + t.head + mutate_below(m, t.n)] ^=
				(unsigned char)(1u << mutate_below(m, 8));
	}
}

/* ---- texts inside texts ---- */

static inline bool mutate_is_der(const struct bh_blob *b)
{
	struct mutate_tlv t;

	return b->n > 8 && b->v[0] == 0x30 && mutate_tlv_at(b, 0, b->n, &t) && t.head + t.n == b->n;
}

/* The first block of PEM: its DER is changed. */
static inline bool mutate_pem(struct mutation *m, struct bh_blob *b, int depth)
{
	char *text = strndup((char *)b->v, b->n), *begin = strstr(text, "-----\n");
	char *end = begin ? strstr(begin, "\n-----END") : NULL;
	struct bh_str flat = {0}, out = {0};
	struct bh_blob der = {0};
	char *b64;

	for (char *c = begin ? begin + 6 : NULL; end && c < end; c++)
		if (*c != '\n')
			bh_str_addn(&flat, c, 1);
	if (!end || strncmp(text, "-----BEGIN", 10) || !flat.n ||
	    bh_b64_decode(flat.s, flat.n, &der)) {
		free(text);
		bh_str_done(&flat);
		return false;
	}
	bh_str_add(&m->path, ">pem");
	mutate_any(m, &der, depth + 1);
	b64 = bh_b64_encode(der.v, der.n);
	bh_str_addn(&out, text, (size_t)(begin + 6 - text));
	for (size_t i = 0; i < strlen(b64); i += 64)
		bh_str_fmt(&out, "%s%.64s", i ? "\n" : "", b64 + i);
	bh_str_add(&out, end);
	bh_blob_done(b);
	*b = (struct bh_blob){(unsigned char *)strdup(bh_str_text(&out)), out.n};
	bh_blob_done(&der);
	bh_str_done(&flat);
	bh_str_done(&out);
	free(b64);
	free(text);
	return true;
}

static inline bool mutate_b64(struct mutation *m, struct bh_blob *b, int depth)
{
	struct bh_blob in = {0};
	char *text = strndup((char *)b->v, b->n);
	bool ok = b->n >= 12 && !bh_b64_decode(text, strlen(text), &in);

	free(text);
	if (!ok)
		return false;
	bh_str_add(&m->path, ">b64");
	mutate_any(m, &in, depth + 1);
	bh_blob_done(b);
	b->v = (unsigned char *)bh_b64_encode(in.v, in.n);
	b->n = strlen((char *)b->v);
	bh_blob_done(&in);
	return true;
}

/* ---- JSON ---- */

/* One member or element, and where it hangs. */
struct mutate_node {
	json_t *parent;
	const char *key; /* NULL in an array */
	size_t index;
	json_t *value;
	int up; /* number of the parent's own node, -1: the root */
};

static inline void mutate_nodes(json_t *j, int up, struct mutate_node *list, size_t *n)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach(j, key, value)
	{
		if (*n == MUTATE_NODES)
			return;
		list[*n] = (struct mutate_node){j, key, 0, value, up};
		mutate_nodes(value, (int)(*n)++, list, n);
	}
	json_array_foreach(j, i, value)
	{
		if (*n == MUTATE_NODES)
			return;
		list[*n] = (struct mutate_node){j, NULL, i, value, up};
		mutate_nodes(value, (int)(*n)++, list, n);
	}
}

static inline void mutate_tell(struct mutation *m, const struct mutate_node *list, int i)
{
	if (i < 0)
		return;
	mutate_tell(m, list, list[i].up);
	if (list[i].key)
		bh_str_fmt(&m->path, ".%s", list[i].key);
	else
		bh_str_add(&m->path, "[]");
}

static inline void mutate_put(const struct mutate_node *n, json_t *take)
{
	if (n->key)
		json_object_set_new(n->parent, n->key, take);
	else
		json_array_set_new(n->parent, n->index, take);
}

static inline void mutate_string(struct mutation *m, const struct mutate_node *n, int depth)
{
	struct bh_blob b;
	json_t *j;

	bh_blob_copy(json_string_value(n->value), json_string_length(n->value), &b);
	if (mutate_below(m, 8) == 0) {
		mutate_bytes(m, &b);
	} else if (!mutate_pem(m, &b, depth) && !mutate_b64(m, &b, depth)) {
		mutate_any(m, &b, depth + 1);
	}
	j = json_stringn((char *)b.v, b.n);
	mutate_put(n, j ? j : json_string("\xc3\xbc"));
	bh_blob_done(&b);
}

static inline void mutate_shape(struct mutation *m, const struct mutate_node *list, size_t n,
				const struct mutate_node *at)
{
	static const json_int_t numbers[] = {0, 1, -1, INT32_MAX, INT64_MAX, INT64_MIN};
	const struct mutate_node *other = &list[mutate_below(m, n)];

	switch (mutate_below(m, 7)) {
	case 0:
		mutate_put(at, json_null());
		break;
	case 1:
		mutate_put(at, json_integer(numbers[mutate_below(m, 6)]));
		break;
	case 2:
		mutate_put(at, mutate_below(m, 2) ? json_array() : json_object());
		break;
	case 3:
		mutate_put(at, json_deep_copy(other->value));
		break;
	case 4:
		bh_str_add(&m->path, at->key ? "+member" : "+element");
		if (at->key)
			json_object_set_new(at->parent, "other", json_deep_copy(at->value));
		else
			json_array_append_new(at->parent, json_deep_copy(at->value));
		break;
	case 5:
		mutate_put(at, json_string(""));
		break;
	default:
		if (at->key)
			json_object_del(at->parent, at->key);
		else
			json_array_remove(at->parent, at->index);
	}
}

static inline bool mutate_json(struct mutation *m, struct bh_blob *b, int depth)
{
	struct mutate_node list[MUTATE_NODES];
	json_t *root = json_loadb((char *)b->v, b->n, JSON_ALLOW_NUL, NULL);
	size_t n = 0, at;
	char *text;

	mutate_nodes(root, -1, list, &n);
	if (!n) {
		json_decref(root);
		return false;
	}
	at = mutate_below(m, n);
	mutate_tell(m, list, (int)at);
	if (json_is_string(list[at].value) && mutate_below(m, 4))
		mutate_string(m, &list[at], depth);
	else
		mutate_shape(m, list, n, &list[at]);
	text = json_dumps(root, JSON_COMPACT);
	bh_blob_done(b);
	*b = (struct bh_blob){(unsigned char *)text, strlen(text)};
	json_decref(root);
	return true;
}

static inline void mutate_any(struct mutation *m, struct bh_blob *b, int depth)
{
	bool is_text = b->n && (*b->v == '{' || *b->v == '[');

	if (depth < MUTATE_DEPTH && is_text && mutate_below(m, 16) && mutate_json(m, b, depth))
		return;
	if (depth < MUTATE_DEPTH && mutate_pem(m, b, depth))
		return;
	if (mutate_is_der(b)) {
		mutate_der(m, b);
		return;
	}
	m->is_raw = m->is_raw || is_text;
	mutate_bytes(m, b);
}
