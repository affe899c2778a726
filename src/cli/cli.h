/* cli.h - the operator's command line: its table of commands and what each command may use.
 *
 * A command is one struct bh_command in its own cmd_*.c: name, options, help, example, function.
 * The function prints to cli->out and returns one of the exit codes; errors are one sentence each
 * on cli->err. Nothing here touches the kernel: live answers come from the daemon, answers about a
 * directory from the reference evaluator. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/out.h"

enum bh_exit {
	BH_EXIT_OK = 0,
	BH_EXIT_FAILED = 1,    /* it failed, or what was checked does not hold */
	BH_EXIT_USAGE = 2,     /* the command line is wrong */
	BH_EXIT_NO_DAEMON = 3, /* nothing answers at the socket */
};

struct bh_cli {
	struct bh_out out;
	FILE *err;
	const char *socket;
	bool wants_json;
};

struct bh_command {
	const char *name;     /* one or two words */
	const char *operands; /* "FROM TO PORT/PROTO", "" when none */
	const char *summary;  /* one line */
	const char *more;     /* further help, NULL: none */
	const char *example;
	const struct bh_option *options; /* NULL: none */
	unsigned min_operands, max_operands;
	bool shows; /* takes -o */
	int (*run)(struct bh_cli *cli, const struct bh_args *args);
};

/* All commands in the order of the help, NULL-terminated. */
extern const struct bh_command *const bh_commands[];

/* The whole program, with streams of the caller's choice. Returns the exit code. */
int bh_cli_main(int argc, char *const *argv, FILE *out, FILE *err);

/* "bulkhead: sentence" on cli->err, made safe. Returns BH_EXIT_FAILED. */
int bh_cli_fail(const struct bh_cli *cli, const char *fmt, ...) BH_PRINTF(2, 3);
/* Same with a hint at the help; returns BH_EXIT_USAGE. */
int bh_cli_usage(const struct bh_cli *cli, const char *fmt, ...) BH_PRINTF(2, 3);

/* ---- the daemon (call.c) ---- */

struct bh_call {
	const char *verb;
	json_t *take_args;    /* NULL: {} */
	int timeout_ms;	      /* 0: 30 s */
	const char *progress; /* shown on a terminal while it lasts; NULL: nothing */
};
/* Calls the daemon. BH_EXIT_OK and *ret owned by the caller, or the exit code after printing why.
 */
int bh_cli_call(const struct bh_cli *cli, struct bh_call call, json_t **ret);
/* Streams. fn gets each result (borrowed); nonzero ends the stream quietly. */
int bh_cli_stream(const struct bh_cli *cli, struct bh_call call,
		  int (*fn)(const json_t *result, void *arg), void *arg);
/* Calls the daemon and prints the answer: as JSON with -o json, else with show. */
int bh_cli_call_and_show(struct bh_cli *cli, struct bh_call call,
			 int (*show)(struct bh_cli *cli, const json_t *answer));

/* ---- progress on a terminal (progress.c) ---- */

struct bh_progress {
	int pid; /* the child that draws; 0: none */
	int fd;	 /* closing it ends the child */
};
/* Draws "text ..." on stderr after a short while when it is a terminal. */
void bh_progress_start(struct bh_progress *p, const char *text);
void bh_progress_stop(struct bh_progress *p);

/* ---- values ---- */

/* A reason for a person and the log: not empty. Usage error otherwise. */
int bh_cli_reason(const struct bh_cli *cli, const struct bh_args *args, const char **ret);
/* "NS/NAME"; usage error otherwise. */
int bh_cli_pod(const struct bh_cli *cli, const char *text);
/* --name as a duration; *ret_ms keeps its value when it was not given. */
int bh_cli_duration(const struct bh_cli *cli, const struct bh_args *args, const char *name,
		    uint64_t *ret_ms);
