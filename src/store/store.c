#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

#define SCHEMA_VERSION "1"
#define FILE_NAME      "bulkhead.db"
#define MAX_DAMAGED    1000
#define QUARANTINE     "quarantine"

/* Table names end up in SQL text, so they come from here and nowhere else. */
static const char *const tables[] = {"endpoint", QUARANTINE, "object",	"edge",
				     "meta",	 "cursor",   "baseline"};
#define N_TABLES BH_ARRAY_SIZE(tables)

struct bh_store {
	sqlite3 *db;
	sqlite3_stmt *put[N_TABLES], *del[N_TABLES];
	bool is_batching; /* between begin and commit */
	bool must_sync;	  /* the batch holds a quarantine */
};

/* ---- errors ---- */

static int to_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_READONLY:
		return EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return EUCLEAN;
	case SQLITE_TOOBIG:
		return EFBIG;
	default:
		return EIO;
	}
}

static int fail(const struct bh_store *s, int rc, const char *what, struct bh_err *err)
{
	return bh_fail(err, to_errno(rc), "store: %s: %s", what,
		       s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static int run(const struct bh_store *s, const char *sql, struct bh_err *err)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc, sql, err);
}

static void finalizep(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
	*st = NULL;
}

/* Runs a query whose first row's first column is text; *ret is the caller's. */
static int ask(const struct bh_store *s, const char *sql, char **ret, struct bh_err *err)
{
	BH_CLEANUP(finalizep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	char *text;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return fail(s, rc, sql, err);
	text = strdup(sqlite3_column_text(st, 0) ? (const char *)sqlite3_column_text(st, 0) : "");
	if (!text)
		return bh_fail(err, ENOMEM, "store: %s", sql);
	*ret = text;
	return 0;
}

/* ---- opening ---- */

/* The file exists with its mode, and its name survives a power cut, before SQLite sees it. SQLite
 * gives its -wal file the same mode. */
static int create_file(const char *dir, const char *path, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = -1;
	BH_CLEANUP(bh_closep) int dir_fd = -1;
	struct stat st;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return bh_fail_sys(err, errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return bh_fail(err, EINVAL, "'%s' is not a regular file", path);
	if (fchmod(fd, 0600) < 0)
		return bh_fail_sys(err, errno, "chmod '%s'", path);
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || fsync(dir_fd) < 0)
		return bh_fail_sys(err, errno, "sync '%s'", dir);
	return 0;
}

static int make_tables(struct bh_store *s, struct bh_err *err)
{
	char sql[160];
	int r = run(s, "BEGIN IMMEDIATE", err);

	for (size_t i = 0; !r && i < N_TABLES; i++) {
		snprintf(sql, sizeof(sql),
			 "CREATE TABLE IF NOT EXISTS \"%s\" (key TEXT PRIMARY KEY NOT NULL, "
			 "json TEXT NOT NULL) STRICT, WITHOUT ROWID",
			 tables[i]);
		r = run(s, sql, err);
	}
	if (!r)
		r = run(s, "PRAGMA user_version = " SCHEMA_VERSION, err);
	return r ? r : run(s, "COMMIT", err);
}

static int check_schema(struct bh_store *s, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *version = NULL;
	BH_CLEANUP(bh_freep) char *health = NULL;
	int r = ask(s, "PRAGMA quick_check(1)", &health, err);

	if (!r && strcmp(health, "ok"))
		r = bh_fail(err, EUCLEAN, "store: %s", health);
	if (!r)
		r = ask(s, "PRAGMA user_version", &version, err);
	if (r)
		return r;
	if (!strcmp(version, "0"))
		return make_tables(s, err);
	if (strcmp(version, SCHEMA_VERSION))
		return bh_fail(
			err, EPROTONOSUPPORT,
			"store: its schema has version %s, this program knows " SCHEMA_VERSION,
			version);
	return 0;
}

static int prepare(struct bh_store *s, struct bh_err *err)
{
	for (size_t i = 0; i < N_TABLES; i++) {
		char put[128], del[128];
		int rc;

		snprintf(put, sizeof(put),
			 "INSERT OR REPLACE INTO \"%s\" (key, json) VALUES (?1, ?2)", tables[i]);
		snprintf(del, sizeof(del), "DELETE FROM \"%s\" WHERE key = ?1", tables[i]);
		rc = sqlite3_prepare_v3(s->db, put, -1, SQLITE_PREPARE_PERSISTENT, &s->put[i],
					NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_prepare_v3(s->db, del, -1, SQLITE_PREPARE_PERSISTENT,
						&s->del[i], NULL);
		if (rc != SQLITE_OK)
			/* a table is missing: somebody else's database, or damaged */
			return bh_fail(err, EUCLEAN, "store: table '%s': %s", tables[i],
				       sqlite3_errmsg(s->db));
	}
	return 0;
}

/* locking_mode EXCLUSIVE: two daemons must not share a state directory, and WAL then needs no
 * shared memory file. The caches are small because rows are read once, at start. */
static int settle(struct bh_store *s, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *mode = NULL;
	int r = run(s, "PRAGMA locking_mode = EXCLUSIVE", err);

	if (!r)
		r = ask(s, "PRAGMA journal_mode = WAL", &mode, err);
	if (!r && strcmp(mode, "wal"))
		r = bh_fail(err, EIO, "store: no write-ahead log here, only '%s'", mode);
	if (!r)
		r = run(s,
			"PRAGMA synchronous = NORMAL;"
			"PRAGMA journal_size_limit = 4194304;"
			"PRAGMA cache_size = -512;"
			"PRAGMA trusted_schema = OFF",
			err);
	if (!r)
		r = check_schema(s, err);
	return r ? r : prepare(s, err);
}

static int open_file(const char *dir, const char *path, struct bh_store **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_store_closep) struct bh_store *s = calloc(1, sizeof(*s));
	int r, rc;

	if (!s)
		return bh_fail(err, ENOMEM, "store '%s'", path);
	r = create_file(dir, path, err);
	if (r)
		return r;
	rc = sqlite3_open_v2(path, &s->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
			     NULL);
	if (rc != SQLITE_OK)
		return fail(s, rc, path, err);
	r = settle(s, err);
	if (r == -EBUSY)
		return bh_fail(err, EBUSY, "store '%s': another daemon uses it", path);
	if (r)
		return bh_note(err, r, "'%s'", path);
	*ret = BH_TAKE(s);
	return 0;
}

/* ---- damage ---- */

/* Moves the database and its log, which belong together, to the first free .damaged-N. */
static int move_aside(const char *path, char **ret_to, struct bh_err *err)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};

	for (unsigned n = 1; n <= MAX_DAMAGED; n++) {
		BH_CLEANUP(bh_freep) char *to = bh_strf("%s.damaged-%u", path, n);
		struct stat st;

		if (!to)
			return bh_fail(err, ENOMEM, "move '%s' aside", path);
		if (lstat(to, &st) == 0)
			continue;
		for (size_t i = 0; i < BH_ARRAY_SIZE(suffixes); i++) {
			BH_CLEANUP(bh_freep) char *from = bh_strf("%s%s", path, suffixes[i]);
			BH_CLEANUP(bh_freep) char *dest = bh_strf("%s%s", to, suffixes[i]);

			if (!from || !dest)
				return bh_fail(err, ENOMEM, "move '%s' aside", path);
			if (rename(from, dest) < 0 && errno != ENOENT)
				return bh_fail_sys(err, errno, "move '%s' aside", from);
		}
		if (rename(path, to) < 0)
			return bh_fail_sys(err, errno, "move '%s' aside", path);
		*ret_to = BH_TAKE(to);
		return 0;
	}
	return bh_fail(err, EEXIST, "'%s' is damaged, and %u damaged ones lie beside it", path,
		       MAX_DAMAGED);
}

