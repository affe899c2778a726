#include "daemon/whose.h"

#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/images.h"
#include "endpoint/endpoint.h"

static void set(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
}

/* What verification found out about the one image. */
static void add_images(const struct bh_daemon *d, const char *ns, const char *pod,
		       struct bh_whose *ret)
{
	struct bh_images_about about;

	bh_images_about(d->images, ns, pod, ret->image, &about);
	set(ret->verdict, sizeof(ret->verdict), about.verdict);
	if (!ret->digest[0])
		set(ret->digest, sizeof(ret->digest), about.digest);
}

void bh_whose(const struct bh_daemon *d, const char *ns, const char *pod, struct bh_whose *ret)
{
	const struct bh_pod *manifest = bh_objects_pod(d->objects, ns, pod);
	const char *space = manifest && manifest->sole ? strchr(manifest->sole, ' ') : NULL;
	const char *at;

	*ret = (struct bh_whose){0};
	bh_workload_of(manifest, pod, &ret->workload);
	if (space) {
		snprintf(ret->container, sizeof(ret->container), "%.*s",
			 (int)(space - manifest->sole), manifest->sole);
		set(ret->image, sizeof(ret->image), space + 1);
		at = strrchr(ret->image, '@');
		set(ret->digest, sizeof(ret->digest), at ? at + 1 : NULL);
	}
	add_images(d, ns, pod, ret);
}

struct bh_ocsf_pod bh_whose_pod(const struct bh_daemon *d, const struct bh_endpoint *ep,
				struct bh_whose *whose)
{
	bh_whose(d, ep->ns, ep->name, whose);
	return (struct bh_ocsf_pod){
		.ns = ep->ns,
		.name = ep->name,
		.uid = ep->uid,
		.container_id = ep->container_id,
		.owner_kind = whose->workload.kind,
		.owner = whose->workload.name,
		.is_guessed = whose->workload.is_guessed,
		.container = whose->container[0] ? whose->container : NULL,
		.image = whose->image[0] ? whose->image : NULL,
		.image_digest = whose->digest[0] ? whose->digest : NULL,
		.verdict = whose->verdict[0] ? whose->verdict : NULL,
	};
}

const char *bh_whose_name(const struct bh_daemon *d, const char *ns, const char *pod,
			  char out[BH_WHOSE_NAME])
{
	struct bh_workload w;

	bh_workload_of(bh_objects_pod(d->objects, ns, pod), pod, &w);
	snprintf(out, BH_WHOSE_NAME, "%s/%s/%s", ns, w.kind, w.name);
	return out;
}
