/* Names as they travel: refused, or a text that ends within its room and can be told. */
#include <stdlib.h>
#include <string.h>

#include "event/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *name = malloc(size ? size : 1); /* so that a sanitizer sees its end */
	char text[BH_DNS_TEXT];
	struct bh_err err = {0};

	if (!name)
		return 0;
	memcpy(name, data, size);
	if (bh_dns_text(name, size, text, &err) == 0) {
		size_t n = strnlen(text, sizeof(text));

		if (n == 0 || n == sizeof(text) || size > 255 || name[size - 1])
			abort();
		for (size_t i = 0; i < n; i++)
			if (text[i] <= ' ' || text[i] > '~')
				abort();
	} else if (err.code >= 0) {
		abort();
	}
	free(name);
	return 0;
}
