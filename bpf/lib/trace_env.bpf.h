/* trace_env.bpf.h - what the environment of an exec says: libraries that are forced into it, no
 * history for shells, files that interpreters read before what they were started on. Whether such a
 * file is the image's, watch mode sees when it is opened. */
#pragma once

#include "lib/trace_script.bpf.h"

enum env_kind { ENV_NONE, ENV_SHELL, ENV_PYTHON, ENV_LUA, ENV_NODE, ENV_RUBY, ENV_PERL, ENV_JAVA };

#define ENV_NAME 24 /* of a variable, at most */

/* Whose variables are looked at: those of the interpreter whose name is in s->script. */
__noinline int env_reader(struct exec_scratch *s)
{
	const char *t;

	if (!s)
		return ENV_NONE;
	t = s->script.text;
	if (name_begins(t, "bash", 5) || name_begins(t, "sh", 3) || name_begins(t, "dash", 5) ||
	    name_begins(t, "ksh", 3) || name_begins(t, "mksh", 5) || name_begins(t, "busybox", 8))
		return ENV_SHELL;
	if (name_begins(t, "python", 6))
		return ENV_PYTHON;
	if (name_begins(t, "perl", 4))
		return ENV_PERL;
	if (name_begins(t, "ruby", 4))
		return ENV_RUBY;
	if (name_begins(t, "node", 4))
		return ENV_NODE;
	if (name_begins(t, "lua", 3))
		return ENV_LUA;
	return name_begins(t, "java", 5) ? ENV_JAVA : ENV_NONE;
}

#define ENV_HASH_BEGIN 2166136261u

static __always_inline __u32 env_hash(__u32 hash, char c)
{
	return (hash ^ (__u8)c) * 16777619u;
}

/* Of a literal: the compiler's work. */
static __always_inline __u32 env_hash_of(const char *name)
{
	__u32 hash = ENV_HASH_BEGIN;

#pragma clang loop unroll(full)
	for (int i = 0; i < ENV_NAME && name[i]; i++)
		hash = env_hash(hash, name[i]);
	return hash;
}

static __always_inline int env_is_read(__u32 kind, __u32 hash)
{
	switch (kind) {
	case ENV_SHELL:
		return hash == env_hash_of("BASH_ENV") || hash == env_hash_of("ENV");
	case ENV_PYTHON:
		return hash == env_hash_of("PYTHONSTARTUP");
	case ENV_LUA:
		return hash == env_hash_of("LUA_INIT");
	case ENV_NODE:
		return hash == env_hash_of("NODE_OPTIONS");
	case ENV_RUBY:
		return hash == env_hash_of("RUBYOPT");
	case ENV_PERL:
		return hash == env_hash_of("PERL5OPT");
	}
	return hash == env_hash_of("JAVA_TOOL_OPTIONS");
}

/* Options, not a file's name. */
static __always_inline int env_has_words(__u32 kind)
{
	return kind >= ENV_NODE;
}

/* The letters that interpreters put behind a name without a dot, the first lowest. */
static __always_inline __u32 env_ending(__u32 kind)
{
	if (kind == ENV_NODE)
		return '.' | 'j' << 8 | 's' << 16;
	if (kind == ENV_RUBY)
		return '.' | 'r' << 8 | 'b' << 16;
	return kind == ENV_PERL ? '.' | 'p' << 8 | 'm' << 16 : 0;
}

/* Where the name in s->script ends goes to s->env.len; what would be put behind it, to s->env.end.
 */
__noinline int env_measure(struct exec_scratch *s)
{
	volatile struct env_at *e; /* in memory, as in name_last() */
	__u32 i;

	if (!s)
		return 0;
	e = &s->env;
	e->end = env_ending(e->kind);
	for (i = 0; i < sizeof(s->script.text) - 1; i++) {
		char c = s->script.text[i];

		if (!c || (env_has_words(e->kind) && (c == ' ' || c == '=' || c == ',')))
			break;
		if (c == '.')
			e->end = 0;
	}
	e->len = i;
	return 0;
}

