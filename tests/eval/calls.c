#include "eval/calls.h"

#include <ctype.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "detect/seq.h"

#define WORD	64   /* names that begin with the same 63 characters are one */
#define COLUMNS 32   /* a call's name is in one of so many */
#define SAMPLE	5000 /* lines that tell how a file is laid out */
#define TABLE	20   /* so many lines of equally many words are a table */

struct span {
	const char *at, *end;
};

/* What the first lines of a file are like. */
struct shape {
	size_t lines, words, known, entries;
	size_t column[COLUMNS], changes[COLUMNS];
	uint64_t last[COLUMNS];
	size_t width, ragged; /* words of the last line, and how often that changed */
	size_t best;	      /* the column of calls; COLUMNS: none */
	bool is_names;	      /* hardly a word that is not the name of a call, and no table */
};

struct line {
	struct span word[COLUMNS];
	size_t n;
	bool is_numbers;
	int direction; /* of the call: 1 entry, -1 return, 0 not said */
};

static bool separates(char c)
{
	return strchr(" \t,;\r\v\f\"'()[]{}:=|", c) != NULL; /* NUL too */
}

static bool names(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool begins_name(const struct span *s)
{
	return isalpha((unsigned char)*s->at) || *s->at == '_';
}

static bool is_number(const struct span *s)
{
	const char *at = s->at + (*s->at == '-' || *s->at == '+');

	if (at == s->end)
		return false;
	while (at < s->end && isdigit((unsigned char)*at))
		at++;
	return at == s->end;
}

static bool is_text(const struct span *s, const char *text)
{
	return (size_t)(s->end - s->at) == strlen(text) && !memcmp(s->at, text, strlen(text));
}

/* The next word of a line; false at its end. */
static bool next(struct span *line, struct span *ret)
{
	while (line->at < line->end && separates(*line->at))
		line->at++;
	ret->at = line->at;
	while (line->at < line->end && !separates(*line->at))
		line->at++;
	ret->end = line->at;
	return ret->at < ret->end;
}

/* ---- names of calls ---- */

/* A name's own letters, in lower case, without what tracers put before it. 1 where that says entry,
 * -1 return. */
static int name_of(const struct span *s, char out[WORD])
{
	static const struct {
		const char *text;
		int direction;
	} before[] = {{"sys_enter_", 1}, {"sys_exit_", -1},   {"__x64_sys_", 0}, {"__se_sys_", 0},
		      {"__nr_", 0},	 {"__arm64_sys_", 0}, {"ksys_", 0},	 {"sys_", 0}};
	size_t n = 0;

	while (n < WORD - 1 && s->at + n < s->end && names(s->at[n])) {
		out[n] = (char)tolower((unsigned char)s->at[n]);
		n++;
	}
	out[n] = '\0';
	for (size_t i = 0; i < BH_ARRAY_SIZE(before); i++) {
		size_t len = strlen(before[i].text);

		if (n > len && !memcmp(out, before[i].text, len)) {
			memmove(out, out + len, n - len + 1);
			return before[i].direction;
		}
	}
	return 0;
}

static bool is_call(const char *name)
{
	/* "syscall" is what tables call their column */
	return strcmp(name, "syscall") && seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
}

/* Is the whole word the name of a call? */
static bool known(const struct bh_words *w, const struct span *s)
{
	char name[WORD];
	const char *at = s->at;

	while (at < s->end && names(*at))
		at++;
	if (at < s->end || !begins_name(s))
		return false;
	name_of(s, name);
	return (bh_map_get_s(&w->numbers, name) && !bh_map_get_s(&w->odd, name)) || is_call(name);
}

static int add_name(const char *name, struct bh_words *w, struct bh_calls *out)
{
	size_t number = (uintptr_t)bh_map_get_s(&w->numbers, name);

	if (!number) {
		number = w->numbers.count + 1;
		if (number >= BH_SEQ_CALLS) {
			w->beyond++;
			return bh_vec_push(out, (uint16_t)(BH_SEQ_CALLS - 1));
		}
		if (!isdigit((unsigned char)*name) && *name != '-' && *name != '+' &&
		    !is_call(name) && bh_map_set_s(&w->odd, name, w))
			return -ENOMEM;
		if (bh_map_set_s(&w->numbers, name, (void *)number))
			return -ENOMEM;
	}
	return bh_vec_push(out, (uint16_t)(number - 1));
}

static int add(const struct span *s, struct bh_words *w, struct bh_calls *out)
{
	char name[WORD];
	size_t n = (size_t)(s->end - s->at);

	if (begins_name(s)) {
		name_of(s, name);
	} else {
		n = n < WORD ? n : WORD - 1;
		memcpy(name, s->at, n);
		name[n] = '\0';
	}
	return add_name(name, w, out);
}

/* ---- lines ---- */

/* false: a line that is no call, whatever it says. */
static bool split(struct span text, struct line *ret)
{
	struct span word;

	ret->n = 0;
	ret->is_numbers = true;
	ret->direction = 0;
	if (text.at < text.end && *text.at == '#')
		return false;
	while (next(&text, &word)) {
		ret->is_numbers &= is_number(&word);
		/* strace: the rest of a call that began before, a signal, an end */
		if (is_text(&word, "resumed>") || is_text(&word, "---") || is_text(&word, "+++"))
			return false;
		if (is_text(&word, ">") || is_text(&word, "<"))
			ret->direction = ret->direction ? ret->direction : *word.at == '>' ? 1 : -1;
		if (ret->n < COLUMNS)
			ret->word[ret->n++] = word;
	}
	return ret->n > 0;
}

static bool next_line(struct span *text, struct span *ret)
{
	if (text->at >= text->end)
		return false;
	ret->at = text->at;
	ret->end = memchr(text->at, '\n', (size_t)(text->end - text->at));
	if (!ret->end)
		ret->end = text->end;
	text->at = ret->end + 1;
	return true;
}

static void look_at(const struct line *line, const struct bh_words *w, struct shape *s)
{
	char name[WORD];

	s->lines++;
	for (size_t i = 0; i < line->n; i++) {
		const struct span *word = &line->word[i];
		uint64_t hash = bh_hash(word->at, (size_t)(word->end - word->at), 0);
		bool is_known = known(w, word);

		s->changes[i] += s->last[i] != hash;
		s->last[i] = hash;
		s->words += begins_name(word);
		s->known += is_known;
		s->column[i] += is_known;
		s->entries += is_known && name_of(word, name) > 0;
	}
	s->ragged += s->width != line->n;
	s->width = line->n;
	s->entries += line->direction > 0;
}

static struct shape shape_of(struct span text, const struct bh_words *w)
{
	struct shape s = {.best = COLUMNS};
	struct line line;
	struct span one;
	size_t most = 0;

	while (s.lines < SAMPLE && next_line(&text, &one)) {
		if (split(one, &line) && !line.is_numbers)
			look_at(&line, w, &s);
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		/* a process may have a call's name, but not another one in each line */
		if (s.column[i] + s.changes[i] > most && s.column[i] * 2 >= s.lines) {
			most = s.column[i] + s.changes[i];
			s.best = i;
		}
	}
	s.is_names =
		s.known * 10 >= s.words * 9 && (s.lines < TABLE || s.width < 2 || s.ragged > 1);
	return s;
}

/* The word of a line that is its call, or NULL. */
static const struct span *call_of(const struct line *line, const struct shape *s,
				  const struct bh_words *w)
{
	const struct span *first = NULL;

	if (s->best < line->n && known(w, &line->word[s->best]))
		return &line->word[s->best];
	for (size_t i = 0; i < line->n; i++) {
		if (known(w, &line->word[i]))
			return &line->word[i];
		if (!first && begins_name(&line->word[i]))
			first = &line->word[i];
	}
	return s->best < line->n && begins_name(&line->word[s->best]) ? &line->word[s->best]
								      : first;
}

static bool is_title(const struct span *s)
{
	static const char *const titles[] = {"syscall", "syscalls",  "syscall_name", "syscallname",
					     "name",	"call",	     "event",	     "evt",
					     "sysname", "event_name"};
	char name[WORD];

	name_of(s, name);
	for (size_t i = 0; i < BH_ARRAY_SIZE(titles); i++) {
		if (!strcmp(name, titles[i]))
			return true;
	}
	return false;
}

static int add_all(struct span text, bool is_numbers, struct bh_words *w, struct bh_calls *out)
{
	struct span word;
	int r = 0;

	while (!r && next(&text, &word)) {
		if (is_numbers || begins_name(&word))
			r = add(&word, w, out);
	}
	return r;
}

static int parse_line(struct span text, const struct shape *s, struct bh_words *w,
		      struct bh_calls *out)
{
	const struct span *call;
	struct line line;
	char name[WORD];
	int direction;

	if (!split(text, &line))
		return 0;
	if (line.is_numbers)
		return add_all(text, true, w, out);
	if (!out->n && is_title(&line.word[s->best < line.n ? s->best : 0]))
		return 0;
	call = call_of(&line, s, w);
	if (!call)
		return 0;
	direction = line.direction ? line.direction : name_of(call, name);
	if (direction < 0 && s->entries)
		return 0;
	return s->is_names ? add_all(text, false, w, out) : add(call, w, out);
}

int bh_calls_parse(const char *text, size_t len, struct bh_words *w, struct bh_calls *out)
{
	struct span all = {text, text + len}, one;
	struct shape shape;
	int r = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		all.at += 3;
	shape = shape_of(all, w);
	while (!r && next_line(&all, &one))
		r = parse_line(one, &shape, w, out);
	return r;
}

void bh_words_done(struct bh_words *w)
{
	bh_map_done(&w->numbers);
	bh_map_done(&w->odd);
}
