/* Bounded driver for the fuzz targets, used where libFuzzer is not: replays every file of the given
 * corpus, then a fixed number of mutations of them. The same seed gives the same inputs. An input
 * that crashes or hangs is written to a file whose name is printed; it belongs into the corpus.
 *
 * usage: fuzz_x [-n MUTATIONS] [-s SEED] [-t SECONDS] CORPUS... */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/vec.h"

#define MAX_INPUT      65536
#define INPUT_DEADLINE 20 /* seconds one input may take */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t *data;
	size_t size;
};

static BH_VEC(struct input) corpus;
static uint64_t random_state;
static struct input current; /* for the crash handler */
static char crash_file[512];

/* Sanitizers exit by themselves unless told to abort, and then nobody could save the input. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "abort_on_error=1";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "abort_on_error=1";
}

/* ---- running one input ---- */

static void write_text(const char *text)
{
	ssize_t n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

static void on_crash(int signo)
{
	int fd = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd >= 0 && write(fd, current.data, current.size) == (ssize_t)current.size) {
		write_text(signo == SIGALRM ? "hangs on the input in "
					    : "crashes on the input in ");
		write_text(crash_file);
		write_text("\n");
	}
	signal(signo, SIG_DFL);
	raise(signo);
}

/* The copy is exactly as long as the input, so that ASan sees a read past its end. */
static void run_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	current = (struct input){copy, size};
	alarm(INPUT_DEADLINE);
	LLVMFuzzerTestOneInput(copy, size);
	alarm(0);
	free(copy);
}

/* ---- mutation ---- */

static uint64_t random_u64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t random_below(size_t n)
{
	return n ? (size_t)(random_u64() % n) : 0;
}

/* Replaces the `del` bytes at `at` by `ins` bytes of `with`, as far as there is room. */
static void replace_range(struct input *in, size_t at, size_t del, const void *with, size_t ins)
{
	size_t tail = in->size - at - del;

	if (at + ins + tail > MAX_INPUT)
		return;
	memmove(in->data + at + ins, in->data + at + del, tail);
	memcpy(in->data + at, with, ins);
	in->size = at + ins + tail;
}

static void insert_token(struct input *in)
{
	static const char *const tokens[] = {
		"0",  "-1", "255", "256", "65535", "65536", "4294967296", "9223372036854775808",
		"{",  "}",  "[",   "]",	  "\"",	   ":",	    ",",	  "- ",
		"\n", "  ", "---", "&a ", "*a",	   "null",  "true",	  "\\u0000",
		"/",  "%",  "@",   "=",	  "..",	   "\xff",  "\xc3\xa4",	  "\xf0\x9f\x90\xa7",
	};
	const char *token = tokens[random_below(sizeof(tokens) / sizeof(tokens[0]))];
	size_t at = random_below(in->size + 1);
	size_t del = random_below(2) ? random_below(in->size - at + 1) % 8 : 0;

	replace_range(in, at, del, token, strlen(token));
}

static void copy_piece(struct input *in, const struct input *from)
{
	uint8_t piece[256];
	size_t start = random_below(from->size), n = from->size - start;

	n = random_below((n < sizeof(piece) ? n : sizeof(piece)) + 1);
	if (n)
		memcpy(piece, from->data + start, n);
	replace_range(in, random_below(in->size + 1), 0, piece, n);
}

static void mutate(struct input *in)
{
	static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x10, 0x20, 0x40};
	size_t at = random_below(in->size);
	uint8_t byte = (uint8_t)random_u64();

	switch (random_below(in->size ? 8 : 2)) {
	case 0:
		insert_token(in);
		break;
	case 1:
		replace_range(in, random_below(in->size + 1), 0, &byte, 1);
		break;
	case 2:
		in->data[at] ^= (uint8_t)(1u << random_below(8));
		break;
	case 3:
		in->data[at] = byte;
		break;
	case 4:
		in->data[at] = edges[random_below(sizeof(edges))];
		break;
	case 5:
		replace_range(in, at, 1 + random_below(in->size - at) % 64, "", 0);
		break;
	case 6:
		copy_piece(in, in);
		break;
	default:
		copy_piece(in, &corpus.v[random_below(corpus.n)]);
		break;
	}
}

static void run_mutation(void)
{
	static uint8_t buf[MAX_INPUT];
	const struct input *seed = &corpus.v[random_below(corpus.n)];
	struct input in = {buf, seed->size};

	if (seed->size)
		memcpy(buf, seed->data, seed->size);
	for (size_t n = 1 + random_below(8); n; n--)
		mutate(&in);
	run_one(in.data, in.size);
}

/* ---- corpus and main ---- */

static int load_file(const char *path, void *arg)
{
	struct bh_err err;
	struct input in;
	char *text;

	(void)arg;
	if (bh_fs_read(path, MAX_INPUT, &text, &in.size, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	in.data = (uint8_t *)text;
	return bh_vec_push(&corpus, in) ? 1 : 0;
}

static int load_corpus(const char *path)
{
	struct bh_err err;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return 0; /* a target without a corpus starts from the empty input */
	if (!S_ISDIR(st.st_mode))
		return load_file(path, NULL);
	r = bh_fs_walk(path, load_file, NULL, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r;
}

static void prepare(const char *program)
{
	static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
	const char *slash = strrchr(program, '/');
	const char *tmp = getenv("TMPDIR");

	snprintf(crash_file, sizeof(crash_file), "%s/crash-%s-%d", tmp ? tmp : "/tmp",
		 slash ? slash + 1 : program, (int)getpid());
	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
		signal(deadly[i], on_crash);
}

int main(int argc, char **argv)
{
	unsigned long mutations = 1000, done = 0;
	time_t end, seconds = 60;
	size_t files;
	int opt;

	while ((opt = getopt(argc, argv, "n:s:t:")) != -1) {
		if (opt == 'n')
			mutations = strtoul(optarg, NULL, 10);
		else if (opt == 's')
			random_state = strtoull(optarg, NULL, 10);
		else if (opt == 't')
			seconds = (time_t)strtol(optarg, NULL, 10);
		else
			return 2;
	}
	for (int i = optind; i < argc; i++) {
		if (load_corpus(argv[i]))
			return 1;
	}
	prepare(argv[0]);
	files = corpus.n;
	for (size_t i = 0; i < files; i++)
		run_one(corpus.v[i].data, corpus.v[i].size);
	if (bh_vec_push(&corpus, ((struct input){NULL, 0})))
		return 1;
	for (end = time(NULL) + seconds; done < mutations && time(NULL) < end; done++)
		run_mutation();
	printf("%zu files, %lu mutations\n", files, done);
	bh_vec_each (in, &corpus)
		free(in->data);
	bh_vec_done(&corpus);
	return 0;
}
