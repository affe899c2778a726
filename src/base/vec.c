#include "base/vec.h"

#include <stdint.h>

int bh_vec_reserve_(void **v, size_t *cap, size_t want, size_t size)
{
	size_t next = *cap ? *cap : 8;
	void *p;

	if (want <= *cap)
		return 0;
	if (want > SIZE_MAX / 2 / size)
		return -ENOMEM;
	if (*cap)
		next *= 2;
	if (next < want)
		next = want;
	if (next > SIZE_MAX / size)
		return -ENOMEM;
	p = realloc(*v, next * size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = next;
	return 0;
}

void bh_vec_shrink_(void **v, size_t *cap, size_t n, size_t size)
{
	void *p = n && n < *cap ? realloc(*v, n * size) : NULL;

	if (!p)
		return;
	*v = p;
	*cap = n;
}
