/* objects_save.c - last good versions, out and in again.
 *
 * A saved text is one YAML document behind a comment that says which line of its file it began at,
 * so that the places in a restored object are those of the file. Policies keep their own words;
 * pods, namespaces and nodes are written from what is known of them. */
#include "policy/objects_set.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/vec.h"

#define LINE_COMMENT "# bulkhead: line "

static void add_labels(struct bh_str *b, const struct bh_labels *l)
{
	size_t i;

	bh_str_add(b, ", \"labels\": {");
	for (i = 0; i < l->n; i++)
		bh_str_fmt(b, "%s\"%s\": \"%s\"", i ? ", " : "", l->v[i].key, l->v[i].value);
	bh_str_add(b, "}");
}

static void namespace_text(struct bh_str *b, const struct bh_namespace *ns)
{
	bh_str_fmt(b,
		   "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", "
		   "\"metadata\": {\"name\": \"%s\"",
		   ns->name);
	add_labels(b, &ns->labels);
	bh_str_add(b, "}}\n");
}

static void node_text(struct bh_str *b, const struct bh_node *n)
{
	char ip[BH_IP_TEXT];
	size_t i;

	bh_str_fmt(b,
		   "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": "
		   "\"%s\"}, \"status\": {\"addresses\": [",
		   n->name);
	for (i = 0; i < n->n_ips; i++)
		bh_str_fmt(b, "%s{\"type\": \"InternalIP\", \"address\": \"%s\"}", i ? ", " : "",
			   bh_ip_format(&n->ips[i], ip));
	bh_str_add(b, "]}}\n");
}

static void add_ports(struct bh_str *b, const struct bh_ident *id)
{
	char proto[8];
	size_t i;

	for (i = 0; i < id->n_ports; i++)
		bh_str_fmt(b, "%s{\"name\": \"%s\", \"protocol\": \"%s\", \"containerPort\": %u}",
			   i ? ", " : "", id->ports[i].name,
			   bh_proto_format(id->ports[i].proto, proto), id->ports[i].port);
}

/* Read again it is the same: nothing is behind a Deployment or a CronJob. */
static void add_owner(struct bh_str *b, const char *owner)
{
	const char *slash = owner ? strchr(owner, '/') : NULL;

	if (slash)
		bh_str_fmt(b,
			   ", \"ownerReferences\": [{\"controller\": true, \"kind\": \"%.*s\", "
			   "\"name\": \"%s\"}]",
			   (int)(slash - owner), owner, slash + 1);
}

static void add_sole(struct bh_str *b, const char *sole)
{
	const char *space = sole ? strchr(sole, ' ') : NULL;

	if (!space)
		return;
	bh_str_fmt(b, "\"name\": \"%.*s\", \"image\": ", (int)(space - sole), sole);
	bh_yaml_dump_string(space + 1, b);
	bh_str_add(b, ", ");
}

static void pod_text(struct bh_str *b, const struct bh_pod *pod)
{
	char ip[BH_IP_TEXT];
	size_t i;

	bh_str_fmt(b,
		   "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"%s\", "
		   "\"namespace\": \"%s\"",
		   pod->name, pod->ident->ns);
	if (pod->uid) {
		bh_str_add(b, ", \"uid\": ");
		bh_yaml_dump_string(pod->uid, b);
	}
	add_labels(b, &pod->ident->labels);
	add_owner(b, pod->owner);
	bh_str_fmt(b, "}, \"spec\": {\"hostNetwork\": %s, ", pod->host_network ? "true" : "false");
	if (pod->node) {
		bh_str_add(b, "\"nodeName\": ");
		bh_yaml_dump_string(pod->node, b);
		bh_str_add(b, ", ");
	}
	bh_str_add(b, "\"containers\": [{");
	add_sole(b, pod->sole);
	bh_str_add(b, "\"ports\": [");
	add_ports(b, pod->ident);
	bh_str_fmt(b, "]}]}, \"status\": {\"phase\": \"%s\", \"podIPs\": [",
		   pod->phase == BH_POD_DONE ? "Succeeded" : "Running");
	for (i = 0; i < pod->n_ips; i++)
		bh_str_fmt(b, "%s{\"ip\": \"%s\"}", i ? ", " : "", bh_ip_format(&pod->ips[i], ip));
	bh_str_add(b, "]}}\n");
}

