/* fetcher.h - what both kinds of sources are made of. Inside registry/ only. */
#pragma once

#include "registry/source.h"

struct bh_fetcher {
	struct bh_image_source source;
	char *name;
	void (*done)(struct bh_fetcher *f);
};

/* Word and answer for a failure of the registry or of a file. */
enum bh_fetch bh_fetcher_why(struct bh_fetch_why *why);
