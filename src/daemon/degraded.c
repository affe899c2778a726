#include "daemon/degraded.h"

#include "daemon/daemon.h"

static void add(json_t *a, const char *what, const char *why)
{
	json_array_append_new(a, json_pack("{ss ss}", "what", what, "why", why));
}

json_t *bh_degraded_json(const struct bh_daemon *d)
{
	struct bh_reconcile_state st = bh_reconcile_state(d->reconciler);
	const struct bh_capability *v;
	size_t n = bh_datapath_capabilities(d->dp, &v);
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		if (v[i].is_degraded)
			add(a, v[i].name, v[i].text);
	}
	if (st.failure)
		add(a, "policy", st.failure);
	if (d->manifests && bh_manifests_trouble(d->manifests))
		add(a, "manifests", bh_manifests_trouble(d->manifests));
	if (d->http_trouble[0])
		add(a, "http", d->http_trouble);
	if (d->log_trouble[0])
		add(a, "events", d->log_trouble);
	if (d->store_trouble[0])
		add(a, "state", d->store_trouble);
	if (d->cfg->asks_runtime && d->cfg->runtime_mode != BH_RUNTIME_OFF)
		add(a, "runtime", "this version does not trace processes");
	return a;
}
