/* generate_parts.h - shared by the generate_*.c files. Inside detect/ only. */
#pragma once

#include "detect/generate.h"
#include "policy/objects.h"

/* Keys of one kind that the input asks for, sorted; borrowed from the baseline. */
struct bh_gen_keys {
	const char **v;
	size_t n;
};
int bh_gen_keys(const struct bh_gen_input *in, enum bh_base_kind kind, struct bh_gen_keys *ret);
void bh_gen_keys_done(struct bh_gen_keys *k);

/* apiVersion to podSelector. */
void bh_gen_head(const struct bh_gen_input *in, const char *api, const char *kind,
		 struct bh_str *out);
void bh_gen_labels(const struct bh_labels *l, struct bh_str *out);
/* Reads a text back; -EPROTO with the first problem when there is an error among them. */
int bh_gen_parse(const char *text, struct bh_objects **ret, struct bh_err *err);
