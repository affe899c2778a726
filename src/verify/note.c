#include "verify/note.h"

#include <string.h>

#define MAX_NOTE  (64u << 10)
#define MAX_LINES 64
#define DASH	  "\xe2\x80\x94 "

struct line {
	const char *at;
	size_t n;
};

static bool next_line(const char **at, struct line *ret)
{
	const char *end = strchr(*at, '\n');

	if (!end)
		return false;
	*ret = (struct line){*at, (size_t)(end - *at)};
	*at = end + 1;
	return true;
}

static int bad(struct bh_flaw *flaw, const char *what)
{
	return bh_flaw(flaw, BH_WORD_TLOG_CHECKPOINT, "checkpoint: %s", what);
}

/* The name that signs is the origin, without the tree's number that Rekor v1 appends to it. */
static bool is_origin(const struct line *origin, const char *name, size_t n)
{
	return n && n <= origin->n && !memcmp(origin->at, name, n) &&
	       (n == origin->n || (origin->n > n + 3 && !memcmp(origin->at + n, " - ", 3)));
}

static bool size_of(const struct line *l, int64_t *ret)
{
	*ret = 0;
	if (!l->n || l->n > 18 || (l->n > 1 && *l->at == '0'))
		return false;
	for (size_t i = 0; i < l->n; i++) {
		if (l->at[i] < '0' || l->at[i] > '9')
			return false;
		*ret = *ret * 10 + l->at[i] - '0';
	}
	return true;
}

static int parse_text(const char *text, struct line *ret_origin, struct bh_checkpoint *ret,
		      struct bh_flaw *flaw)
{
	struct line size, root;
	struct bh_blob hash = {0};
	char b64[64] = "";
	bool ok;

	if (!next_line(&text, ret_origin) || !ret_origin->n || !next_line(&text, &size) ||
	    !size_of(&size, &ret->size))
		return bad(flaw, "no origin or no size");
	if (!next_line(&text, &root) || root.n >= sizeof(b64))
		return bad(flaw, "no root hash");
	memcpy(b64, root.at, root.n);
	ok = !bh_b64_decode(b64, root.n, &hash) && hash.n == sizeof(ret->root);
	if (ok)
		memcpy(ret->root, hash.v, hash.n);
	bh_blob_done(&hash);
	return ok ? 0 : bad(flaw, "no root hash");
}

/* "— name base64": the name must be the origin, the first four bytes the log's id. */
static bool line_is_by(const struct line *l, const struct line *origin, const struct bh_log *log,
		       const struct bh_blob *text)
{
	const char *name = l->at + strlen(DASH), *space;
	BH_CLEANUP(bh_freep) char *b64 = NULL;
	struct bh_blob sig = {0}, tail;
	struct bh_flaw flaw;
	bool ok;

	if (l->n <= strlen(DASH) || memcmp(l->at, DASH, strlen(DASH)))
		return false;
	space = memchr(name, ' ', l->n - strlen(DASH));
	if (!space || !is_origin(origin, name, (size_t)(space - name)))
		return false;
	b64 = strndup(space + 1, (size_t)(l->at + l->n - space - 1));
	if (!b64 || bh_b64_decode(b64, strlen(b64), &sig))
		return false;
	ok = sig.n > 4 && !memcmp(sig.v, log->note_id, 4);
	tail = (struct bh_blob){sig.v + 4, sig.n - 4};
	ok = ok && !bh_key_verify(&log->key, BH_SIG_LOG, text, &tail, &flaw);
	bh_blob_done(&sig);
	return ok;
}

/* host: of the log's URL. Its port need not be part of the origin. */
static bool is_of_host(const struct line *origin, const char *host)
{
	const char *colon = strrchr(host, ':');

	return is_origin(origin, host, strlen(host)) ||
	       (colon && !strchr(colon, ']') && is_origin(origin, host, (size_t)(colon - host)));
}

/* The last empty line parts text and signatures. */
static const char *last_gap(const char *note)
{
	const char *gap = NULL;

	for (const char *at = strstr(note, "\n\n"); at; at = strstr(at + 1, "\n\n"))
		gap = at;
	return gap;
}

int bh_checkpoint_verify(const char *note, const struct bh_log *log, struct bh_checkpoint *ret,
			 struct bh_flaw *flaw)
{
	const char *gap = last_gap(note), *at;
	struct bh_blob text = {(unsigned char *)note, 0};
	struct line origin = {0}, line;
	struct bh_checkpoint found;
	int r;

	if (strlen(note) > MAX_NOTE || !gap || note[strlen(note) - 1] != '\n')
		return bad(flaw, "no signed note");
	text.n = (size_t)(gap - note) + 1;
	r = parse_text(note, &origin, &found, flaw);
	if (r)
		return r;
	if (log->host && !is_of_host(&origin, log->host))
		return bad(flaw, "of another log");
	at = gap + 2;
	for (int i = 0; i < MAX_LINES && next_line(&at, &line); i++) {
		if (line_is_by(&line, &origin, log, &text)) {
			*ret = found;
			return 0;
		}
	}
	return bad(flaw, "not signed by the log");
}
