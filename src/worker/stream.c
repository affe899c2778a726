#include "worker/stream.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/str.h"

#define LOOK_MS 1 /* between two looks at how much is still on its way */

struct bh_stream {
	BIO *bio; /* the whole chain */
	SSL_CTX *ctx;
	int fd, timeout_ms;
};

void bh_stream_close(struct bh_stream *s)
{
	if (!s)
		return;
	BIO_free_all(s->bio);
	SSL_CTX_free(s->ctx);
	free(s);
}

void bh_stream_closep(struct bh_stream **s)
{
	bh_stream_close(*s);
	*s = NULL;
}

/* The library's own sentence for what just failed; the system's where that is behind it. */
static int fail(struct bh_err *err, int code, const char *what)
{
	unsigned long first = ERR_peek_error(), e = ERR_peek_last_error();
	char text[160] = "";
	int saved = errno;

	if (ERR_SYSTEM_ERROR(first))
		snprintf(text, sizeof(text), "%s", strerror(ERR_GET_REASON(first)));
	else if (e)
		ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	return bh_fail(err, code, "%s: %s", what,
		       *text   ? text
		       : saved ? strerror(saved)
			       : "the other side closed the connection");
}

/* ---- TLS ---- */

static int trust(SSL_CTX *ctx, const char *pem, struct bh_err *err)
{
	BIO *in = pem ? BIO_new_mem_buf(pem, -1) : NULL;
	X509 *cert;
	int n = 0;

	if (!pem)
		return SSL_CTX_set_default_verify_paths(ctx) ? 0 : fail(err, EINVAL, "authorities");
	while (in && (cert = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert);
		X509_free(cert);
	}
	BIO_free(in);
	ERR_clear_error(); /* the end of the text is an error to the reader */
	return n ? 0 : bh_fail(err, EINVAL, "'ca' holds no certificate in PEM form");
}

static int identify(SSL_CTX *ctx, const struct bh_stream_options *opt, struct bh_err *err)
{
	BIO *cert_in = BIO_new_mem_buf(opt->cert_pem, -1);
	BIO *key_in = BIO_new_mem_buf(opt->key_pem, -1);
	X509 *cert = cert_in ? PEM_read_bio_X509(cert_in, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, NULL, NULL) : NULL;
	bool is_good = cert && key && SSL_CTX_use_certificate(ctx, cert) == 1 &&
		       SSL_CTX_use_PrivateKey(ctx, key) == 1;

	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(cert_in);
	BIO_free(key_in);
	return is_good ? 0 : fail(err, EINVAL, "'certificate' and 'key'");
}

static int make_context(struct bh_stream *s, const struct bh_stream_options *opt,
			struct bh_err *err)
{
	int r;

