#include "cli/image_files.h"

#include "base/fs.h"

static int read_file(void *ctx, const char *path, size_t max, struct bh_blob *ret,
		     struct bh_err *err)
{
	char *bytes;
	size_t n;
	int r = bh_fs_read(path, max, &bytes, &n, err);

	(void)ctx;
	if (!r)
		*ret = (struct bh_blob){.v = (unsigned char *)bytes, .n = n};
	return r;
}

const struct bh_image_files bh_cli_image_files = {.read = read_file};

const struct bh_mirror_files bh_cli_mirror_files = {.read = bh_fs_read, .list = bh_fs_walk};