static bool is_policy_kind(const struct bh_claim *c)
{
	return bh_kind_is_policy(c->kind);
}

static bool has_words(const struct bh_claim *c)
{
	return !is_policy_kind(c) || (c->more && c->more->words);
}

/* has_words(c) */
static char *saved_text(const struct bh_claim *c)
{
	struct bh_str b = {0};
	bool is_policy = is_policy_kind(c);

	bh_str_fmt(&b, LINE_COMMENT "%u\n",
		   is_policy ? c->more->text_line : bh_claim_object_place(c)->line);
	if (is_policy)
		bh_str_addn(&b, c->more->words->s + c->more->offset, c->more->len);
	else if (c->kind == BH_KIND_POD)
		pod_text(&b, c->obj);
	else if (c->kind == BH_KIND_NAMESPACE)
		namespace_text(&b, c->obj);
	else
		node_text(&b, c->obj);
	return bh_str_take(&b);
}

static int save(const struct bh_claim *c,
		int (*fn)(const char *key, const char *file, const char *text, void *arg),
		void *arg)
{
	BH_CLEANUP(bh_freep) char *key = bh_claim_key(c);
	BH_CLEANUP(bh_freep) char *text = has_words(c) ? saved_text(c) : NULL;

	return key && (text || !has_words(c)) ? fn(key, c->file->name, text, arg) : -ENOMEM;
}

int bh_objects_saved(const struct bh_objects *o,
		     int (*fn)(const char *key, const char *file, const char *text, void *arg),
		     void *arg)
{
	size_t i;
	int r = bh_index_ready(o);

	for (i = 0; !r && o->opt.keep_text && i < o->index->n; i++) {
		if (o->index->v[i]->wins)
			r = save(o->index->v[i], fn, arg);
	}
	return r;
}

/* ---- what the database lacks ---- */

/* "kind/ns/name" > a claim to look for, whose texts are in copy. */
static bool parse_key(const char *key, char *copy, size_t size, struct bh_claim *ret)
{
	char *ns, *name;
	int kind;

	if ((size_t)snprintf(copy, size, "%s", key) >= size)
		return false;
	ns = strchr(copy, '/');
	name = ns ? strchr(ns + 1, '/') : NULL;
	if (!name)
		return false;
	*ns++ = *name++ = '\0';
	for (kind = 0; kind < BH_KIND_COUNT && strcmp(copy, bh_kind_name(kind)); kind++)
		continue;
	ret->kind = (uint8_t)kind;
	ret->more->ns = ns;
	ret->more->name = name;
	return kind < BH_KIND_COUNT;
}

/* What stands behind the comment, and in which line of its file that began. */
static const char *row_words(const char *text, unsigned *ret_line)
{
	const char *end = strchr(text, '\n');
	unsigned line;

	*ret_line = 1;
	if (!end || strncmp(text, LINE_COMMENT, sizeof(LINE_COMMENT) - 1) ||
	    sscanf(text + sizeof(LINE_COMMENT) - 1, "%8u", &line) != 1 || !line)
		return text;
	*ret_line = line;
	return end + 1;
}

/* Another claim to c's object, whose words went when it was saved: the row still has them. */
static struct bh_claim *displaced_by(const struct bh_index *x, const struct bh_claim *c)
{
	for (size_t i = bh_index_lower(x, c); i < x->n && !bh_claim_cmp_key(x->v[i], c); i++) {
		if (!x->v[i]->wins && x->v[i]->obj && !has_words(x->v[i]))
			return x->v[i];
	}
	return NULL;
}

static int tell_unsaved(const struct bh_claim *c, struct bh_claim *displaced, bh_unsaved_fn *fn,
			void *arg)
{
	BH_CLEANUP(bh_freep) char *key = bh_claim_key(c);
	BH_CLEANUP(bh_freep) char *text = has_words(c) ? saved_text(c) : NULL;
	struct bh_unsaved u = {
		.key = key, .file = c->file->name, .text = text, .displaced = displaced};

	return key && (text || !has_words(c)) ? fn(&u, arg) : -ENOMEM;
}

