#include "daemon/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/adopt.h"
#include "daemon/images.h"
#include "daemon/isolate.h"
#include "daemon/journal.h"
#include "daemon/kubelet.h"
#include "daemon/metrics.h"
#include "daemon/notify.h"
#include "daemon/observe.h"
#include "daemon/policy_news.h"
#include "daemon/runtime.h"
#include "daemon/sinks.h"
#include "daemon/memory.h"
#include "daemon/saved.h"
#include "daemon/verbs.h"
#include "daemon/world.h"

#define TICK_MS 5000

#define BUSY_TRIES    150 /* 3 s */
#define BUSY_PAUSE_NS 20000000l

int64_t bh_now_s(void)
{
	return (int64_t)time(NULL);
}

const char *bh_time_format(int64_t unix_s, char out[32])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, 32, "-");
	return out;
}

int64_t bh_uptime_s(void)
{
	return (int64_t)(bh_datapath_now_ns() / 1000000000ull);
}

void bh_daemon_store_failed(struct bh_daemon *d, const struct bh_err *why)
{
	snprintf(d->store_trouble, sizeof(d->store_trouble), "%.127s", why->text);
	bh_error("endpoint is not kept: %s", why->text);
}

void bh_daemon_save_endpoint(struct bh_daemon *d, struct bh_endpoint *ep)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ep->container_id, ep->ifname);
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err = {0};
	json_t *j = NULL;
	int r = bh_endpoint_to_json(ep, &j, &err);

	if (!r) {
		text = json_dumps(j, JSON_COMPACT);
		json_decref(j);
	}
	if (!r && key && text)
		r = bh_store_put(d->store, "endpoint", key, text, &err);
	ep->is_unsaved = r < 0;
	if (r < 0)
		bh_daemon_store_failed(d, &err);
}

/* An interface without its programs would let everything through: it goes down first. Only one that
 * has them is touched; the number may be another interface's by now. */
static int take_down(struct bh_daemon *d, const struct bh_endpoint *ep, struct bh_err *err)
{
	struct bh_err other;

	if (bh_datapath_check(d->dp, ep->slot, ep->ifindex, &other) < 0 ||
	    bh_link_set_up(ep->ifindex, false, err) >= 0 || !bh_link_exists(ep->ifindex))
		return 0;
	return err->code;
}

int bh_daemon_drop_endpoint(struct bh_daemon *d, struct bh_endpoint *ep, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ep->container_id, ep->ifname);
	struct bh_endpoint *heir;
	bool owned = ep->owns_cookie;
	uint64_t cookie = ep->cookie;
	int r;

	if (d->observer)
		bh_observer_keep(d->observer, ep);
	bh_runtime_endpoint_gone(d->runtime, ep);
	r = take_down(d, ep, err);
	if (!r)
		r = bh_datapath_detach(d->dp, ep->slot, err);
	if (r < 0)
		return bh_note(err, r, "pod '%s/%s'", ep->ns, ep->name);
	if (key)
		bh_store_del(d->store, "endpoint", key, err);
	bh_journal_endpoint(d->journal, ep, "removed");
	bh_endpoint_table_remove(&d->endpoints, ep);
	heir = owned ? bh_endpoint_table_cookie(&d->endpoints, cookie) : NULL;
	if (!heir)
		return 0;
	heir->owns_cookie = true;
	bh_daemon_save_endpoint(d, heir);
	return bh_datapath_set_cookie(d->dp, cookie, heir->slot, err);
}

void bh_daemon_forget_endpoint(struct bh_daemon *d, struct bh_endpoint *ep)
{
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ep->container_id, ep->ifname);
	struct bh_err err;

	if (key)
		bh_store_del(d->store, "endpoint", key, &err);
	bh_endpoint_table_remove(&d->endpoints, ep);
}

