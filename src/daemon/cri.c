#include "daemon/cri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/batch.h"
#include "daemon/daemon.h"

#define DEADLINE_MS	10000 /* of one look, however many calls it takes */
#define FIRST_RESTART_S 1
#define LAST_RESTART_S	30

struct bh_cri_ear {
	struct bh_loop *loop;
	const char *configured; /* NULL: to be found */
	const char *socket;	/* in use; NULL: there is none */
	bh_cri_fn *fn;
	void *arg;
	struct bh_batch *worker; /* NULL: none */
	struct bh_source *io, *deadline;
	bool is_asked, is_first;
	unsigned restart_s;
	int64_t not_before_s; /* on the clock of bh_uptime_s */
	int64_t heard_s;      /* the same; 0: never */
	char *runtime;
	char trouble[512];
};

static bool is_socket(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISSOCK(st.st_mode);
}

static const char *find_socket(const struct bh_cri_ear *e)
{
	static const char *const usual[] = {
		"/run/containerd/containerd.sock",
		"/run/crio/crio.sock",
		"/run/k3s/containerd/containerd.sock",
		"/run/cri-dockerd.sock",
	};

	if (e->configured)
		return e->configured;
	for (size_t i = 0; i < BH_ARRAY_SIZE(usual); i++) {
		if (is_socket(usual[i]))
			return usual[i];
	}
	return NULL;
}

/* ---- the worker ---- */

static void drop(struct bh_cri_ear *e)
{
	bh_source_freep(&e->io);
	bh_source_freep(&e->deadline);
	bh_batch_endp(&e->worker);
	e->is_asked = false;
}

static void fail(struct bh_cri_ear *e, const char *why)
{
	bool is_news = !e->trouble[0];

	drop(e);
	snprintf(e->trouble, sizeof(e->trouble),
		 "the container runtime cannot be asked which images really run: %.400s", why);
	if (is_news)
		bh_error("%s", e->trouble);
	e->not_before_s = bh_uptime_s() + e->restart_s;
	e->restart_s = e->restart_s * 2 > LAST_RESTART_S ? LAST_RESTART_S : e->restart_s * 2;
}

static void on_deadline(void *arg)
{
	struct bh_cri_ear *e = arg;

	if (e->is_asked)
		fail(e, "it does not answer in time");
}

static void take(struct bh_cri_ear *e, const json_t *answer)
{
	const char *runtime = json_string_value(json_object_get(answer, "runtime"));
	bool is_first = e->is_first;

	if (e->trouble[0])
		bh_info("the container runtime answers again");
	e->trouble[0] = '\0';
	e->is_asked = e->is_first = false;
	e->restart_s = FIRST_RESTART_S;
	e->heard_s = bh_uptime_s();
	if (runtime && !bh_streq(runtime, e->runtime)) {
		free(e->runtime);
		e->runtime = strdup(runtime);
	}
	e->fn(answer, is_first, e->arg);
}

static void on_io(int fd, unsigned events, void *arg)
{
	struct bh_cri_ear *e = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct bh_err err = {0};
	int r = bh_batch_step(e->worker, &answer, &err);

	(void)fd;
	(void)events;
	if (r < 0) {
		fail(e, err.text);
		return;
	}
	bh_source_set(e->io, BH_LOOP_READ | (bh_batch_wants_write(e->worker) ? BH_LOOP_WRITE : 0));
	if (r && e->is_asked)
		take(e, answer);
}

static int start(struct bh_cri_ear *e, struct bh_err *err)
{
	static const struct bh_batch_options opt = {.mode = "cri"};
	BH_CLEANUP(bh_json_decrefp) json_t *first = json_pack("{s:s}", "socket", e->socket);
	int r = first ? bh_batch_start(&opt, first, &e->worker, err)
		      : bh_fail(err, ENOMEM, "worker");

	if (!r)
		r = bh_loop_fd(e->loop, bh_batch_fd(e->worker), BH_LOOP_READ | BH_LOOP_WRITE, on_io,
			       e, &e->io, err);
	if (!r)
		r = bh_loop_timer(e->loop, UINT32_MAX, 0, on_deadline, e, &e->deadline, err);
	e->is_first = true;
	return r;
}

static int ask(struct bh_cri_ear *e, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *look = json_pack("{s:b}", "look", 1);
	int r = e->worker ? 0 : start(e, err);

	if (!r)
		r = look ? bh_batch_say(e->worker, look, err) : bh_fail(err, ENOMEM, "worker");
	if (r)
		return r;
	e->is_asked = true;
	bh_source_set(e->io, BH_LOOP_READ | BH_LOOP_WRITE);
	bh_source_after(e->deadline, DEADLINE_MS);
	return 0;
}

void bh_cri_ear_look(struct bh_cri_ear *e)
{
	struct bh_err err = {0};

	if (e->is_asked || bh_uptime_s() < e->not_before_s)
		return;
	if (!e->worker)
		e->socket = find_socket(e);
	if (e->socket && ask(e, &err))
		fail(e, err.text);
}

/* ---- what is known ---- */

bool bh_cri_ear_is_absent(const struct bh_cri_ear *e)
{
	return !e->socket;
}

const char *bh_cri_ear_trouble(const struct bh_cri_ear *e)
{
	if (e->trouble[0])
		return e->trouble;
	return e->socket ? NULL
			 : "there is no socket of a container runtime: which images really run is "
			   "not compared with what was judged";
}

json_t *bh_cri_ear_status(const struct bh_cri_ear *e)
{
	const char *state = !e->socket	    ? "absent"
			    : e->trouble[0] ? "failing"
			    : e->heard_s    ? "connected"
					    : "starting";
	json_t *age = e->heard_s ? json_integer(bh_uptime_s() - e->heard_s) : json_null();

	return json_pack("{s:s?, s:s, s:s?, s:s?, s:o}", "socket", e->socket, "state", state, "why",
			 e->socket && !e->trouble[0] ? NULL : bh_cri_ear_trouble(e), "runtime",
			 e->runtime, "lastSeconds", age);
}

int bh_cri_ear_open(struct bh_loop *loop, const char *socket, bh_cri_fn *fn, void *arg,
		    struct bh_cri_ear **ret, struct bh_err *err)
{
	struct bh_cri_ear *e = calloc(1, sizeof(*e));

	if (!e)
		return bh_fail(err, ENOMEM, "container runtime");
	*e = (struct bh_cri_ear){.loop = loop,
				 .configured = socket,
				 .fn = fn,
				 .arg = arg,
				 .restart_s = FIRST_RESTART_S};
	e->socket = find_socket(e);
	*ret = e;
	return 0;
}

void bh_cri_ear_close(struct bh_cri_ear *e)
{
	if (!e)
		return;
	drop(e);
	free(e->runtime);
	free(e);
}
