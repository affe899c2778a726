/* pod.c - what there is to ask about a pod. */
#include "detect/detect.h"
#include "detect/state.h"

bool bh_detect_pod_is_suspect(const struct bh_detect *d, uint64_t pod_id)
{
	const struct bh_pod_state *p = bh_map_get(&d->pods, &pod_id, sizeof(pod_id));

	return p && p->is_suspect;
}

bool bh_detect_pod_has_container(const struct bh_detect *d, uint64_t pod_id)
{
	const struct bh_pod_state *p = bh_map_get(&d->pods, &pod_id, sizeof(pod_id));

	return p && p->has_container;
}