int bh_daemon_refresh_addresses(struct bh_daemon *d, bool *ret_changed, struct bh_err *err)
{
	struct bh_addr_list now;
	struct bh_ip *copy;
	int r = bh_addr_watch_addresses(d->addr_watch, &now, err);

	if (r < 0)
		return r;
	*ret_changed = now.n != d->n_local_addresses ||
		       (now.n && memcmp(now.v, d->local_addresses, now.n * sizeof(*now.v)));
	if (!*ret_changed)
		return 0;
	copy = malloc((now.n + 1) * sizeof(*copy));
	if (!copy)
		return bh_fail(err, ENOMEM, "node addresses");
	if (now.n)
		memcpy(copy, now.v, now.n * sizeof(*copy));
	free(d->local_addresses);
	d->local_addresses = copy;
	d->n_local_addresses = now.n;
	return 0;
}

static void on_address_change(int fd, unsigned events, void *arg)
{
	struct bh_daemon *d = arg;
	struct bh_err err = {0};
	bool changed = false;

	(void)fd;
	(void)events;
	if (bh_daemon_refresh_addresses(d, &changed, &err) < 0)
		bh_error("node addresses: %s", err.text);
	else if (changed)
		bh_reconcile_soon(d->reconciler);
}

static void on_objects_change(void *arg)
{
	struct bh_daemon *d = arg;

	bh_keeper_changed(d->keeper);
	bh_images_changed(d->images);
	if (d->reconciler)
		bh_reconcile_soon(d->reconciler);
}

static void on_manifests_read(void *arg)
{
	struct bh_daemon *d = arg;

	bh_policy_news_look(d->news);
}

static void on_ring(int fd, unsigned events, void *arg)
{
	struct bh_daemon *d = arg;

	(void)fd;
	(void)events;
	bh_observer_drain(d->observer);
}

/* Writes what could not be written, until the database takes it. */
static void mend_store(struct bh_daemon *d)
{
	struct bh_err err;

	if (!d->store_trouble[0] || bh_store_put(d->store, "meta", "mended", "{}", &err) < 0)
		return;
	d->store_trouble[0] = '\0';
	bh_vec_each (it, &d->endpoints.eps) {
		if ((*it)->is_unsaved)
			bh_daemon_save_endpoint(d, *it);
	}
	bh_keeper_changed(d->keeper);
}

/* Somebody removed the control socket or its directory. */
static void mend_socket(struct bh_daemon *d)
{
	struct bh_err err = {0};
	int r = bh_server_renew(d->server, &err);

	if (r == -ENOENT && !bh_fs_mkdirs(d->cfg->run, 0755, &err))
		r = bh_server_renew(d->server, &err);
	if (r > 0)
		bh_warn("the control socket was gone; listening again below '%s'", d->cfg->run);
	if (r < 0 && strcmp(d->socket_trouble, err.text))
		bh_error("nobody can reach the daemon: %s", err.text);
	snprintf(d->socket_trouble, sizeof(d->socket_trouble), "%s", r < 0 ? err.text : "");
}

static void on_tick(void *arg)
{
	struct bh_daemon *d = arg;

	mend_socket(d);
	mend_store(d);
	bh_observer_sweep(d->observer);
	bh_runtime_tick(d->runtime);
	bh_journal_note_head(d->journal);
	bh_adopt_sweep(d);
	bh_memory_trim_heap();
}

static void on_terminate(void *arg)
{
	struct bh_daemon *d = arg;

	bh_notify("STOPPING=1");
	bh_loop_stop(d->loop);
}