int bh_objects_unsaved(const struct bh_objects *o, bh_unsaved_fn *fn, void *arg)
{
	const struct bh_index *x = o->index;
	int r = bh_index_ready(o);

	for (size_t i = 0; !r && o->opt.keep_text && i < x->n; i++) {
		const struct bh_claim *c = x->v[i];

		if (c->wins && !c->is_saved)
			r = tell_unsaved(c, displaced_by(x, c), fn, arg);
	}
	return r;
}

int bh_objects_keep_words(void *displaced, const char *text)
{
	struct bh_claim *c = displaced;
	const char *words;

	if (!bh_claim_more(c))
		return -ENOMEM;
	words = row_words(text, &c->more->text_line);
	c->more->words = bh_words_new(words, strlen(words));
	c->more->len = strlen(words);
	c->more->offset = 0;
	return c->more->words ? 0 : -ENOMEM;
}

int bh_objects_unsaved_gone(const struct bh_objects *o, int (*fn)(const char *key, void *arg),
			    void *arg)
{
	int r = bh_index_ready(o);

	for (size_t i = 0; !r && i < o->gone.n; i++) {
		struct bh_claim_more more = {0};
		struct bh_claim key = {.more = &more};
		char copy[1024];

		if (!parse_key(o->gone.v[i], copy, sizeof(copy), &key) ||
		    !bh_objects_find(o, (enum bh_kind)key.kind, more.ns, more.name))
			r = fn(o->gone.v[i], arg);
	}
	return r;
}

void bh_objects_forget_gone(struct bh_objects *o)
{
	bh_vec_each (key, &o->gone)
		free(*key);
	bh_vec_done(&o->gone);
}

void bh_objects_saved_done(struct bh_objects *o)
{
	if (bh_index_ready(o))
		return;
	for (size_t i = 0; i < o->index->n; i++) {
		struct bh_claim *c = o->index->v[i];

		/* The others' words are in nobody else's hands. */
		if (!c->wins)
			continue;
		c->is_saved = true;
		bh_claim_drop_words(c);
	}
	bh_objects_forget_gone(o);
}

/* ---- restoring ---- */

/* true when every claim of the group at i is what its file says. */
static bool are_all_live(const struct bh_index *x, size_t i, const struct bh_claim *key)
{
	size_t k;

	for (k = i; k < x->n && !bh_claim_cmp_key(x->v[k], key); k++) {
		if (x->v[k]->state != BH_CLAIM_LIVE)
			return false;
	}
	return k > i;
}

enum bh_row_state bh_objects_row_state(struct bh_objects *o, const struct bh_row_text *row)
{
	struct bh_claim_more more = {0};
	struct bh_claim key = {.more = &more};
	const struct bh_file *f = bh_objects_find_file(o, row->file);
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_claim *winner;
	char copy[1024];
	size_t i, next;

	if (bh_index_ready(o) || (f && f->unseen) || !parse_key(row->key, copy, sizeof(copy), &key))
		return BH_ROW_NEEDED;
	i = bh_index_lower(o->index, &key);
	if (!are_all_live(o->index, i, &key))
		return BH_ROW_NEEDED;
	winner = bh_index_winner(o->index, i, &next);
	if (winner->file != f || !has_words(winner))
		return BH_ROW_OLD;
	text = saved_text(winner);
	if (!text || strcmp(text, row->text))
		return BH_ROW_OLD;
	winner->is_saved = true;
	bh_claim_drop_words(winner);
	return BH_ROW_CURRENT;
}

/* The first claim to the same object that holds none. */
static struct bh_claim *find_empty(const struct bh_objects *o, const struct bh_claim *c)
{
	for (size_t i = 0; i < o->n_files; i++) {
		if (!o->files[i]->has_empty)
			continue;
		bh_vec_each (x, &o->files[i]->claims) {
			if (!x->obj && !bh_claim_cmp_key(x, c))
				return x;
		}
	}
	return NULL;
}

