/* serve.h - the worker that lasts: the sender of one sink, or the one who asks the container
 * runtime; questions until the daemon hangs up. */
#pragma once

#include "worker/confine.h"

/* fd: a socket to the daemon. Returns the exit status. */
int bh_serve_sink(int fd, const struct bh_confine *c);
/* First frame: {"socket": PATH of the runtime's}, which is connected to before the privilege to do
 * so is given up (what it says of pods is read after that); no answer. Then each {"look":true} is
 * answered by what bh_cri_look (kube/cri.h) returns. Ends with {"error":{"code","message"}} when
 * the runtime cannot be asked any more. */
int bh_serve_cri(int fd, const struct bh_confine *c);
