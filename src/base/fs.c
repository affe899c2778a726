#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "base/vec.h"

/* ---- read ---- */

static int read_all(int fd, const char *path, size_t max, struct bh_str *out, struct bh_err *err)
{
	char buf[16384];
	int r = 0;

	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = bh_fail_sys(err, errno, "read '%s'", path);
		if (n <= 0)
			break;
		if ((size_t)n > max - out->n)
			r = bh_fail(err, EFBIG, "'%s' is larger than %zu bytes", path, max);
		else
			bh_str_addn(out, buf, (size_t)n);
		if (!r && out->failed)
			r = bh_fail(err, ENOMEM, "read '%s'", path);
		if (r)
			break;
	}
	explicit_bzero(buf, sizeof(buf)); /* some files hold passwords */
	return r;
}

int bh_fs_read(const char *path, size_t max, char **ret_data, size_t *ret_len, struct bh_err *err)
{
	BH_CLEANUP(bh_str_done) struct bh_str data = {0};
	BH_CLEANUP(bh_closep) int fd = -1;
	struct stat st;
	size_t len;
	char *s;
	int r;

	/* O_NONBLOCK: a FIFO put in the file's place must not hang us */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return bh_fail_sys(err, errno, "open '%s'", path);
	if (fstat(fd, &st) < 0)
		return bh_fail_sys(err, errno, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return bh_fail(err, EINVAL, "'%s' is not a regular file", path);
	r = read_all(fd, path, max, &data, err);
	if (r)
		return r;
	len = data.n;
	s = bh_str_take(&data);
	if (!s)
		return bh_fail(err, ENOMEM, "read '%s'", path);
	*ret_data = s;
	*ret_len = len;
	return 0;
}

/* ---- replace ---- */

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int fill_file(int fd, const void *data, size_t len, mode_t mode)
{
	int r = write_all(fd, data, len);

	if (r)
		return r;
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

/* Makes the rename itself survive a power cut. */
static int sync_dir(const char *dir)
{
	BH_CLEANUP(bh_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static char *parent_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int bh_fs_replace(const char *path, const void *data, size_t len, mode_t mode, struct bh_err *err)
{
	const char *slash = strrchr(path, '/');
	BH_CLEANUP(bh_freep) char *dir = parent_dir(path);
	BH_CLEANUP(bh_freep) char *tmp = NULL;
	BH_CLEANUP(bh_closep) int fd = -1;
	int r;

	/* the dot hides a half-written file from bh_fs_walk */
	if (dir)
		tmp = bh_strf("%s/.%s.XXXXXX", dir, slash ? slash + 1 : path);
	if (!tmp)
		return bh_fail(err, ENOMEM, "replace '%s'", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return bh_fail_sys(err, errno, "create '%s'", tmp);
	r = fill_file(fd, data, len, mode);
	if (!r && rename(tmp, path) < 0)
		r = -errno;
	if (r) {
		unlink(tmp);
		return bh_fail_sys(err, -r, "replace '%s'", path);
	}
	r = sync_dir(dir);
	if (r)
		return bh_fail_sys(err, -r, "sync '%s'", dir);
	return 0;
}

/* ---- directories ---- */

static int make_dir(const char *path, mode_t mode, struct bh_err *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return bh_fail_sys(err, errno, "create directory '%s'", path);
	if (stat(path, &st) < 0)
		return bh_fail_sys(err, errno, "stat '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return bh_fail(err, ENOTDIR, "'%s' is not a directory", path);
	return 0;
}

int bh_fs_mkdirs(const char *path, mode_t mode, struct bh_err *err)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n == 0)
		return bh_fail(err, EINVAL, "the name of the directory is empty");
	if (n >= sizeof(part))
		return bh_fail(err, ENAMETOOLONG, "directory '%.64s...'", path);
	memcpy(part, path, n + 1);
	for (char *p = part + 1; *p; p++) {
		int r;

		if (*p != '/')
			continue;
		*p = '\0';
		r = make_dir(part, mode, err);
		if (r)
			return r;
		*p = '/';
	}
	return make_dir(part, mode, err);
}

/* ---- walk ---- */

struct path_list {
	BH_VEC(char *) paths;
};

/* The directories above the one being read, to notice links that lead back up. */
struct ancestor {
	dev_t dev;
	ino_t ino;
	const struct ancestor *up;
};

static void path_list_done(struct path_list *l)
{
	bh_vec_each (p, &l->paths)
		free(*p);
	bh_vec_done(&l->paths);
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

static int collect_dir(struct path_list *l, const char *dir, const struct ancestor *up,
		       struct bh_err *err);

static int collect_entry(struct path_list *l, char *take_path, const struct ancestor *up,
			 struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *path = take_path;
	struct stat st;

	if (!path)
		return bh_fail(err, ENOMEM, "walk a directory");
	if (stat(path, &st) < 0) {
		/* gone since readdir, or a link into nothing: neither is a file */
		if (errno == ENOENT)
			return 0;
		return bh_fail_sys(err, errno, "stat '%s'", path);
	}
	if (S_ISDIR(st.st_mode))
		return collect_dir(l, path, up, err);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (bh_vec_push(&l->paths, path))
		return bh_fail(err, ENOMEM, "walk a directory");
	path = NULL;
	return 0;
}

static int collect_dir(struct path_list *l, const char *dir, const struct ancestor *up,
		       struct bh_err *err)
{
	BH_CLEANUP(closedirp) DIR *d = opendir(dir);
	struct ancestor self = {.up = up};
	struct dirent *ent;
	struct stat st;
	int r;

	if (!d && errno == ENOENT && up)
		return 0; /* gone since the look at it */
	if (!d)
		return bh_fail_sys(err, errno, "open directory '%s'", dir);
	if (fstat(dirfd(d), &st) < 0)
		return bh_fail_sys(err, errno, "stat '%s'", dir);
	self.dev = st.st_dev;
	self.ino = st.st_ino;
	for (const struct ancestor *a = up; a; a = a->up) {
		if (a->dev == st.st_dev && a->ino == st.st_ino)
			return bh_fail(err, ELOOP, "'%s' links to a directory above it", dir);
	}
	for (errno = 0; (ent = readdir(d)); errno = 0) {
		if (ent->d_name[0] == '.')
			continue;
		r = collect_entry(l, bh_strf("%s/%s", dir, ent->d_name), &self, err);
		if (r)
			return r;
	}
	return errno ? bh_fail_sys(err, errno, "read directory '%s'", dir) : 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int bh_fs_walk(const char *dir, int (*fn)(const char *path, void *arg), void *arg,
	       struct bh_err *err)
{
	BH_CLEANUP(path_list_done) struct path_list l = {0};
	int r = collect_dir(&l, dir, NULL, err);

	if (r)
		return r;
	if (l.paths.n)
		qsort(l.paths.v, l.paths.n, sizeof(*l.paths.v), compare_paths);
	bh_vec_each (p, &l.paths) {
		r = fn(*p, arg);
		if (r)
			return r;
	}
	return 0;
}
