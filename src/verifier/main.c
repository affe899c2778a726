/* bulkhead-image-verifier: containerd's image verifier (plugin
 *io.containerd.image-verifier.v1.bindir) that asks the daemon about the digest that is about to be
 *pulled.
 *
 *	bulkhead-image-verifier -name REFERENCE -digest DIGEST [-stdin-media-type TYPE] < DESCRIPTOR
 *
 * Exit 0: pull it. Anything else: do not; standard output says why. Without a daemon nothing is
 * pulled. BULKHEAD_SOCKET in containerd's environment names another socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "bulkhead/ctl.h"
#include "ctl/client.h"

#define TIMEOUT_MS 9500 /* containerd ends us after ten seconds */

struct question {
	const char *name, *digest;
};

/* One or two dashes, "-name X" or "-name=X", as Go's flags are written. */
static const char *value_of(int argc, char **argv, int *i, const char *name)
{
	const char *arg = argv[*i] + strspn(argv[*i], "-");
	size_t n = strlen(name);

	if (arg == argv[*i] || strncmp(arg, name, n))
		return NULL;
	if (arg[n] == '=')
		return arg + n + 1;
	if (arg[n] || *i + 1 >= argc)
		return NULL;
	return argv[++*i];
}

static void read_arguments(int argc, char **argv, struct question *q)
{
	for (int i = 1; i < argc; i++) {
		const char *v = value_of(argc, argv, &i, "name");

		if (v) {
			q->name = v;
			continue;
		}
		v = value_of(argc, argv, &i, "digest");
		if (v)
			q->digest = v;
		else
			value_of(argc, argv, &i, "stdin-media-type");
	}
}

/* The descriptor is not needed, but whoever writes it should not be cut off. */
static void drain_input(void)
{
	char buf[4096];

	for (int n = 0; n < 256 && fread(buf, 1, sizeof(buf), stdin) == sizeof(buf); n++)
		continue;
}

static int ask(const struct question *q, json_t **ret, struct bh_err *err)
{
	const char *path = getenv("BULKHEAD_SOCKET");
	BH_CLEANUP(bh_client_closep) struct bh_client *c = NULL;
	BH_CLEANUP(bh_json_decrefp)
	json_t *args = json_pack("{s:s, s:s}", "reference", q->name, "digest", q->digest);
	int r;

	if (!args)
		return bh_fail(err, EINVAL, "the reference is not text");
	r = bh_client_open(path ? path : BH_CTL_DEFAULT_SOCKET, TIMEOUT_MS, &c, err);
	return r ? r : bh_client_call(c, "image.judge", args, ret, NULL, err);
}

int main(int argc, char **argv)
{
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct question q = {0};
	const char *reason;
	struct bh_err err;

	read_arguments(argc, argv, &q);
	if (!q.name || !q.digest) {
		printf("bulkhead: -name and -digest are needed\n");
		return 2;
	}
	drain_input();
	if (ask(&q, &answer, &err)) {
		printf("bulkhead: %s\n", err.text);
		return 1;
	}
	reason = json_string_value(json_object_get(answer, "reason"));
	printf("bulkhead: %s\n", reason && *reason ? reason : "accepted");
	return json_is_true(json_object_get(answer, "allow")) ? 0 : 1;
}
