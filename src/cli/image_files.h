/* image_files.h - the files that ImagePolicies and settings of registries name, read with the
 * caller's own rights. */
#pragma once

#include "policy/image.h"
#include "policy/mirrors.h"

extern const struct bh_image_files bh_cli_image_files;
extern const struct bh_mirror_files bh_cli_mirror_files;
