#include "policy/image_pods.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "policy/yaml.h"

BH_VEC_TYPE(images, const char *);

struct reading {
	int (*fn)(const struct bh_image_pod *pod, void *arg);
	void *arg;
};

static const struct bh_yaml *list_of(const struct bh_yaml *map, const char *key)
{
	const struct bh_yaml *n = map ? bh_yaml_find(map, key) : NULL;

	return n && n->type == BH_YAML_LIST ? n : NULL;
}

static const char *text_of(const struct bh_yaml *map, const char *key, const char *otherwise)
{
	const struct bh_yaml *n = map ? bh_yaml_find(map, key) : NULL;

	return n && n->type == BH_YAML_STRING && *n->text ? n->text : otherwise;
}

static int add(struct images *to, const char *image)
{
	for (size_t i = 0; i < to->n; i++) {
		if (!strcmp(to->v[i], image))
			return 0;
	}
	return bh_vec_push(to, image);
}

static int add_containers(const struct bh_yaml *spec, const char *key, struct images *to)
{
	const struct bh_yaml *list = list_of(spec, key);

	for (size_t i = 0; list && i < list->n; i++) {
		if (add(to, text_of(list->items[i], "image", "")))
			return -ENOMEM;
	}
	return 0;
}

static int add_volumes(const struct bh_yaml *spec, struct images *to)
{
	const struct bh_yaml *list = list_of(spec, "volumes");

	for (size_t i = 0; list && i < list->n; i++) {
		const struct bh_yaml *image = bh_yaml_find(list->items[i], "image");

		if (image && add(to, text_of(image, "reference", "")))
			return -ENOMEM;
	}
	return 0;
}

static int read_pod(const struct reading *r, const struct bh_yaml *pod)
{
	static const char *const keys[] = {"initContainers", "containers", "ephemeralContainers"};
	const struct bh_yaml *metadata = bh_yaml_find(pod, "metadata");
	const struct bh_yaml *notes = metadata ? bh_yaml_find(metadata, "annotations") : NULL;
	const struct bh_yaml *spec = bh_yaml_find(pod, "spec");
	struct bh_image_pod p = {.ns = text_of(metadata, "namespace", "default"),
				 .name = text_of(metadata, "name", NULL),
				 .uid = text_of(metadata, "uid", NULL),
				 .hash = text_of(notes, "kubernetes.io/config.hash", NULL)};
	struct images images = {0};
	int ret = 0;

	if (!p.name || !spec || !list_of(spec, "containers"))
		return 0; /* it tells no images, which is not to say that there are none */
	for (size_t i = 0; !ret && i < BH_ARRAY_SIZE(keys); i++)
		ret = add_containers(spec, keys[i], &images);
	if (!ret)
		ret = add_volumes(spec, &images);
	p.images = images.v;
	p.n_images = images.n;
	if (!ret)
		ret = r->fn(&p, r->arg);
	bh_vec_done(&images);
	return ret;
}

/* is_pod: the kind of the list it is in says so. */
static int read_object(const struct reading *r, const struct bh_yaml *object, bool is_pod,
		       unsigned depth)
{
	const char *kind = text_of(object, "kind", is_pod ? "Pod" : "");
	const struct bh_yaml *items = list_of(object, "items");
	int ret = 0;

	if (!strcmp(kind, "Pod"))
		return read_pod(r, object);
	for (size_t i = 0; items && depth && !ret && i < items->n; i++)
		ret = read_object(r, items->items[i], !strcmp(kind, "PodList"), depth - 1);
	return ret;
}

int bh_image_pods_read(const char *text, size_t len,
		       int (*fn)(const struct bh_image_pod *pod, void *arg), void *arg)
{
	struct reading r = {fn, arg};
	struct bh_yaml_slice slice;
	struct bh_yaml_stream s;
	struct bh_yaml_err e;
	int ret = 0;

	if (bh_yaml_open(&s, text, len, &e))
		return 0;
	while (!ret && bh_yaml_next(&s, &slice)) {
		BH_CLEANUP(bh_yaml_doc_freep) struct bh_yaml_doc *doc = NULL;
		int bad = bh_yaml_parse(&s, &slice, &doc, &e);

		ret = bad == -ENOMEM ? bad : 0;
		if (!bad)
			ret = read_object(&r, bh_yaml_root(doc), false, 4);
	}
	return ret;
}
