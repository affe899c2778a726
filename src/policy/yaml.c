#include "policy/yaml.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/map.h"
#include "base/vec.h"
#include "policy/yaml_text.h"

#define FIRST_CHUNK 2048u
#define MAX_CHUNK   (256u << 10)

struct chunk {
	struct chunk *next;
	size_t used, cap;
	_Alignas(8) char bytes[];
};

struct bh_yaml_doc {
	struct chunk *chunks; /* the one in use first */
	const struct bh_yaml *root;
};

struct open_node {
	struct bh_yaml *node;
	size_t first; /* its first child in kids */
};

struct builder {
	struct bh_yaml_stream *stream;
	struct bh_yaml_doc *doc;
	struct bh_yaml_err *err;
	unsigned line; /* of the document in its file */
	yaml_parser_t parser;
	BH_VEC(const struct bh_yaml *) kids; /* of all open nodes; keys and values in turn */
	struct open_node open[BH_YAML_MAX_DEPTH];
	size_t depth;
	struct bh_map anchors;
	bool is_done;
};

static int no_memory(struct builder *b)
{
	b->err->line = b->err->col = 0;
	return bh_fail(&b->err->err, ENOMEM, "no memory");
}

static void *take(struct bh_yaml_doc *d, size_t n)
{
	struct chunk *c = d->chunks;
	size_t cap;

	n = (n + 7) & ~(size_t)7;
	if (!c || c->cap - c->used < n) {
		cap = !c ? FIRST_CHUNK : c->cap < MAX_CHUNK ? c->cap * 2 : MAX_CHUNK;
		if (cap < n)
			cap = n;
		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		*c = (struct chunk){.next = d->chunks, .cap = cap};
		d->chunks = c;
	}
	c->used += n;
	return c->bytes + c->used - n;
}

