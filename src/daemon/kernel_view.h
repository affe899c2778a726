/* kernel_view.h - what the kernel's own tables answer, for explain and verify. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "policy/model.h"

struct bh_daemon;

struct bh_question {
	const char *from, *to; /* NS/POD or address */
	uint16_t port;
	uint8_t proto;
};
/* {"egress":{...}|null,"ingress":{...}|null}: null where that end has no interface here. */
json_t *bh_kernel_view(struct bh_daemon *d, const struct bh_world *w, const struct bh_question *q);
