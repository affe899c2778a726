#include "daemon/degraded.h"

#include <stdio.h>

#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/runtime.h"

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
	if (d->was_damaged)
		add(a, "state",
		    "the database was damaged and has been set aside; pods it knew stay shut");
	if (d->endpoints.n_orphans) {
		char text[128];

		snprintf(text, sizeof(text),
			 "%zu interfaces are in no record and stay shut until they are added again",
			 d->endpoints.n_orphans);
		add(a, "pods", text);
	}
	if (d->store_trouble[0])
		add(a, "state", d->store_trouble);
	if (bh_runtime_trouble(d->runtime))
		add(a, "runtime", bh_runtime_trouble(d->runtime));
	if (bh_images_trouble(d->images))
		add(a, "images", bh_images_trouble(d->images));
	return a;
}
