/* bulkheadd: arguments, exit code. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "bulkhead_version.h"
#include "daemon/daemon.h"
#include "daemon/memory.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

static const char usage[] =
	"usage: bulkheadd [--config FILE] [--check] [--version]\n"
	"The node daemon: enforces policy on the pods CNI hands to it.\n"
	"  --config FILE  settings (default " BH_CONFIG_DEFAULT_FILE
	" when it exists)\n"
	"  --check        validate the settings and exit\n"
	"  --verbose      log more\n"
	"  --version      print the version and exit\n";

static int run(struct bh_settings **take_cfg)
{
	BH_CLEANUP(bh_daemon_closep) struct bh_daemon *d = NULL;
	struct bh_err err = {0};

	signal(SIGPIPE, SIG_IGN);
	if (bh_daemon_open(take_cfg, &d, &err) < 0 || bh_daemon_run(d, &err) < 0) {
		bh_error("%s", err.text);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'},	  {"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},	  {0}};
	BH_CLEANUP(bh_settings_freep) struct bh_settings *cfg = NULL;
	const char *path = access(BH_CONFIG_DEFAULT_FILE, F_OK) ? NULL : BH_CONFIG_DEFAULT_FILE;
	struct bh_err err = {0};
	bool check = false;
	int opt;

	bh_json_forgets();
	bh_memory_setup();
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			path = optarg;
			break;
		case 'k':
			check = true;
			break;
		case 'V':
			puts("bulkheadd " BH_VERSION);
			return EXIT_OK;
		case 'v':
			bh_log_set_level(BH_LOG_DEBUG);
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_OK;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (bh_settings_load(path, &cfg, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_FAILED;
	}
	return check ? EXIT_OK : run(&cfg);
}
