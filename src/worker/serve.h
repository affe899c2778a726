/* serve.h - the worker as the sender of one sink: questions until the daemon hangs up. */
#pragma once

#include "worker/confine.h"

/* fd: a socket to the daemon. Returns the exit status. */
int bh_serve_sink(int fd, const struct bh_confine *c);
