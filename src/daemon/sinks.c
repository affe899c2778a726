#include "daemon/sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "bulkhead_version.h"
#include "ctl/frame.h"
#include "ctl/spawn.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "event/bus.h"
#include "event/export.h"
#include "sink/tail.h"

#define BATCH		100
#define BATCH_BYTES	(64u << 10) /* of events of one batch, as text: the tree is the tenfold */
#define GATHER_MS	50	    /* after the first new event, for others to come along */
#define NOTE_MS		1000 /* for the cursor to be noted when it passes what is not wanted */
#define MAX_ANSWER	(64 * 1024)
#define FIRST_RESTART_S 1
#define LAST_RESTART_S	60

/* One receiver. Its worker is asked one thing at a time. */
struct sink {
	struct bh_daemon *d;
	json_t *settings; /* borrowed from the daemon's settings */
	const char *name;
	struct bh_tail *tail;
	struct bh_follower *follower; /* wakes up, no more */
	struct bh_source *timer;      /* look for events, or ask again */
	struct bh_source *note_timer;
	uint64_t cursor, noted; /* last event that counts as delivered; as the database has it */
	bool will_note;		/* the timer for that runs */
	bool is_refusing;	/* the receiver did not want all of the last question; told once */

	pid_t worker; /* 0: none */
	int fd;
	struct bh_source *source;
	struct bh_frame_reader in;
	unsigned restart_s;

	char *out; /* the question being written, or NULL */
	size_t out_len, out_at;
	json_t *events; /* not yet delivered; NULL: none */
	uint64_t events_end;
	bool is_asked; /* the worker has them */

	uint64_t delivered, refused, retries, lost_before;
	char error[256];
};

struct bh_sinks {
	struct sink *v;
	size_t n;
};

static void look(void *arg);

/* ---- the cursor ---- */

static char *cursor_key(const struct sink *s)
{
	return bh_strf("sink/%s", s->name);
}

static void note_cursor(void *arg)
{
	struct sink *s = arg;
	BH_CLEANUP(bh_freep) char *key = cursor_key(s);
	BH_CLEANUP(bh_freep) char *row = NULL;
	struct bh_err err = {0};

	s->will_note = false;
	if (s->cursor == s->noted || !key)
		return;
	row = bh_strf("{\"seq\":%llu,\"lost\":%llu}", (unsigned long long)s->cursor,
		      (unsigned long long)(s->lost_before + bh_tail_lost(s->tail)));
	if (!row || bh_store_put(s->d->store, "cursor", key, row, &err) < 0)
		bh_error("sink '%s': its cursor is not saved: %s", s->name, err.text);
	else
		s->noted = s->cursor;
}

struct finding {
	const char *key;
	struct sink *s;
	bool has_one;
};

static int take_cursor(const char *key, const char *json, void *arg)
{
	struct finding *f = arg;
	BH_CLEANUP(bh_json_decrefp) json_t *row = NULL;
	struct bh_err err;

	if (strcmp(key, f->key) || bh_json_parse(json, strlen(json), 4096, &row, &err))
		return 0;
	f->s->cursor = (uint64_t)json_integer_value(json_object_get(row, "seq"));
	f->s->lost_before = (uint64_t)json_integer_value(json_object_get(row, "lost"));
	f->has_one = true;
	return 0;
}

/* A sink that is new begins with the event that the daemon was started; one whose cursor is gone
 * with a damaged database gets all that the log has, for nobody knows what it got. */
static int find_cursor(struct sink *s, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = cursor_key(s);
	struct bh_chain head = bh_journal_head(s->d->journal);
	struct finding f = {key, s, false};
	int r = key ? bh_store_each(s->d->store, "cursor", take_cursor, &f, err)
		    : bh_fail(err, ENOMEM, "sink");

	if (r < 0)
		return r;
	/* a log that was begun anew has smaller numbers */
	if (!f.has_one || s->cursor > head.seq)
		s->cursor = f.has_one || !head.seq || bh_journal_is_older(s->d->journal)
				    ? 0
				    : head.seq - 1;
	s->noted = f.has_one ? s->cursor : UINT64_MAX;
	return 0;
}