/* The name at s->env.from. */
__noinline int env_name(struct exec_scratch *s)
{
	__u32 i, hash, behind;

	if (!s)
		return 0;
	s->env.is_file = 0;
	__builtin_memset(&s->script, 0, sizeof(s->script));
	bpf_probe_read_kernel_str(s->script.text, sizeof(s->script.text),
				  &s->walk.buf[s->env.from & (PATH_HALF - 1)]);
	env_measure(s);
	if (!s->env.len)
		return 0;
#pragma clang loop unroll(full) /* 6.1 does not take the loop that becomes of it */
	for (i = 0; i < sizeof(s->script.text) - 1; i++) {
		behind = i - s->env.len;
		if (i >= s->env.len)
			s->script.text[i] = behind < 4 ? s->env.end >> 8 * behind : 0;
	}
	hash = name_hash(&s->script);
	if (s->env.first)
		s->env.last = hash;
	else
		s->env.first = hash;
	return 1;
}

/* One more letter of a value; 1: it was the last one. */
static __always_inline int env_letter(struct exec_scratch *s, __u32 i)
{
	struct env_at *e = &s->env;
	int is_word = env_has_words(e->kind);
	char c, next;

	c = s->walk.buf[i & (PATH_HALF - 1)];
	next = s->walk.buf[(i + 1) & (PATH_HALF - 1)];
	if (!c || (is_word && c == ' ')) {
		if (e->is_file == 1)
			env_name(s);
		e->from = i + 1;
		e->is_file = 0;
		return !c;
	}
	if (c == '/' || c == '@' || (is_word && (c == ':' || c == '"'))) {
		e->from = i + 1;
		e->is_file |= c == '/';
	}
	if (e->kind == ENV_PERL && c == '-') { /* -Mname, -I/directory */
		e->from = i + 2;
		e->is_file = next == 'M' || next == 'm' ? 1 : 2;
	}
	return 0;
}

static long env_next(__u32 i, struct exec_scratch **s)
{
	return env_letter(*s, (*s)->env.value + i);
}

/* Where its value begins; 0: the variable does not matter to who is started. */
__noinline int env_begin(struct exec_scratch *s)
{
	__u32 i, hash = ENV_HASH_BEGIN;

	if (!s)
		return 0;
	for (i = 0; i < ENV_NAME && s->walk.buf[i] != '='; i++)
		hash = env_hash(hash, s->walk.buf[i]);
	if (!env_is_read(s->env.kind, hash))
		return 0;
	s->env.from = s->env.value = i + 1;
	s->env.is_file = !env_has_words(s->env.kind) && s->walk.buf[(i + 1) & (PATH_HALF - 1)];
	return s->env.from;
}

/* LD_PRELOAD or LD_AUDIT. A search path is in every second image. And HISTFILE, where that is
 * nothing. A function of its own for the verifier's sake. */
__noinline int env_flags(struct exec_scratch *s)
{
	const char *t;

	if (!s)
		return 0;
	t = s->walk.buf;
	if (t[0] == 'H' && t[1] == 'I' && t[2] == 'S' && t[3] == 'T' && t[4] == 'F' &&
	    t[5] == 'I' && t[6] == 'L' && t[7] == 'E' && t[8] == '=' &&
	    (!t[9] || (t[9] == '/' && t[10] == 'd' && t[11] == 'e' && t[12] == 'v')))
		return BH_TRACE_F_NO_HISTORY;
	if (t[0] != 'L' || t[1] != 'D' || t[2] != '_')
		return 0;
	if ((t[3] == 'P' && t[4] == 'R' && t[5] == 'E') ||
	    (t[3] == 'A' && t[4] == 'U' && t[5] == 'D'))
		return BH_TRACE_F_PRELOAD;
	return 0;
}

/* ---- finding the variables ----
 *
 * A pod has dozens of them, and one call for each took longer than all the rest of the exec. So
 * they are read in chunks, and only a word with a NUL in it is looked at by letters. */

#define ENV_AHEAD  8	  /* bytes of a chunk that are there for names that begin before them */
#define ENV_CHUNKS 16384u /* more than the kernel lets an environment have */
#define ENV_ONES   0x0101010101010101ull
#define ENV_HIGHS  0x8080808080808080ull

static __always_inline __u32 env_letters(const char *t)
{
	return (__u8)t[0] | (__u32)(__u8)t[1] << 8 | (__u32)(__u8)t[2] << 16;
}

/* How those begin that matter to who is started; ~0: there is none. */
static __always_inline __u32 env_first(__u32 kind)
{
	switch (kind) {
	case ENV_SHELL:
		return env_letters("BASH_ENV");
	case ENV_PYTHON:
		return env_letters("PYTHONSTARTUP");
	case ENV_LUA:
		return env_letters("LUA_INIT");
	case ENV_NODE:
		return env_letters("NODE_OPTIONS");
	case ENV_RUBY:
		return env_letters("RUBYOPT");
	case ENV_PERL:
		return env_letters("PERL5OPT");
	case ENV_JAVA:
		return env_letters("JAVA_TOOL_OPTIONS");
	}
	return ~0u;
}

