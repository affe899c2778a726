/* stream.h - one TCP connection, with TLS or without, that bytes go out on: for syslog receivers.
 * Waiting is bounded, and a send counts only when the other side's kernel has it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct bh_stream;

struct bh_stream_options {
	const char *address; /* HOST:PORT, [IPv6]:PORT */
	bool is_tls;
	const char *ca_pem;		/* whom to trust; NULL: the system's authorities */
	const char *cert_pem, *key_pem; /* shown when asked; both or neither */
	const char *server_name;	/* in the certificate; NULL: the host of address */
	int timeout_ms;			/* for each wait */
};

/* TLS is 1.2 or later and the name must be in the certificate (RFC 5425 sections 4.2 and 5.2). */
int bh_stream_open(const struct bh_stream_options *opt, struct bh_stream **ret, struct bh_err *err);
void bh_stream_close(struct bh_stream *s);
void bh_stream_closep(struct bh_stream **s);

/* Returns 0 once everything was acknowledged by the other side's TCP; syslog itself has no answer.
 * -ETIMEDOUT, -EPIPE: what arrived is not known then. */
int bh_stream_send(struct bh_stream *s, const char *bytes, size_t n, struct bh_err *err);
