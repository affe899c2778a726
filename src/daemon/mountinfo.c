#include "daemon/mountinfo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/own.h"

static bool is_local(const char *type)
{
	static const char *const types[] = {"overlay", "ext4",	   "xfs",      "btrfs", "tmpfs",
					    "ext3",    "ext2",	   "squashfs", "erofs", "f2fs",
					    "zfs",     "bcachefs", "iso9660",  "vfat",	"ramfs",
					    "rootfs",  "jfs",	   "nilfs2"};

	for (size_t i = 0; i < BH_ARRAY_SIZE(types); i++) {
		if (!strcmp(types[i], type))
			return true;
	}
	return false;
}

/* In place: \040 and its kind. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static bool parse(const char *line, struct bh_mount *ret)
{
	const char *dash = strstr(line, " - ");
	unsigned long long id;
	unsigned major, minor;
	char type[64];

	if (!dash || sscanf(dash + 3, "%63s", type) != 1 ||
	    sscanf(line, "%llu %*d %u:%u %4095s %4095s", &id, &major, &minor, ret->root,
		   ret->point) != 5)
		return false;
	unescape(ret->root);
	unescape(ret->point);
	ret->id = id;
	ret->dev = makedev(major, minor);
	ret->is_local = is_local(type);
	return true;
}

bool bh_mounts_open(struct bh_mounts *m, uint32_t pid)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%u/mountinfo", pid);
	m->f = fopen(path, "re");
	return m->f != NULL;
}

bool bh_mounts_next(struct bh_mounts *m, struct bh_mount *ret)
{
	while (getline(&m->line, &m->cap, m->f) > 0) {
		if (parse(m->line, ret))
			return true;
	}
	return false;
}

void bh_mounts_rewind(struct bh_mounts *m)
{
	rewind(m->f);
}

void bh_mounts_done(struct bh_mounts *m)
{
	if (m->f)
		fclose(m->f);
	free(m->line);
	*m = (struct bh_mounts){0};
}

bool bh_mount_has(const char *point, const char *path)
{
	size_t n = strlen(point);

	if (n == 1)
		return true;
	return !strncmp(path, point, n) && (path[n] == '/' || !path[n]);
}
