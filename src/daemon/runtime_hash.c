#include "daemon/runtime_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/exefile.h"
#include "daemon/hash_cache.h"
#include "daemon/hashers.h"

#define WAITING	 160 /* files */
#define EXECS	 8   /* of one file that wait for its digest */
#define TRIES	 3   /* a file that changes while it is read */
#define SETTLE	 20  /* ms; the kernel's clock for times of change is that coarse, and finer */
#define ROOTS	 4   /* containers of a pod that are remembered */
#define BURST	 256 /* files that one pod may have read at once, */
#define PER_S	 16  /* and so many each second */
#define PER_FILE (32ull << 20) /* bytes that count as one more file */
#define HEX	 (2 * BH_HASH_LEN + 1)

/* What is known of the tenant of a slot. */
struct tenant {
	uint32_t generation;
	uint64_t userns; /* 0: not known */
	struct {
		uint32_t mntns, pid;
	} roots[ROOTS]; /* first processes of containers */
	unsigned next_root;
	unsigned budget; /* files */
	int64_t refilled_s;
};

/* A file that is being read. */
struct reading {
	uint64_t ticket; /* 0: free */
	struct bh_exefile_id id;
	uint64_t execs[EXECS];
	unsigned n_execs, tries;
};

struct bh_digests {
	struct bh_digests_options opt;
	struct bh_hash_cache *cache;
	struct bh_hashers *hashers;
	uint64_t tickets;
	struct reading reading[WAITING];
	struct bh_digests_count count;
	char hex[HEX], parent_hex[HEX];
	struct bh_exefile_view view; /* of this turn of the loop */
	bool is_turn;
	struct tenant tenants[BH_TRACE_SLOTS];
};

static const char *const names[BH_DIGESTS_OUTCOMES] = {
	[BH_DIGESTS_CACHED] = "cached",	    [BH_DIGESTS_JOINED] = "joined",
	[BH_DIGESTS_READ] = "read",	    [BH_DIGESTS_GONE] = "gone",
	[BH_DIGESTS_REPLACED] = "replaced", [BH_DIGESTS_REMOTE] = "remote",
	[BH_DIGESTS_FOREIGN] = "foreign",   [BH_DIGESTS_UNREADABLE] = "unreadable",
	[BH_DIGESTS_LARGE] = "large",	    [BH_DIGESTS_BUSY] = "busy",
	[BH_DIGESTS_BUDGET] = "budget",	    [BH_DIGESTS_NO_WORKER] = "noWorker",
	[BH_DIGESTS_COMPUTED] = "computed", [BH_DIGESTS_CHANGED] = "changed",
	[BH_DIGESTS_SLOW] = "slow",	    [BH_DIGESTS_FAILED] = "failed",
};

const char *bh_digests_outcome_name(enum bh_digests_outcome o)
{
	return names[o];
}