/* ---- the worker ---- */

static void drop_worker(struct sink *s)
{
	bh_source_freep(&s->source);
	bh_closep(&s->fd);
	bh_frame_done(&s->in);
	bh_freep(&s->out);
	s->is_asked = false;
	if (s->worker > 0) {
		kill(s->worker, SIGKILL);
		waitpid(s->worker, NULL, 0);
	}
	s->worker = 0;
}

static void worker_failed(struct sink *s, const char *why)
{
	drop_worker(s);
	snprintf(s->error, sizeof(s->error), "its worker ended: %.200s", why);
	bh_error("sink '%s': %s; trying again in %u s", s->name, s->error, s->restart_s);
	s->retries++;
	bh_source_after(s->timer, s->restart_s * 1000ull);
	s->restart_s = s->restart_s * 2 > LAST_RESTART_S ? LAST_RESTART_S : s->restart_s * 2;
}

/* Writes on; the source then waits for room, or for the answer. */
static void push(struct sink *s)
{
	while (s->out && s->out_at < s->out_len) {
		ssize_t n = send(s->fd, s->out + s->out_at, s->out_len - s->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			worker_failed(s, strerror(errno));
			return;
		}
		s->out_at += (size_t)n;
	}
	if (s->out && s->out_at == s->out_len)
		bh_freep(&s->out);
	bh_source_set(s->source, BH_LOOP_READ | (s->out ? BH_LOOP_WRITE : 0));
}

/* Adds a frame to what is being written. */
static int say(struct sink *s, json_t *take_body, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *body = take_body;
	BH_CLEANUP(bh_str_done) struct bh_str all = {0};
	BH_CLEANUP(bh_freep) char *frame = NULL;
	size_t len = 0;
	int r = body ? bh_frame_encode(body, 0, &frame, &len, err) : bh_fail(err, ENOMEM, "sink");

	if (r)
		return r;
	if (s->out)
		bh_str_addn(&all, s->out + s->out_at, s->out_len - s->out_at);
	bh_str_addn(&all, frame, len);
	if (all.failed)
		return bh_fail(err, ENOMEM, "sink");
	free(s->out);
	s->out_len = all.n;
	s->out_at = 0;
	s->out = bh_str_take(&all);
	return 0;
}

/* The first of the events, one at least, are with the receiver, but for those it refused. What it
 * says of their numbers is believed within reason. */
static void take_done(struct sink *s, json_int_t done, json_int_t refused, const char *text)
{
	size_t all = json_array_size(s->events);
	size_t n = (size_t)done > all ? all : (size_t)done;
	size_t unwanted = refused < 0 ? 0 : (size_t)refused > n ? n : (size_t)refused;

	s->refused += unwanted;
	s->delivered += n - unwanted;
	if (unwanted && !s->is_refusing)
		bh_warn("sink '%s' refused %zu events: %s", s->name, unwanted, text);
	s->is_refusing = unwanted > 0;
	if (n == all) {
		s->cursor = s->events_end;
		json_decref(s->events);
		s->events = NULL;
		return;
	}
	s->cursor = bh_export_seq(json_array_get(s->events, n - 1));
	while (n--)
		json_array_remove(s->events, 0);
}

static void take_answer(struct sink *s, const json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "text"));
	const char *error = json_string_value(json_object_get(answer, "error"));
	json_int_t retry = json_integer_value(json_object_get(answer, "retry"));

	s->is_asked = false;
	s->restart_s = FIRST_RESTART_S;
	if (json_integer_value(json_object_get(answer, "done")) < 1) {
		if (!s->error[0])
			bh_warn("sink '%s': %s", s->name, error ? error : "no delivery");
		snprintf(s->error, sizeof(s->error), "%s", error ? error : "no delivery");
		s->retries++;
		bh_source_after(s->timer, (uint64_t)(retry < 1 ? 1 : retry) * 1000);
		return;
	}
	if (s->error[0])
		bh_info("sink '%s' takes events again", s->name);
	s->error[0] = 0;
	take_done(s, json_integer_value(json_object_get(answer, "done")),
		  json_integer_value(json_object_get(answer, "refused")), text ? text : "");
	note_cursor(s); /* whoever kills the daemon now gets no more than one question twice */
	bh_source_after(s->timer, 0);
}

