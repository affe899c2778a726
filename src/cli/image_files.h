/* image_files.h - the files that ImagePolicies name, read with the caller's own rights. */
#pragma once

#include "policy/image.h"

extern const struct bh_image_files bh_cli_image_files;