/* The object is not in its file any more. If another one holds an invalid version of it, it was
 * moved and broken at once: its last good version goes there. */
static int restore_into_other(struct bh_objects *o, const struct bh_claim *c)
{
	struct bh_claim *empty = find_empty(o, c);

	/* Without the index, which each restored object makes stale. */
	for (size_t i = 0; empty && i < o->n_files; i++) {
		bh_vec_each (x, &o->files[i]->claims) {
			if (x->obj && !bh_claim_cmp_key(x, c))
				return 0;
		}
	}
	if (!empty)
		return 0;
	o->index->is_stale = true;
	return bh_claim_inherit(empty, c);
}

/* A loaded file takes a restored version only where its own is invalid or cannot be seen. */
static int restore_into_loaded(struct bh_objects *o, struct bh_file *f, struct bh_claim *c,
			       bool *ret_taken)
{
	size_t i;

	*ret_taken = true;
	for (i = 0; i < f->claims.n; i++) {
		struct bh_claim *x = &f->claims.v[i];

		if (bh_claim_cmp_key(x, c))
			continue;
		o->index->is_stale = true;
		return x->obj ? 0 : bh_claim_inherit(x, c);
	}
	*ret_taken = !f->unseen;
	if (*ret_taken)
		return restore_into_other(o, c);
	if (!bh_claim_more(c))
		return -ENOMEM;
	c->state = BH_CLAIM_UNSEEN;
	c->more->why = strdup(f->unseen);
	return c->more->why ? 0 : -ENOMEM;
}

static int restore_claim(struct bh_objects *o, const char *file, struct bh_claim *c)
{
	struct bh_file *f = bh_objects_add_file(o, file);
	bool is_taken = false;
	int r = 0;

	if (!f)
		return -ENOMEM;
	c->file = f;
	c->state = BH_CLAIM_RESTORED;
	if (f->is_loaded)
		r = restore_into_loaded(o, f, c, &is_taken);
	if (r || is_taken)
		return r;
	if (bh_vec_push(&f->claims, *c))
		return -ENOMEM;
	*c = (struct bh_claim){0};
	f->is_unsorted = true;
	o->has_unsorted = true;
	o->index->is_stale = true;
	return 0;
}

int bh_objects_restore(struct bh_objects *o, const char *key, const char *file, const char *text,
		       struct bh_err *err)
{
	const struct bh_row_text row = {.key = key, .file = file, .text = text};

	return bh_objects_restore_row(o, &row, err);
}

int bh_objects_restore_row(struct bh_objects *o, const struct bh_row_text *row, struct bh_err *err)
{
	const char *key = row->key;
	/* What was good when it was saved is not measured by a rule that came later. */
	struct bh_objects_options opt = {.keep_text = o->opt.keep_text};
	struct bh_file named = {.name = (char *)row->file};
	BH_CLEANUP(bh_reading_done) struct bh_reading r = {.opt = &opt, .file = &named};
	BH_CLEANUP(bh_freep) char *name = NULL;
	const char *words;
	struct bh_claim *c;
	unsigned line;

	o->revision++;
	o->policy_revision++;
	/* Should nobody take it. */
	if (bh_objects_note_gone(o, bh_strf("%s", key)))
		return bh_fail(err, ENOMEM, "saved object '%s': no memory", key);
	words = row_words(row->text, &line);
	r.line_shift = (int)line - 1;
	if (bh_reading_run(&r, words, strlen(words)))
		return bh_fail(err, ENOMEM, "saved object '%s': no memory", key);
	c = r.claims.n == 1 ? &r.claims.v[0] : NULL;
	if (!c || !c->obj)
		return bh_fail(err, EINVAL, "saved object '%s' cannot be read: %s", key,
			       r.problems.n ? r.problems.v[0].text : "it is not one object");
	name = bh_claim_key(c);
	if (!name || strcmp(name, key))
		return bh_fail(err, EINVAL, "saved object '%s' is '%s'", key, name ? name : "");
	c->is_saved = true;
	if (restore_claim(o, row->file, c))
		return bh_fail(err, ENOMEM, "saved object '%s': no memory", key);
	return 0;
}