	s->ctx = SSL_CTX_new(TLS_client_method());
	if (!s->ctx || !SSL_CTX_set_min_proto_version(s->ctx, TLS1_2_VERSION))
		return fail(err, ENOMEM, "TLS");
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(s->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
	r = trust(s->ctx, opt->ca_pem, err);
	return !r && opt->cert_pem ? identify(s->ctx, opt, err) : r;
}

/* host is an address or a name: the certificate must have it as what it is. */
static int demand_name(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(p, host) == 1)
		return 1;
	ERR_clear_error();
	return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

static int add_tls(struct bh_stream *s, const struct bh_stream_options *opt, struct bh_err *err)
{
	int r = make_context(s, opt, err);
	SSL *ssl = NULL;
	char *host;
	BIO *tls;

	if (r)
		return r;
	tls = BIO_new_ssl(s->ctx, 1);
	if (!tls)
		return fail(err, ENOMEM, "TLS");
	host = bh_strf("%s", opt->server_name ? opt->server_name : BIO_get_conn_hostname(s->bio));
	BIO_get_ssl(tls, &ssl);
	s->bio = BIO_push(tls, s->bio);
	if (!host || !ssl || !demand_name(ssl, host))
		r = fail(err, EINVAL, "the server's name");
	free(host);
	return r;
}

/* ---- waiting ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* After an operation that would have blocked. 0: go on. */
static int wait_for(struct bh_stream *s, int64_t until_ms, struct bh_err *err)
{
	int64_t left = until_ms - now_ms();
	struct pollfd p = {.fd = s->fd, .events = BIO_should_read(s->bio) ? POLLIN : POLLOUT};

	if (left <= 0 || poll(&p, 1, (int)left) == 0)
		return bh_fail(err, ETIMEDOUT, "no answer within %d ms", s->timeout_ms);
	return 0;
}

/* A certificate that is not taken is what people have to hear of, not the alert it ends in. */
static int fail_connect(struct bh_stream *s, struct bh_err *err)
{
	SSL *ssl = NULL;
	long why;

	BIO_get_ssl(s->bio, &ssl);
	why = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	if (why == X509_V_OK)
		return fail(err, ECONNREFUSED, "connect");
	ERR_clear_error();
	return bh_fail(err, EACCES, "the receiver's certificate is not trusted: %s",
		       X509_verify_cert_error_string(why));
}

static int connect_all(struct bh_stream *s, struct bh_err *err)
{
	int64_t until_ms = now_ms() + s->timeout_ms;
	int r;

	while (BIO_do_handshake(s->bio) <= 0) {
		if (!BIO_should_retry(s->bio))
			return fail_connect(s, err);
		BIO_get_fd(s->bio, &s->fd);
		r = wait_for(s, until_ms, err);
		if (r)
			return r;
	}
	BIO_get_fd(s->bio, &s->fd);
	return 0;
}

int bh_stream_open(const struct bh_stream_options *opt, struct bh_stream **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_stream_closep) struct bh_stream *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return bh_fail(err, ENOMEM, "connection");
	s->fd = -1;
	s->timeout_ms = opt->timeout_ms;
	s->bio = BIO_new_connect(opt->address);
	if (!s->bio)
		return fail(err, ENOMEM, "connection");
	BIO_set_nbio(s->bio, 1);
	if (opt->is_tls)
		r = add_tls(s, opt, err);
	if (!r)
		r = connect_all(s, err);
	if (r)
		return bh_note(err, r, "'%s'", opt->address);
	*ret = BH_TAKE(s);
	return 0;
}

/* ---- sending ---- */

/* A syslog receiver says nothing; bytes that come are its TLS talking, and the end is the end. */
static int hear(struct bh_stream *s, struct bh_err *err)
{
	char buf[256];
	int n = BIO_read(s->bio, buf, sizeof(buf));

	if (n > 0 || BIO_should_retry(s->bio))
		return 0;
	return fail(err, EPIPE, "send");
}

/* Until the other side's TCP has acknowledged every byte. */
static int wait_acknowledged(struct bh_stream *s, int64_t until_ms, struct bh_err *err)
{
	struct timespec nap = {0, LOOK_MS * 1000000L};
	int left = 0, before = INT_MAX, r;

	for (;;) {
		r = hear(s, err);
		if (r)
			return r;
		if (ioctl(s->fd, SIOCOUTQ, &left) < 0)
			return bh_fail_sys(err, errno, "ask for what is on its way");
		if (!left)
			return 0;
		if (left < before) /* slow, but it takes them */
			until_ms = now_ms() + s->timeout_ms;
		before = left;
		if (now_ms() >= until_ms)
			return bh_fail(err, ETIMEDOUT, "%d bytes were not acknowledged in %d ms",
				       left, s->timeout_ms);
		nanosleep(&nap, NULL);
	}
}

int bh_stream_send(struct bh_stream *s, const char *bytes, size_t n, struct bh_err *err)
{
	int64_t until_ms = now_ms() + s->timeout_ms;
	int r = hear(s, err);

	while (!r && n) {
		int sent;

		errno = 0;
		sent = BIO_write(s->bio, bytes, n > 65536 ? 65536 : (int)n);
		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
			until_ms = now_ms() + s->timeout_ms;
		} else if (BIO_should_retry(s->bio)) {
			r = wait_for(s, until_ms, err);
		} else {
			r = fail(err, EPIPE, "send");
		}
	}
	return r ? r : wait_acknowledged(s, until_ms, err);
}
