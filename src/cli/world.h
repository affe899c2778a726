/* world.h - policy worlds out of files, for the commands that work without a daemon. */
#pragma once

#include "cli/cli.h"
#include "policy/objects.h"

/* Reads a file, or every .yaml, .yml and .json file below a directory, into o. Prints why not. */
int bh_cli_read(const struct bh_cli *cli, struct bh_objects *o, const char *path);
/* Adds what only shows when the files that ImagePolicies name are read: keys and roots that are not
 * there or not fit, keys that end within 30 days. Paths are the operands. -ENOMEM. */
int bh_cli_check_images(const struct bh_args *args, struct bh_problems *problems);
/* Prints the errors among o's problems to cli->err (what is not in force, and why). */
int bh_cli_print_errors(const struct bh_cli *cli, const struct bh_objects *o);
/* Seals what the n paths describe into one world, seen now. Errors of single objects are printed
 * and the rest is answered for. */
int bh_cli_world(const struct bh_cli *cli, const char *const *paths, size_t n, bool default_allow,
		 struct bh_world **ret);
/* The same for objects that are already read. */
int bh_cli_seal(const struct bh_cli *cli, const struct bh_objects *o, bool default_allow,
		struct bh_world **ret);

/* --manifests DIR and --default, shared by matrix, explain, diff and test. */
#define BH_CLI_MANIFESTS                                                                           \
	{                                                                                          \
		"manifests", "DIR", "answer from this directory, without a daemon", 0, false,      \
			false                                                                      \
	}
#define BH_CLI_DEFAULT                                                                             \
	{                                                                                          \
		"default", "deny|kubernetes", "what holds where no policy selects a pod (deny)",   \
			0, false, false                                                            \
	}
/* Checks the two options. *ret_dir NULL: ask the daemon. */
int bh_cli_source(const struct bh_cli *cli, const struct bh_args *args, const char **ret_dir,
		  bool *ret_default_allow);
/* "80/TCP", "53/udp", "ICMP"; usage error otherwise. */
int bh_cli_port(const struct bh_cli *cli, const char *text, uint16_t *ret_port, uint8_t *ret_proto);