/* A quarantine must not end because a disk lost a sector: whatever rows of it can still be read go
 * into the new database. Best effort by nature, hence no result. */
static void rescue_quarantines(struct bh_store *s, const char *damaged)
{
	struct bh_store old = {0};
	BH_CLEANUP(finalizep) sqlite3_stmt *st = NULL;
	struct bh_err err;

	if (sqlite3_open_v2(damaged, &old.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL) ==
		    SQLITE_OK &&
	    sqlite3_exec(old.db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) ==
		    SQLITE_OK &&
	    sqlite3_prepare_v2(old.db, "SELECT key, json FROM \"" QUARANTINE "\"", -1, &st, NULL) ==
		    SQLITE_OK) {
		while (sqlite3_step(st) == SQLITE_ROW) {
			const char *key = (const char *)sqlite3_column_text(st, 0);
			const char *json = (const char *)sqlite3_column_text(st, 1);

			if (key && json)
				bh_store_put(s, QUARANTINE, key, json, &err);
		}
	}
	finalizep(&st);
	sqlite3_close(old.db);
}

int bh_store_open(const char *dir, struct bh_store **ret, bool *ret_was_damaged, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/%s", dir, FILE_NAME);
	BH_CLEANUP(bh_freep) char *damaged = NULL;
	int r;

	if (!path)
		return bh_fail(err, ENOMEM, "store in '%s'", dir);
	r = bh_fs_mkdirs(dir, 0700, err);
	if (r)
		return r;
	r = open_file(dir, path, ret, err);
	if (r != -EUCLEAN) {
		if (!r)
			*ret_was_damaged = false;
		return r;
	}
	r = move_aside(path, &damaged, err);
	if (!r)
		r = open_file(dir, path, ret, err);
	if (r)
		return r;
	rescue_quarantines(*ret, damaged);
	*ret_was_damaged = true;
	return 0;
}

void bh_store_close(struct bh_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < N_TABLES; i++) {
		sqlite3_finalize(s->put[i]);
		sqlite3_finalize(s->del[i]);
	}
	sqlite3_close(s->db);
	free(s);
}

void bh_store_closep(struct bh_store **s)
{
	bh_store_close(*s);
	*s = NULL;
}

/* ---- rows ---- */

