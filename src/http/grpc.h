/* grpc.h - unary gRPC calls over a unix socket: HTTP/2 with prior knowledge, one message there and
 * one back (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). No TLS, no compression, no streams.
 *
 * There is one connection, which the first call makes. Once it breaks, every further call fails:
 * whoever calls may by then not be allowed to connect any more. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bh_grpc;

/* path is copied. Nothing is connected yet. */
int bh_grpc_new(const char *path, struct bh_grpc **ret, struct bh_err *err);
void bh_grpc_free(struct bh_grpc *g);
void bh_grpc_freep(struct bh_grpc **g);

struct bh_grpc_call {
	const char *method; /* "package.Service/Method" */
	const void *message;
	size_t n;
	uint64_t timeout_ms;
	size_t max; /* bytes of the answer's message */
};

/* *ret is the caller's. -EPIPE: the connection is gone. -ETIMEDOUT; -EFBIG; -EPROTO: that is no
 * gRPC. What the server says itself: -ENOENT (NOT_FOUND), -ENOTSUP (UNIMPLEMENTED), -EAGAIN
 * (UNAVAILABLE), else -EIO, with its sentence. */
int bh_grpc_do(struct bh_grpc *g, const struct bh_grpc_call *call, unsigned char **ret,
	       size_t *ret_n, struct bh_err *err);
