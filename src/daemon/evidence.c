#include "daemon/evidence.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/digest.h"
#include "daemon/observe.h"
#include "daemon/procs.h"
#include "net/sockdiag.h"

#define MAX_EXE_BYTES (512u * 1024 * 1024)

int bh_evidence_check(const char *dir, struct bh_err *err)
{
	struct dirent *e;
	bool is_empty = true;
	DIR *d;
	int r;

	if (dir[0] != '/')
		return bh_fail(err, EINVAL, "evidence directory '%s' is not an absolute path", dir);
	r = bh_fs_mkdirs(dir, 0700, err);
	if (r < 0)
		return bh_note(err, r, "evidence");
	d = opendir(dir);
	if (!d)
		return bh_fail_sys(err, errno, "evidence directory '%s'", dir);
	while (is_empty && (e = readdir(d)))
		is_empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	closedir(d);
	return is_empty ? 0 : bh_fail(err, ENOTEMPTY, "evidence directory '%s' is not empty", dir);
}

struct gathering {
	const struct bh_evidence_request *rq;
	json_t *processes, *executables, *sockets, *manifest;
	struct bh_str sums;
	struct bh_err *err;
};

static void gathering_done(struct gathering *g)
{
	json_decref(g->processes);
	json_decref(g->executables);
	json_decref(g->sockets);
	json_decref(g->manifest);
	bh_str_done(&g->sums);
}

/* A process chooses its names: what is not UTF-8 must not make the whole file unreadable. */
static json_t *any_text(const char *text, size_t n)
{
	BH_CLEANUP(bh_freep) char *copy = strndup(text, n);

	return bh_json_text(copy);
}

static json_t *link_text(pid_t pid, const char *what)
{
	char path[64], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	n = readlink(path, target, sizeof(target) - 1);
	return n < 0 ? json_null() : any_text(target, (size_t)n);
}

/* Arguments as an array; bytes that are no UTF-8 are written as '?'. */
static json_t *command_line(pid_t pid)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	json_t *args = json_array();
	char path[64];
	struct bh_err err;
	size_t len = 0;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (bh_fs_read(path, 1 << 20, &text, &len, &err) < 0)
		return args;
	for (size_t i = 0; i < len; i += strlen(text + i) + 1)
		json_array_append_new(args, text[i] ? bh_json_text(text + i) : json_string(""));
	return args;
}

static json_t *status_field(const char *status, const char *name)
{
	const char *p = strstr(status, name);

	if (!p)
		return json_null();
	p += strlen(name);
	p += strspn(p, " \t");
	return any_text(p, strcspn(p, "\n"));
}

static int one_process(pid_t pid, void *arg)
{
	struct gathering *g = arg;
	BH_CLEANUP(bh_freep) char *status = NULL;
	char path[64], digest[BH_DIGEST_TEXT];
	struct bh_err err = {0};
	json_t *exe;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (bh_fs_read(path, 65536, &status, &len, &err) < 0)
		return 0;
	exe = link_text(pid, "exe");
	json_array_append_new(
		g->processes,
		json_pack("{si so so so so so so so}", "pid", (int)pid, "name",
			  status_field(status, "Name:"), "ppid", status_field(status, "PPid:"),
			  "uid", status_field(status, "Uid:"), "executable", json_incref(exe),
			  "cwd", link_text(pid, "cwd"), "arguments", command_line(pid),
			  "capabilities", status_field(status, "CapEff:")));
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (!bh_digest_file(path, MAX_EXE_BYTES, digest, &err))
		json_array_append_new(g->executables, json_pack("{so si ss}", "path", exe, "pid",
								(int)pid, "sha256", digest));
	else
		json_array_append_new(g->executables, json_pack("{so si ss}", "path", exe, "pid",
								(int)pid, "error", err.text));
	return 0;
}