static int find_table(const char *name, size_t *ret, struct bh_err *err)
{
	for (size_t i = 0; i < N_TABLES; i++) {
		if (!strcmp(tables[i], name)) {
			*ret = i;
			return 0;
		}
	}
	return bh_fail(err, EINVAL, "store: there is no table '%s'", name);
}

/* In WAL mode a checkpoint syncs the log before it touches the database, and the database after it:
 * what was committed is on the disk when it returns. Nobody else reads, so it always runs to its
 * end.
 */
static int sync_now(struct bh_store *s, struct bh_err *err)
{
	int in_log = 0, moved = 0;
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);

	if (rc != SQLITE_OK)
		return fail(s, rc, "write to the disk", err);
	if (in_log != moved)
		return bh_fail(err, EIO, "store: only %d of %d log pages reached the disk", moved,
			       in_log);
	return 0;
}

static int step_write(struct bh_store *s, sqlite3_stmt *st, const char *table, struct bh_err *err)
{
	int rc = sqlite3_step(st);
	int r = rc == SQLITE_DONE ? 0 : fail(s, rc, table, err);

	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (r || strcmp(table, QUARANTINE))
		return r;
	if (s->is_batching) {
		s->must_sync = true;
		return 0;
	}
	return sync_now(s, err);
}

int bh_store_put(struct bh_store *s, const char *table, const char *key, const char *json,
		 struct bh_err *err)
{
	size_t t = 0;
	int r = find_table(table, &t, err);

	if (r)
		return r;
	if (sqlite3_bind_text(s->put[t], 1, key, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_text(s->put[t], 2, json, -1, SQLITE_STATIC) != SQLITE_OK)
		return fail(s, SQLITE_TOOBIG, table, err);
	return step_write(s, s->put[t], table, err);
}

int bh_store_del(struct bh_store *s, const char *table, const char *key, struct bh_err *err)
{
	size_t t = 0;
	int r = find_table(table, &t, err);

	if (r)
		return r;
	if (sqlite3_bind_text(s->del[t], 1, key, -1, SQLITE_STATIC) != SQLITE_OK)
		return fail(s, SQLITE_TOOBIG, table, err);
	return step_write(s, s->del[t], table, err);
}

int bh_store_get(struct bh_store *s, const char *table, const char *key, char **ret,
		 struct bh_err *err)
{
	BH_CLEANUP(finalizep) sqlite3_stmt *st = NULL;
	char sql[128], *text = NULL;
	size_t t = 0;
	int rc, r = find_table(table, &t, err);

	if (r)
		return r;
	snprintf(sql, sizeof(sql), "SELECT json FROM \"%s\" WHERE key = ?", tables[t]);
	rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const char *json = (const char *)sqlite3_column_text(st, 0);

		text = json ? strdup(json) : NULL;
		rc = text ? SQLITE_DONE : SQLITE_NOMEM;
	}
	if (rc != SQLITE_DONE)
		return fail(s, rc, table, err);
	*ret = text;
	return 0;
}

void bh_store_trim(struct bh_store *s)
{
	sqlite3_db_release_memory(s->db);
}

int bh_store_each(struct bh_store *s, const char *table,
		  int (*fn)(const char *key, const char *json, void *arg), void *arg,
		  struct bh_err *err)
{
	/* a statement of its own, so that fn may walk and write too */
	BH_CLEANUP(finalizep) sqlite3_stmt *st = NULL;
	char sql[128];
	size_t t = 0;
	int rc, r = find_table(table, &t, err);

	if (r)
		return r;
	snprintf(sql, sizeof(sql), "SELECT key, json FROM \"%s\" ORDER BY key", tables[t]);
	rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return fail(s, rc, table, err);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(st, 0);
		const char *json = (const char *)sqlite3_column_text(st, 1);

		if (!key || !json)
			return fail(s, SQLITE_NOMEM, table, err);
		r = fn(key, json, arg);
		if (r)
			return r;
	}
	return rc == SQLITE_DONE ? 0 : fail(s, rc, table, err);
}

/* ---- batches ---- */

int bh_store_begin(struct bh_store *s, struct bh_err *err)
{
	int r;

	if (s->is_batching)
		return bh_fail(err, EBUSY, "store: a batch is open already");
	r = run(s, "BEGIN IMMEDIATE", err);
	if (r)
		return r;
	s->is_batching = true;
	s->must_sync = false;
	return 0;
}

void bh_store_rollback(struct bh_store *s)
{
	if (s->is_batching && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->is_batching = false;
}

int bh_store_commit(struct bh_store *s, struct bh_err *err)
{
	int r;

	if (!s->is_batching)
		return bh_fail(err, EINVAL, "store: no batch is open");
	/* a full disk can make SQLite give up the whole batch in the midst of it */
	if (sqlite3_get_autocommit(s->db)) {
		s->is_batching = false;
		return bh_fail(err, EIO, "store: the batch was undone by an earlier failure");
	}
	r = run(s, "COMMIT", err);
	if (r) {
		bh_store_rollback(s);
		return r;
	}
	s->is_batching = false;
	return s->must_sync ? sync_now(s, err) : 0;
}
