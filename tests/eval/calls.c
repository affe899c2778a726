#include "eval/calls.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "detect/seq.h"

#define WORD 64 /* names that begin with the same 63 characters are one */

struct span {
	const char *at, *end;
};

static bool separates(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == ';' || c == '\r' || c == '\v' ||
	       c == '\f' || c == '\0';
}

static bool names(char c)
{
	return isalnum((unsigned char)c) || c == '_';
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

static int add(const struct span *s, struct bh_words *w, struct bh_calls *out)
{
	size_t n = (size_t)(s->end - s->at), number;
	char word[WORD];

	n = n < WORD ? n : WORD - 1;
	memcpy(word, s->at, n);
	word[n] = '\0';
	number = (uintptr_t)bh_map_get_s(&w->numbers, word);
	if (!number) {
		number = w->numbers.count + 1;
		if (number >= BH_SEQ_CALLS)
			return bh_vec_push(out, (uint16_t)(BH_SEQ_CALLS - 1));
		if (bh_map_set_s(&w->numbers, word, (void *)number))
			return -ENOMEM;
	}
	return bh_vec_push(out, (uint16_t)(number - 1));
}

static int parse_line(struct span line, struct bh_words *w, struct bh_calls *out)
{
	struct span all = line, word, name = {0};
	bool is_numbers = true;
	int r = 0;

	while (next(&all, &word)) {
		if (is_number(&word))
			continue;
		is_numbers = false;
		if (!name.at && (isalpha((unsigned char)*word.at) || *word.at == '_'))
			name = word;
	}
	while (is_numbers && !r && next(&line, &word))
		r = add(&word, w, out);
	if (is_numbers || !name.at)
		return r;
	for (word = name; name.at < word.end && names(*name.at);)
		name.at++;
	word.end = name.at;
	return add(&word, w, out);
}

int bh_calls_parse(const char *text, size_t len, struct bh_words *w, struct bh_calls *out)
{
	struct span line = {text, text};
	const char *end = text + len;
	int r = 0;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		line.at += 3;
	for (; !r && line.at < end; line.at = line.end + 1) {
		line.end = memchr(line.at, '\n', (size_t)(end - line.at));
		if (!line.end)
			line.end = end;
		if (*line.at != '#')
			r = parse_line(line, w, out);
	}
	return r;
}

void bh_words_done(struct bh_words *w)
{
	bh_map_done(&w->numbers);
}