static void hear(struct sink *s)
{
	char buf[4096];
	ssize_t n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
	BH_CLEANUP(bh_json_decrefp) json_t *answer = NULL;
	struct bh_err err = {0};
	unsigned flags;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	r = n <= 0 ? bh_fail(&err, EPIPE, "it closed its socket")
		   : bh_frame_feed(&s->in, buf, (size_t)n, &err);
	if (!r)
		r = bh_frame_next(&s->in, &answer, &flags, &err);
	if (r < 0)
		worker_failed(s, err.text);
	else if (r > 0 && json_object_get(answer, "fatal"))
		worker_failed(s, json_string_value(json_object_get(answer, "fatal")));
	else if (r > 0 && s->is_asked)
		take_answer(s, answer);
}

static void on_worker(int fd, unsigned events, void *arg)
{
	struct sink *s = arg;

	(void)fd;
	if (events & BH_LOOP_WRITE)
		push(s);
	if (s->worker && (events & BH_LOOP_READ))
		hear(s);
}

static int start_worker(struct sink *s, struct bh_err *err)
{
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return bh_fail_sys(err, errno, "socket to the worker");
	s->fd = fds[0];
	r = bh_spawn_worker(fds[1], "sink", &s->worker, err);
	close(fds[1]);
	s->in = (struct bh_frame_reader){.max = MAX_ANSWER};
	if (!r)
		r = bh_loop_fd(s->d->loop, s->fd, BH_LOOP_READ, on_worker, s, &s->source, err);
	if (!r)
		r = say(s,
			json_pack("{s:O, s:s, s:s}", "sink", s->settings, "node",
				  s->d->cfg->node_name, "version", BH_VERSION),
			err);
	return r;
}

/* ---- events ---- */

static bool is_wanted(const struct sink *s, const json_t *event)
{
	const json_t *classes = json_object_get(s->settings, "classes"), *one;
	json_int_t least = json_integer_value(json_object_get(s->settings, "minSeverity"));
	bool is_of_class = !json_array_size(classes);
	size_t i;

	json_array_foreach(classes, i, one) is_of_class |= bh_ocsf_is_class(
		json_integer_value(one), json_integer_value(json_object_get(event, "class_uid")));
	return is_of_class && json_integer_value(json_object_get(event, "severity_id")) >= least;
}

/* Takes the next events from the log. -EAGAIN: there may be more to look at. */
static int gather(struct sink *s, struct bh_err *err)
{
	json_t *events = json_array();
	uint64_t seq = s->cursor;
	size_t bytes = 0;
	int r = 0;

	while (events && json_array_size(events) < BATCH && bytes < BATCH_BYTES) {
		json_t *event = NULL;

		r = bh_tail_next(s->tail, &event, &seq, err);
		if (r != 1)
			break;
		if (is_wanted(s, event)) {
			json_array_append(events, event);
			bytes += json_dumpb(event, NULL, 0, JSON_COMPACT);
		}
		json_decref(event);
	}
	s->events_end = seq;
	if (json_array_size(events)) {
		s->events = events;
		return 0;
	}
	json_decref(events);
	if (seq != s->cursor) { /* none of them is for this sink */
		s->cursor = seq;
		if (!s->will_note)
			bh_source_after(s->note_timer, NOTE_MS);
		s->will_note = true;
	}
	return r;
}