static const char *say(struct bh_digests *d, enum bh_digests_outcome o)
{
	d->count.n[o]++;
	return names[o];
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int64_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* ---- pods ---- */

/* Notes the first processes of containers: their trees outlive those that end at once. The
 * runtime's own choice of user namespace shows in what it starts from outside. */
static struct tenant *tenant_of(struct bh_digests *d, const struct bh_trace_event *ev)
{
	struct tenant *t = &d->tenants[ev->slot];
	bool is_first = ev->flags & BH_TRACE_F_INIT;

	if (t->generation != ev->generation || !t->refilled_s)
		*t = (struct tenant){
			.generation = ev->generation, .budget = BURST, .refilled_s = now_s()};
	if (is_first && ev->flags & BH_TRACE_F_OUTSIDE && !t->userns)
		t->userns = bh_exefile_userns(ev->pid);
	if (is_first && ev->mntns) {
		t->roots[t->next_root].mntns = ev->mntns;
		t->roots[t->next_root].pid = ev->pid;
		t->next_root = (t->next_root + 1) % ROOTS;
	}
	return t;
}

static uint32_t root_of(const struct tenant *t, uint32_t mntns)
{
	for (unsigned i = 1; i <= ROOTS; i++) {
		unsigned at = (t->next_root + ROOTS - i) % ROOTS;

		if (t->roots[at].pid && (!mntns || t->roots[at].mntns == mntns))
			return t->roots[at].pid;
	}
	return 0;
}

static bool is_within_budget(struct tenant *t, uint64_t size)
{
	int64_t now = now_s(), gained = (now - t->refilled_s) * PER_S;
	unsigned price = 1 + (unsigned)(size / PER_FILE);

	t->refilled_s = now;
	t->budget = gained > BURST - (int64_t)t->budget ? BURST : t->budget + (unsigned)gained;
	if (t->budget < price)
		return false;
	t->budget -= price;
	return true;
}

/* ---- reading ---- */

static void note_exec(struct reading *r, const struct bh_trace_event *ev)
{
	if (ev->kind == BH_TRACE_EXEC && ev->exec_id && r->n_execs < EXECS)
		r->execs[r->n_execs++] = ev->exec_id;
}

static struct reading *find_reading(struct bh_digests *d, const struct bh_exefile_id *id)
{
	for (size_t i = 0; i < WAITING; i++) {
		if (d->reading[i].ticket && bh_exefile_same(&d->reading[i].id, id))
			return &d->reading[i];
	}
	return NULL;
}

static struct reading *find_ticket(struct bh_digests *d, uint64_t ticket)
{
	for (size_t i = 0; i < WAITING; i++) {
		if (d->reading[i].ticket == ticket)
			return &d->reading[i];
	}
	return NULL;
}

/* A change within one tick of the kernel's clock leaves no trace; so reading waits for the next. */
static unsigned delay_ms(const struct bh_exefile_id *id)
{
	uint64_t now = wall_ns(), settled = id->ctime_ns + SETTLE * 1000000ull;

	if (settled <= now || id->ctime_ns > now)
		return 0;
	return (unsigned)((settled - now) / 1000000) + 1;
}

static int read_file(struct bh_digests *d, struct reading *r, int take_fd)
{
	const struct bh_hashers_file f = {r->ticket, r->id.size, delay_ms(&r->id)};

	return bh_hashers_ask(d->hashers, &f, take_fd);
}

static const char *begin(struct bh_digests *d, struct tenant *t, const struct bh_exefile_id *id,
			 int take_fd, struct bh_trace_event *ev)
{
	struct reading *r = find_ticket(d, 0);
	BH_CLEANUP(bh_closep) int fd = take_fd;
	int res;

	if (id->size > BH_HASH_MAX)
		return say(d, BH_DIGESTS_LARGE);
	if (!r)
		return say(d, BH_DIGESTS_BUSY);
	if (!is_within_budget(t, id->size))
		return say(d, BH_DIGESTS_BUDGET);
	*r = (struct reading){.ticket = ++d->tickets, .id = *id};
	res = read_file(d, r, BH_TAKE_FD(fd));
	if (res) {
		r->ticket = 0;
		return say(d, res == -EBUSY ? BH_DIGESTS_BUSY : BH_DIGESTS_NO_WORKER);
	}
	d->count.n[BH_DIGESTS_READ]++;
	note_exec(r, ev);
	ev->ticket = r->ticket;
	return "";
}

static void finish(struct bh_digests *d, struct reading *r, const uint8_t *digest,
		   enum bh_digests_outcome o)
{
	uint64_t ticket = r->ticket;
	char hex[HEX];

	d->count.n[o]++;
	r->ticket = 0;
	if (digest)
		bh_hex(digest, BH_HASH_LEN, hex);
	for (unsigned i = 0; digest && i < r->n_execs; i++)
		bh_hash_cache_put_exec(d->cache, r->execs[i], digest);
	d->opt.on_digest(ticket, digest ? hex : NULL, names[o], d->opt.arg);
}

static enum bh_digests_outcome outcome_of(uint32_t error)
{
	switch (error) {
	case 0:
		return BH_DIGESTS_COMPUTED;
	case ETIMEDOUT:
		return BH_DIGESTS_SLOW;
	case EFBIG:
		return BH_DIGESTS_CHANGED; /* it grew beyond the limit */
	default:
		return BH_DIGESTS_FAILED;
	}
}

static void on_hashed(uint64_t ticket, int file, const struct bh_hash_answer *a, void *arg)
{
	struct bh_digests *d = arg;
	struct reading *r = find_ticket(d, ticket);
	struct bh_exefile_id now;

	if (!ticket || !r)
		return;
	d->count.bytes += a->bytes;
	if (a->error) {
		finish(d, r, NULL, outcome_of(a->error));
		return;
	}
	if (!bh_exefile_again(file, &r->id, &now)) {
		finish(d, r, NULL, BH_DIGESTS_FAILED);
		return;
	}
	if (bh_exefile_same(&r->id, &now)) {
		bh_hash_cache_put_file(d->cache, &r->id, a->digest);
		finish(d, r, a->digest, BH_DIGESTS_COMPUTED);
		return;
	}
	/* removing its name changes it too, which is what droppers do */
	r->id = now;
	if (++r->tries >= TRIES || read_file(d, r, dup(file)))
		finish(d, r, NULL, BH_DIGESTS_CHANGED);
}

/* ---- asking ---- */

static enum bh_digests_outcome skipped(enum bh_exefile_why why)
{
	static const enum bh_digests_outcome map[] = {
		[BH_EXEFILE_OK] = BH_DIGESTS_READ,
		[BH_EXEFILE_GONE] = BH_DIGESTS_GONE,
		[BH_EXEFILE_OTHER] = BH_DIGESTS_REPLACED,
		[BH_EXEFILE_REMOTE] = BH_DIGESTS_REMOTE,
		[BH_EXEFILE_FOREIGN] = BH_DIGESTS_FOREIGN,
		[BH_EXEFILE_ERROR] = BH_DIGESTS_UNREADABLE,
	};

	return map[why];
}

/* What is known about that state of the file, or being found out. */
static bool use_known(struct bh_digests *d, const struct bh_exefile_id *id,
		      struct bh_trace_event *ev)
{
	const uint8_t *digest = bh_hash_cache_file(d->cache, id);
	struct reading *r = digest ? NULL : find_reading(d, id);

	if (r) {
		say(d, BH_DIGESTS_JOINED);
		note_exec(r, ev);
		ev->ticket = r->ticket;
	} else if (digest) {
		say(d, BH_DIGESTS_CACHED);
		if (ev->kind == BH_TRACE_EXEC)
			bh_hash_cache_put_exec(d->cache, ev->exec_id, digest);
		bh_hex(digest, BH_HASH_LEN, d->hex);
		ev->sha256 = d->hex;
	}
	return r || digest;
}

static void ask_file(struct bh_digests *d, struct bh_trace_event *ev)
{
	struct tenant *t = tenant_of(d, ev);
	const struct bh_exefile_want w = {
		.pid = ev->pid,
		.helpers = {ev->ppid, root_of(t, ev->mntns)},
		.mntns = ev->mntns,
		.pod_userns = t->userns,
		.ino = ev->ino,
		.dev = ev->dev,
		.path = ev->flags & BH_TRACE_F_PATH_CUT ? "" : ev->path,
		.is_image_of_pid = ev->kind == BH_TRACE_EXEC,
		.is_memory = ev->origin == BH_TRACE_O_MEMFD,
		.view = d->is_turn ? &d->view : NULL,
	};
	BH_CLEANUP(bh_closep) int path_fd = -1;
	struct bh_exefile_id id;
	enum bh_exefile_why why;
	int fd;

	if (bh_exefile_look(&w, &id) && use_known(d, &id, ev))
		return;
	why = bh_exefile_find(&w, &id, &path_fd);
	if (!why && use_known(d, &id, ev))
		return;
	fd = why ? -1 : bh_exefile_reopen(path_fd);
	if (fd < 0)
		ev->sha256_why = say(d, skipped(why ? why : BH_EXEFILE_ERROR));
	else
		ev->sha256_why = begin(d, t, &id, fd, ev);
}

static const char *hex_of_exec(struct bh_digests *d, uint64_t exec_id, char out[HEX])
{
	const uint8_t *digest = bh_hash_cache_exec(d->cache, exec_id);

	if (!digest)
		return "";
	bh_hex(digest, BH_HASH_LEN, out);
	return out;
}

void bh_digests_ask(struct bh_digests *d, struct bh_trace_event *ev)
{
	bool is_exec = ev->kind == BH_TRACE_EXEC;

	if (!d)
		return;
	ev->parent_sha256 =
		hex_of_exec(d, is_exec ? ev->parent_exec_id : ev->exec_id, d->parent_hex);
	if (ev->ino && (is_exec || (ev->kind == BH_TRACE_MAP && !(ev->flags & BH_TRACE_F_ANON))))
		ask_file(d, ev);
}

void bh_digests_turn(struct bh_digests *d, bool is_on)
{
	if (!d)
		return;
	d->is_turn = is_on;
	if (!is_on)
		bh_exefile_view_done(&d->view);
}

/* ---- showing, opening ---- */

struct bh_digests_count bh_digests_count(const struct bh_digests *d)
{
	struct bh_digests_count c = d ? d->count : (struct bh_digests_count){0};

	c.waiting = d ? bh_hashers_waiting(d->hashers) : 0;
	return c;
}

json_t *bh_digests_status(const struct bh_digests *d)
{
	struct bh_digests_count c = bh_digests_count(d);
	json_t *out =
		json_pack("{s:i, s:I}", "waiting", (int)c.waiting, "bytes", (json_int_t)c.bytes);

	for (size_t i = 0; i < BH_DIGESTS_OUTCOMES; i++)
		json_object_set_new(out, names[i], json_integer((json_int_t)c.n[i]));
	return out;
}

static void digests_freep(struct bh_digests **d)
{
	bh_digests_close(*d);
}

int bh_digests_open(const struct bh_digests_options *opt, struct bh_digests **ret,
		    struct bh_err *err)
{
	BH_CLEANUP(digests_freep) struct bh_digests *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return bh_fail(err, ENOMEM, "digests");
	d->opt = *opt;
	d->cache = bh_hash_cache_new();
	if (!d->cache)
		return bh_fail(err, ENOMEM, "digests");
	r = bh_hashers_open(opt->loop, on_hashed, d, &d->hashers, err);
	if (r)
		return r;
	*ret = BH_TAKE(d);
	return 0;
}

void bh_digests_close(struct bh_digests *d)
{
	if (!d)
		return;
	bh_hashers_close(d->hashers);
	bh_exefile_view_done(&d->view);
	bh_hash_cache_free(d->cache);
	free(d);
}