static int make_dirs(const struct bh_settings *c, struct bh_err *err)
{
	const char *dirs[] = {c->run, c->state, c->log};

	for (size_t i = 0; i < BH_ARRAY_SIZE(dirs); i++) {
		int r = bh_fs_mkdirs(dirs[i], 0755, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* A predecessor that was killed holds its files until its last system call is through. */
static int when_free(struct bh_daemon *d, int (*take)(struct bh_daemon *, struct bh_err *),
		     struct bh_err *err)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
	int r = take(d, err);

	for (int i = 0; r == -EBUSY && i < BUSY_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = take(d, err);
	}
	return r;
}

static int open_store(struct bh_daemon *d, struct bh_err *err)
{
	return bh_store_open(d->cfg->state, &d->store, &d->was_damaged, err);
}

static int open_journal(struct bh_daemon *d, struct bh_err *err)
{
	return bh_journal_open(d, &d->journal, err);
}

static int open_state(struct bh_daemon *d, struct bh_err *err)
{
	int r = make_dirs(d->cfg, err);

	if (!r)
		r = when_free(d, open_store, err);
	if (!r)
		r = when_free(d, open_journal, err);
	return r < 0 ? r : bh_sinks_open(d, &d->sinks, err);
}

/* Two daemons on the same pins would shut each other's pods. */
static int lock_pins(struct bh_daemon *d, struct bh_err *err)
{
	BH_CLEANUP(bh_closep) int fd = -1;

	if (d->bpffs_lock >= 0)
		return 0;
	fd = open(d->cfg->bpffs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : bh_fail_sys(err, errno, "open '%s'", d->cfg->bpffs);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return bh_fail(err, EBUSY, "another daemon uses '%s'", d->cfg->bpffs);
	d->bpffs_lock = BH_TAKE_FD(fd);
	return 0;
}

static int open_kernel(struct bh_daemon *d, struct bh_err *err)
{
	struct bh_datapath_options opt = {
		.bpffs = d->cfg->bpffs,
		.node_mode = d->cfg->node_mode,
		.keep_established = d->cfg->keep_established,
	};
	bool adopted = false, changed;
	int r;

	if (opt.node_mode == BH_NODE_KUBELET)
		bh_kubelet_cgroup(&opt.kubelet_cgroup);
	r = when_free(d, lock_pins, err);
	if (!r)
		r = bh_datapath_open(&opt, &d->dp, &adopted, err);
	if (!r) /* the first start made the directory */
		r = when_free(d, lock_pins, err);
	if (!r)
		r = bh_isolation_open(d, &d->isolation, err);
	if (!r)
		r = bh_observer_open(d, &d->observer, err);
	if (!r)
		r = bh_addr_watch_open(&d->addr_watch, err);
	if (!r)
		r = bh_daemon_refresh_addresses(d, &changed, err);
	if (!r)
		bh_info("kernel ready: adopted=%s epoch=%u", adopted ? "yes" : "no",
			bh_datapath_epoch(d->dp));
	return r;
}

static int open_policy(struct bh_daemon *d, struct bh_err *err)
{
	struct bh_objects_options opt = {.require_reason = d->cfg->require_reason,
					 .keep_text = true};
	int r = bh_objects_new(&opt, &d->objects, err);

	if (!r)
		r = bh_keeper_open(d, &d->keeper, err);
	if (!r && d->cfg->manifests)
		r = bh_manifests_open(d->loop, d->cfg->manifests, d->objects, on_objects_change, d,
				      &d->manifests, err);
	if (!r && d->cfg->manifests) {
		bh_manifests_on_read(d->manifests, on_manifests_read);
		r = bh_keeper_restore(d->keeper, err);
	}
	if (!r && d->manifests && bh_manifests_expect(d->manifests))
		r = bh_fail(err, ENOMEM, "restored objects");
	return r;
}

static int watch_kernel(struct bh_daemon *d, struct bh_err *err)
{
	int r = bh_loop_fd(d->loop, bh_addr_watch_fd(d->addr_watch), BH_LOOP_READ,
			   on_address_change, d, &d->addr_source, err);

	if (!r)
		r = bh_loop_fd(d->loop, bh_datapath_ring_fd(d->dp), BH_LOOP_READ, on_ring, d,
			       &d->ring_source, err);
	if (!r)
		r = bh_loop_timer(d->loop, TICK_MS, TICK_MS, on_tick, d, &d->tick_timer, err);
	if (!r)
		r = bh_loop_signal(d->loop, SIGTERM, on_terminate, d, &d->term_source, err);
	if (!r)
		r = bh_loop_signal(d->loop, SIGINT, on_terminate, d, &d->int_source, err);
	return r;
}

/* The first publish may fail (a limit, a full map): the daemon then runs, keeps what the kernel
 * had, says so and tries again. */
static int start_enforcing(struct bh_daemon *d, struct bh_err *err)
{
	struct bh_err why = {0};
	int r = bh_reconciler_new(d, &d->reconciler, err);

	if (!r)
		r = bh_adopt_all(d, err);
	if (r < 0)
		return r;
	if (bh_reconcile_now(d->reconciler, &why) < 0)
		bh_error("policy is not live: %s", why.text);
	return 0;
}

static int listen_socket(struct bh_daemon *d, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *path = bh_strf("%s/bulkheadd.sock", d->cfg->run);

	if (!path)
		return bh_fail(err, ENOMEM, "socket path");
	return bh_server_open(d->loop, path, (gid_t)-1, bh_verbs_handle, d, &d->server, err);
}

int bh_daemon_open(struct bh_settings **take_cfg, struct bh_daemon **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_daemon_closep) struct bh_daemon *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return bh_fail(err, ENOMEM, "daemon");
	d->bpffs_lock = -1;
	d->cfg = BH_TAKE(*take_cfg);
	d->started_s = bh_now_s();
	r = bh_loop_new(&d->loop, err);
	if (!r)
		r = open_state(d, err);
	if (!r)
		r = open_kernel(d, err);
	if (!r)
		r = open_policy(d, err);
	if (!r)
		r = start_enforcing(d, err);
	if (!r)
		r = watch_kernel(d, err);
	if (!r)
		r = bh_runtime_open(d, &d->runtime, err);
	if (!r)
		r = bh_images_open(d, &d->images, err);
	if (!r)
		r = bh_policy_news_open(d, &d->news, err);
	if (!r)
		r = listen_socket(d, err);
	if (r < 0)
		return r;
	bh_metrics_open(d);
	bh_isolation_resume(d->isolation);
	*ret = BH_TAKE(d);
	return 0;
}

int bh_daemon_run(struct bh_daemon *d, struct bh_err *err)
{
	bh_store_trim(d->store);
	bh_memory_trim();
	bh_notify("READY=1");
	bh_info("enforcing: node=%s pods=%zu revision=%llu", d->cfg->node_name, d->endpoints.eps.n,
		(unsigned long long)bh_reconcile_state(d->reconciler).revision);
	return bh_loop_run(d->loop, err);
}

static void free_sources(struct bh_daemon *d)
{
	struct bh_source **sources[] = {&d->addr_source, &d->ring_source, &d->tick_timer,
					&d->term_source, &d->int_source,  &d->top_timer};

	for (size_t i = 0; i < BH_ARRAY_SIZE(sources); i++)
		bh_source_freep(sources[i]);
}

void bh_daemon_close(struct bh_daemon *d)
{
	if (!d)
		return;
	bh_metrics_close(d);
	bh_server_close(d->server);
	free_sources(d);
	bh_addr_watch_close(d->addr_watch);
	bh_manifests_close(d->manifests);
	bh_reconciler_free(d->reconciler);
	bh_images_close(d->images);
	bh_runtime_close(d->runtime);
	bh_observer_close(d->observer);
	bh_isolation_close(d->isolation);
	bh_policy_news_close(d->news);
	bh_keeper_close(d->keeper);
	bh_worlds_free(d->worlds);
	bh_objects_free(d->objects);
	bh_endpoint_table_done(&d->endpoints);
	bh_datapath_close(d->dp);
	bh_closep(&d->bpffs_lock);
	bh_sinks_close(d->sinks);
	bh_journal_close(d->journal);
	bh_store_close(d->store);
	bh_loop_free(d->loop);
	bh_settings_free(d->cfg);
	free(d->local_addresses);
	json_decref(d->problems);
	free(d);
}

void bh_daemon_closep(struct bh_daemon **d)
{
	bh_daemon_close(*d);
	*d = NULL;
}