/* The next thing to do: a worker, events, a question. */
static void look(void *arg)
{
	struct sink *s = arg;
	struct bh_err err = {0};
	uint64_t ignored;
	int r = 0;

	bh_follower_take(s->follower, &ignored); /* it may wake us again */
	if (s->is_asked)
		return;
	if (!s->events)
		r = gather(s, &err);
	if (r == -EAGAIN)
		bh_source_after(s->timer, 0);
	else if (r < 0)
		snprintf(s->error, sizeof(s->error), "%.255s", err.text);
	if (!s->events)
		return;
	r = s->worker ? 0 : start_worker(s, &err);
	if (!r)
		r = say(s, json_pack("{s:O}", "events", s->events), &err);
	if (r) {
		worker_failed(s, err.text);
		return;
	}
	s->is_asked = true;
	push(s);
}

static void on_wake(void *arg)
{
	struct sink *s = arg;

	if (!s->is_asked && !s->events)
		bh_source_after(s->timer, GATHER_MS);
}

/* ---- all of them ---- */

static void sink_done(struct sink *s)
{
	if (s->tail)
		note_cursor(s);
	drop_worker(s);
	if (s->follower)
		bh_bus_leave(s->follower);
	bh_source_free(s->timer);
	bh_source_free(s->note_timer);
	bh_tail_close(s->tail);
	json_decref(s->events);
}

static int sink_open(struct sink *s, struct bh_err *err)
{
	static const struct bh_event_filter all = {.since_ms = INT64_MIN};
	int r;

	s->name = json_string_value(json_object_get(s->settings, "name"));
	s->fd = -1;
	s->restart_s = FIRST_RESTART_S;
	r = find_cursor(s, err);
	if (!r)
		r = bh_tail_open(bh_journal_path(s->d->journal), s->cursor, &s->tail, err);
	if (!r)
		r = bh_loop_timer(s->d->loop, UINT32_MAX, 0, look, s, &s->timer, err);
	if (!r)
		r = bh_loop_timer(s->d->loop, UINT32_MAX, 0, note_cursor, s, &s->note_timer, err);
	if (!r)
		r = bh_bus_follow(bh_journal_bus(s->d->journal), &all, 0, on_wake, s, &s->follower,
				  err);
	if (r)
		return bh_note(err, r, "sink '%s'", s->name);
	note_cursor(s); /* where a new one begins, though nothing happens for a while */
	bh_source_after(s->timer, 0);
	return 0;
}

int bh_sinks_open(struct bh_daemon *d, struct bh_sinks **ret, struct bh_err *err)
{
	struct bh_sinks *all = calloc(1, sizeof(*all));
	size_t n = json_array_size(d->cfg->sinks);
	int r = 0;

	if (all && n)
		all->v = calloc(n, sizeof(*all->v));
	if (!all || (n && !all->v))
		r = bh_fail(err, ENOMEM, "sinks");
	for (size_t i = 0; !r && i < n; i++) {
		all->v[i] = (struct sink){.d = d, .settings = json_array_get(d->cfg->sinks, i)};
		all->n++;
		r = sink_open(&all->v[i], err);
	}
	if (r) {
		bh_sinks_close(all);
		return r;
	}
	*ret = all;
	return 0;
}

void bh_sinks_close(struct bh_sinks *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		sink_done(&s->v[i]);
	free(s->v);
	free(s);
}

json_t *bh_sinks_status(const struct bh_sinks *all)
{
	json_t *list = json_array();

	for (size_t i = 0; all && i < all->n; i++) {
		const struct sink *s = &all->v[i];
		struct bh_chain head = bh_journal_head(s->d->journal);
		const char *state = s->error[0] ? "waiting" : s->worker ? "delivering" : "starting";

		json_array_append_new(
			list,
			json_pack("{s:s, s:O, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s?}", "name",
				  s->name, "type", json_object_get(s->settings, "type"), "state",
				  state, "cursor", (json_int_t)s->cursor, "behind",
				  (json_int_t)(head.seq - s->cursor), "delivered",
				  (json_int_t)s->delivered, "refused", (json_int_t)s->refused,
				  "lost", (json_int_t)(s->lost_before + bh_tail_lost(s->tail)),
				  "retries", (json_int_t)s->retries, "error",
				  s->error[0] ? s->error : NULL));
	}
	return list;
}