static int one_socket(const struct bh_socket *s, void *arg)
{
	struct gathering *g = arg;
	char local[BH_IP_TEXT], remote[BH_IP_TEXT], proto[8];

	json_array_append_new(g->sockets,
			      json_pack("{ss si ss si ss si si sI}", "protocol",
					bh_proto_format(s->proto, proto), "state", (int)s->state,
					"local", bh_ip_format(&s->local, local), "localPort",
					(int)s->lport, "remote", bh_ip_format(&s->remote, remote),
					"remotePort", (int)s->rport, "uid", (int)s->uid, "inode",
					(json_int_t)s->inode));
	return 0;
}

/* Writes one file and notes its digest. */
static int put(struct gathering *g, const char *name, const json_t *body)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(body, JSON_INDENT(2) | JSON_ENCODE_ANY);
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/%s", g->rq->dir, name);
	char digest[BH_DIGEST_TEXT];
	int r;

	if (!text || !path)
		return bh_fail(g->err, ENOMEM, "%s", name);
	r = bh_fs_replace(path, text, strlen(text), 0600, g->err);
	if (!r)
		r = bh_digest_bytes(text, strlen(text), digest, g->err);
	if (r < 0)
		return bh_note(g->err, r, "evidence");
	bh_str_fmt(&g->sums, "%s  %s\n", digest, name);
	json_array_append_new(g->manifest, json_pack("{ss ss sI}", "name", name, "sha256", digest,
						     "bytes", (json_int_t)strlen(text)));
	return 0;
}

static json_t *addresses(const struct bh_daemon *d, const struct bh_evidence_request *rq)
{
	json_t *rows = json_array();

	bh_vec_each (it, &d->endpoints.eps) {
		json_t *row = NULL;
		struct bh_err err;

		if (bh_endpoint_is_pod(*it, rq->ns, rq->name) &&
		    !bh_endpoint_to_json(*it, &row, &err))
			json_array_append_new(rows, row);
	}
	return rows;
}

static int put_manifest(struct gathering *g)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/SHA256SUMS", g->rq->dir);
	char pod[600], now[32];
	BH_CLEANUP(bh_json_decrefp) json_t *m = NULL;
	int r;

	snprintf(pod, sizeof(pod), "%s/%s", g->rq->ns, g->rq->name);
	m = json_pack("{ss ss sO}", "pod", pod, "written", bh_time_format(bh_now_s(), now), "files",
		      g->manifest);
	r = put(g, "manifest.json", m);
	if (r < 0)
		return r;
	if (!path || g->sums.failed)
		return bh_fail(g->err, ENOMEM, "evidence");
	return bh_fs_replace(path, bh_str_text(&g->sums), g->sums.n, 0600, g->err);
}

int bh_evidence_write(struct bh_daemon *d, const struct bh_evidence_request *rq, struct bh_err *err)
{
	BH_CLEANUP(gathering_done)
	struct gathering g = {.rq = rq,
			      .processes = json_array(),
			      .executables = json_array(),
			      .sockets = json_array(),
			      .manifest = json_array(),
			      .err = err};
	BH_CLEANUP(bh_json_decrefp) json_t *edges = NULL, *addrs = addresses(d, rq);
	struct bh_flow_filter filter = {rq->ns, rq->name, -1};
	struct bh_netns_id ns;
	int r = bh_netns_id(rq->netns_fd, &ns, err);

	if (!r)
		r = bh_sockdiag_list(rq->netns_fd, one_socket, &g, err);
	if (!r)
		r = bh_procs_each(&ns, one_process, &g, err);
	if (!r)
		r = bh_observer_flows(d->observer, &filter, &edges, err);
	if (!r)
		r = put(&g, "processes.json", g.processes);
	if (!r)
		r = put(&g, "executables.json", g.executables);
	if (!r)
		r = put(&g, "sockets.json", g.sockets);
	if (!r)
		r = put(&g, "edges.json", edges);
	if (!r)
		r = put(&g, "addresses.json", addrs);
	return r < 0 ? r : put_manifest(&g);
}
