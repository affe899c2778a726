/* image_same.h - is the image that runs the one that was judged? Pure. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* What the runtime says of an image. */
struct bh_image_real {
	const char *image;     /* as the pod asked for it; "" when not known */
	const char *id;	       /* the runtime's name of it, usually its configuration's digest */
	const json_t *digests; /* [REPOSITORY@DIGEST...] under which it was pulled */
};

/* row: of bh_image_want_row. true when what was judged is what runs: its digest, or a platform that
 * the judged index lists. Where the judged manifest names its configuration, what runs must have
 * that very configuration: those are bytes that were hashed, while names and digests are what the
 * runtime remembers of a pull. */
bool bh_image_is_same(const json_t *row, const struct bh_image_real *real);

/* What to judge in place of real->image: a reference of the same repository if there is one. The
 * caller owns it; NULL: the runtime names no digest. */
char *bh_image_real_reference(const struct bh_image_real *real);