void bh_yaml_doc_free(struct bh_yaml_doc *d)
{
	struct chunk *c, *next;

	if (!d)
		return;
	for (c = d->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(d);
}

void bh_yaml_doc_freep(struct bh_yaml_doc **d)
{
	bh_yaml_doc_free(*d);
	*d = NULL;
}

const struct bh_yaml *bh_yaml_root(const struct bh_yaml_doc *d)
{
	static const struct bh_yaml empty = {.type = BH_YAML_NULL, .weight = 1, .text = ""};

	return d->root ? d->root : &empty;
}

static unsigned line_of(const struct builder *b, const yaml_mark_t *m)
{
	return b->line + (unsigned)m->line;
}

/* Every failure below names the place of the event it is about. */
static int fail(struct builder *b, const yaml_mark_t *m, const char *fmt, const char *arg)
{
	b->err->line = line_of(b, m);
	b->err->col = (unsigned)m->column + 1;
	if (arg)
		return bh_fail(&b->err->err, EINVAL, "%s '%s'", fmt, arg);
	return bh_fail(&b->err->err, EINVAL, "%s", fmt);
}

static int node_new(struct builder *b, const yaml_mark_t *m, struct bh_yaml **ret)
{
	struct bh_yaml *n;

	if (++b->stream->nodes > BH_YAML_MAX_NODES)
		return fail(b, m, "the file has more than 1000000 nodes", NULL);
	n = take(b->doc, sizeof(*n));
	if (!n)
		return no_memory(b);
	*n = (struct bh_yaml){.line = line_of(b, m), .col = (unsigned)m->column + 1, .weight = 1};
	*ret = n;
	return 0;
}

static int key_cmp(const void *pa, const void *pb)
{
	const struct bh_yaml_pair *a = *(const struct bh_yaml_pair *const *)pa;
	const struct bh_yaml_pair *b = *(const struct bh_yaml_pair *const *)pb;
	int r = strcmp(a->key->text, b->key->text);

	/* Of equal keys the later one is the duplicate. */
	return r ? r : (a > b) - (a < b);
}

static int duplicate(struct builder *b, const struct bh_yaml *key)
{
	b->err->line = key->line;
	b->err->col = key->col;
	return bh_fail(&b->err->err, EINVAL, "key '%s' appears twice", key->text);
}

static int check_few_keys(struct builder *b, const struct bh_yaml *map)
{
	size_t i, j;

	for (i = 1; i < map->n; i++) {
		for (j = 0; j < i; j++) {
			if (map->pairs[i].key->n == map->pairs[j].key->n &&
			    !strcmp(map->pairs[i].key->text, map->pairs[j].key->text))
				return duplicate(b, map->pairs[i].key);
		}
	}
	return 0;
}

static int check_keys(struct builder *b, const struct bh_yaml *map)
{
	const struct bh_yaml_pair **v;
	size_t i;
	int r = 0;

	if (map->n <= 16)
		return check_few_keys(b, map);
	v = malloc(map->n * sizeof(*v));
	if (!v)
		return no_memory(b);
	for (i = 0; i < map->n; i++)
		v[i] = &map->pairs[i];
	qsort(v, map->n, sizeof(*v), key_cmp);
	for (i = 1; !r && i < map->n; i++) {
		if (!strcmp(v[i - 1]->key->text, v[i]->key->text))
			r = duplicate(b, v[i]->key);
	}
	free(v);
	return r;
}

/* Moves the children of the innermost open node into it. */
static int close_node(struct builder *b, const yaml_mark_t *m)
{
	struct open_node *o = &b->open[--b->depth];
	struct bh_yaml *n = o->node;
	size_t count = b->kids.n - o->first, i;
	uint64_t weight = 1;
	const struct bh_yaml **kids = b->kids.v ? b->kids.v + o->first : NULL;
	void *v = take(b->doc, count * sizeof(*kids) + 1);

	if (!v)
		return no_memory(b);
	for (i = 0; i < count; i++) {
		weight += kids[i]->weight;
		if (kids[i]->height >= n->height)
			n->height = (uint8_t)(kids[i]->height + 1);
	}
	if (!n->height)
		n->height = 1;
	if (weight > BH_YAML_MAX_NODES)
		return fail(b, m, "the aliases expand to more than 1000000 nodes", NULL);
	n->weight = (uint32_t)weight;
	n->is_open = false;
	if (count)
		memcpy(v, kids, count * sizeof(*kids));
	b->kids.n = o->first;
	if (n->type == BH_YAML_LIST) {
		n->n = (uint32_t)count;
		n->items = v;
		return 0;
	}
	/* A pair is two pointers, key and value, as kids has them. */
	n->n = (uint32_t)(count / 2);
	n->pairs = v;
	return check_keys(b, n);
}

/* true when the next child is a map's key. */
static bool wants_key(const struct builder *b)
{
	const struct open_node *o = b->depth ? &b->open[b->depth - 1] : NULL;

	return o && o->node->type == BH_YAML_MAP && (b->kids.n - o->first) % 2 == 0;
}

static int add_child(struct builder *b, const struct bh_yaml *n)
{
	if (!b->depth) {
		b->doc->root = n;
		return 0;
	}
	return bh_vec_push(&b->kids, n) ? no_memory(b) : 0;
}

static int set_anchor(struct builder *b, const yaml_char_t *name, struct bh_yaml *n)
{
	if (!name)
		return 0;
	return bh_map_set_s(&b->anchors, (const char *)name, n) ? no_memory(b) : 0;
}

static int on_alias(struct builder *b, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	const struct bh_yaml *n = bh_map_get_s(&b->anchors, name);

	if (!n)
		return fail(b, &e->start_mark, "no anchor before this alias", name);
	if (n->is_open)
		return fail(b, &e->start_mark, "an alias inside of its own anchor", name);
	if (wants_key(b) && n->height)
		return fail(b, &e->start_mark, "a key must be a string", NULL);
	if (b->depth + n->height > BH_YAML_MAX_DEPTH)
		return fail(b, &e->start_mark, "nesting is deeper than 64", NULL);
	if (n->weight > BH_YAML_MAX_NODES - b->stream->nodes)
		return fail(b, &e->start_mark, "the aliases expand to more than 1000000 nodes",
			    NULL);
	b->stream->nodes += n->weight;
	return add_child(b, n);
}

static const char *core_tag(const yaml_char_t *tag)
{
	static const char prefix[] = "tag:yaml.org,2002:";

	return !strncmp((const char *)tag, prefix, sizeof(prefix) - 1)
		       ? (const char *)tag + sizeof(prefix) - 1
		       : "";
}

/* A tagged scalar: !!str makes a string of anything; the others must agree with what is written. */
static int tagged_type(struct builder *b, const yaml_event_t *e, enum bh_yaml_type *type)
{
	static const char *const names[] = {"null", "bool", "int", "float", "str"};
	const char *tag = core_tag(e->data.scalar.tag);
	enum bh_yaml_type plain =
		bh_yaml_plain_type((const char *)e->data.scalar.value, e->data.scalar.length);

	if (!strcmp(tag, "str")) {
		*type = BH_YAML_STRING;
		return 0;
	}
	if (plain == BH_YAML_STRING || strcmp(tag, names[plain]))
		return fail(b, &e->start_mark,
			    "a tag that is not understood here:", (const char *)e->data.scalar.tag);
	*type = plain;
	return 0;
}

static int scalar_type(struct builder *b, const yaml_event_t *e, enum bh_yaml_type *type)
{
	const char *s = (const char *)e->data.scalar.value;

	if (strlen(s) != e->data.scalar.length)
		return fail(b, &e->start_mark, "a NUL character inside of a string", NULL);
	if (e->data.scalar.tag)
		return tagged_type(b, e, type);
	*type = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE
			? bh_yaml_plain_type(s, e->data.scalar.length)
			: BH_YAML_STRING;
	if (wants_key(b) && *type == BH_YAML_STRING && !strcmp(s, "<<") &&
	    e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fail(b, &e->start_mark,
			    "merge keys (<<) are not supported; write the fields out", NULL);
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *e)
{
	enum bh_yaml_type type = BH_YAML_STRING;
	struct bh_yaml *n;
	char *text;
	int r = scalar_type(b, e, &type);

	if (!r)
		r = node_new(b, &e->start_mark, &n);
	if (r)
		return r;
	text = take(b->doc, e->data.scalar.length + 1);
	if (!text)
		return no_memory(b);
	memcpy(text, e->data.scalar.value, e->data.scalar.length + 1);
	n->type = (uint8_t)type;
	n->text = text;
	n->n = (uint32_t)e->data.scalar.length;
	r = set_anchor(b, e->data.scalar.anchor, n);
	return r ? r : add_child(b, n);
}

static int on_open(struct builder *b, const yaml_event_t *e, enum bh_yaml_type type)
{
	bool is_map = type == BH_YAML_MAP;
	const yaml_char_t *tag = is_map ? e->data.mapping_start.tag : e->data.sequence_start.tag;
	struct bh_yaml *n;
	int r;

	if (tag && strcmp(core_tag(tag), is_map ? "map" : "seq"))
		return fail(b, &e->start_mark,
			    "a tag that is not understood here:", (const char *)tag);
	if (wants_key(b))
		return fail(b, &e->start_mark, "a key must be a string", NULL);
	if (b->depth == BH_YAML_MAX_DEPTH)
		return fail(b, &e->start_mark, "nesting is deeper than 64", NULL);
	r = node_new(b, &e->start_mark, &n);
	if (r)
		return r;
	n->type = (uint8_t)type;
	n->is_open = true;
	r = set_anchor(b, is_map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor, n);
	if (!r)
		r = add_child(b, n);
	if (!r)
		b->open[b->depth++] = (struct open_node){.node = n, .first = b->kids.n};
	return r;
}

static int on_event(struct builder *b, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return on_alias(b, e);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(b, e, BH_YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_open(b, e, BH_YAML_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_node(b, &e->start_mark);
	case YAML_DOCUMENT_START_EVENT:
		if (b->doc->root)
			return fail(b, &e->start_mark, "a second document without '---'", NULL);
		return 0;
	case YAML_STREAM_END_EVENT:
		b->is_done = true;
		return 0;
	default:
		return 0;
	}
}

static int on_parser_error(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	const yaml_mark_t *m = &p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(b);
	b->err->line = line_of(b, m);
	b->err->col = (unsigned)m->column + 1;
	return bh_fail(&b->err->err, EINVAL, "the document cannot be read: %s%s%s",
		       p->problem ? p->problem : "unknown error", p->context ? ", " : "",
		       p->context ? p->context : "");
}

static int build(struct builder *b)
{
	yaml_event_t e;
	int r = 0;

	while (!r && !b->is_done) {
		if (!yaml_parser_parse(&b->parser, &e))
			return on_parser_error(b);
		r = on_event(b, &e);
		yaml_event_delete(&e);
	}
	return r;
}

int bh_yaml_parse(struct bh_yaml_stream *s, const struct bh_yaml_slice *slice,
		  struct bh_yaml_doc **ret, struct bh_yaml_err *err)
{
	BH_CLEANUP(bh_yaml_doc_freep) struct bh_yaml_doc *doc = calloc(1, sizeof(*doc));
	BH_CLEANUP(bh_freep) char *copy = NULL;
	struct builder b = {.stream = s, .doc = doc, .err = err, .line = slice->line};
	size_t n = slice->n;
	int r;

	if (!doc || bh_yaml_from_json(slice, &copy, &n) || !yaml_parser_initialize(&b.parser))
		return no_memory(&b);
	bh_map_init(&b.anchors, NULL);
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const yaml_char_t *)(copy ? copy : slice->s), n);
	r = build(&b);
	yaml_parser_delete(&b.parser);
	bh_map_done(&b.anchors);
	bh_vec_done(&b.kids);
	if (!r)
		*ret = BH_TAKE(doc);
	return r;
}