/* Whether it matters which variable begins there in the chunk. */
static __always_inline int env_may_matter(const struct exec_scratch *s, __u32 from)
{
	__u32 letters = env_letters((const char *)s->rest.chunk + from);

	return unlikely(letters == env_letters("LD_") || letters == env_letters("HIS") ||
			letters == s->env.begins[0] || letters == s->env.begins[1]);
}

/* One that may. */
__noinline int env_variable(struct exec_scratch *s, __u32 from)
{
	if (!s ||
	    bpf_probe_read_user_str(s->walk.buf, PATH_HALF, (const void *)(s->rest.at + from)) <= 0)
		return 0;
	s->flags |= env_flags(s);
	if (s->env.kind && env_begin(s))
		bpf_loop(PATH_HALF, env_next, &s, 0);
	return 0;
}

/* Those behind a NUL of the word. */
__noinline int env_word(struct exec_scratch *s, __u32 word)
{
	__u32 i, at;

	if (!s || word >= (REST_CHUNK - ENV_AHEAD) / 8)
		return 0;
	for (i = 0; i < 8; i++) {
		at = word * 8 + i;
		if (!((const char *)s->rest.chunk)[at] && env_may_matter(s, at + 1) &&
		    at + 1 < s->rest.n)
			env_variable(s, at + 1);
	}
	return 0;
}

/* A function of its own for the verifier's sake. */
__noinline int env_words(struct exec_scratch *s)
{
	__u32 word;
	__u64 v;

	if (!s)
		return 0;
	for (word = 0; word < (REST_CHUNK - ENV_AHEAD) / 8; word++) {
		if (word * 8 >= s->rest.n)
			break;
		v = s->rest.chunk[word];
		if ((v - ENV_ONES) & ~v & ENV_HIGHS)
			env_word(s, word);
	}
	return 0;
}

/* bpf_loop calls it: the next chunk; 1: it was the last one. */
static long env_chunk(__u32 i, struct exec_scratch **at)
{
	struct exec_scratch *s = *at;
	__u64 left = s->rest.end - s->rest.at;
	__u32 n = left < REST_CHUNK ? left : REST_CHUNK;

	s->rest.n = n;
	if (bpf_probe_read_user(s->rest.chunk, n, (const void *)s->rest.at))
		return 1;
	if (!i && env_may_matter(s, 0))
		env_variable(s, 0);
	env_words(s);
	s->rest.at += REST_CHUNK - ENV_AHEAD;
	return s->rest.at >= s->rest.end;
}

/* Looks through the environment. Not in light mode. Before the path of the working directory, whose
 * room it uses. */
static __always_inline void record_env(struct exec_scratch *s, const struct exec_of *of)
{
	const struct bh_trace_config *cfg = trace_config_get();

	if (likely(!cfg || cfg->mode < BH_TRACE_WATCH))
		return;
	s->rest.at = of->p->mm->env_start;
	s->rest.end = of->p->mm->env_end;
	if (s->rest.at >= s->rest.end)
		return;
	__builtin_memset(&s->script, 0, sizeof(s->script));
	bpf_probe_read_kernel_str(s->script.text, sizeof(s->script.text),
				  of->bprm->file->f_path.dentry->d_name.name);
	s->env.kind = env_reader(s);
	s->env.begins[0] = env_first(s->env.kind);
	s->env.begins[1] = s->env.kind == ENV_SHELL ? env_letters("ENV") : ~0u;
	bpf_loop(ENV_CHUNKS, env_chunk, &s, 0);
}

static __always_inline int record_send(struct exec_scratch *s, const struct exec_of *of,
				       int is_high)
{
	__u64 len;

	record_env(s, of);
	record_head(s, of->p);
	record_numbers(s, of->p);
	record_strings(s, of);
	if (is_high)
		record_of(s)->head.flags |= BH_TRACE_F_HIGH;
	len = s->pos;
	if (len > TAIL_STRINGS + BH_TRACE_ARGS)
		len = TAIL_STRINGS + BH_TRACE_ARGS;
	record_of(s)->head.len = sizeof(struct bh_trace_exec) + len;
	return ring_send(is_high, s->record, sizeof(struct bh_trace_exec) + len) == 0;
}
