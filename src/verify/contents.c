#include "verify/contents.h"

#include <string.h>

#include "verify/ref.h"
#include "verify/verify.h"
#include "verify/vjson.h"

static int add(json_t *to, const json_t *descriptor)
{
	const char *digest = bh_vjson_str(descriptor, "digest");
	const json_t *known;
	size_t i;

	if (!digest || !bh_digest_ok(digest))
		return 0;
	json_array_foreach(to, i, known)
	{
		if (!strcmp(json_string_value(known), digest))
			return 0;
	}
	return json_array_append_new(to, json_string(digest));
}

json_t *bh_manifest_contents(const struct bh_blob *manifest)
{
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	json_t *platforms = json_array(), *configs = json_array();
	const json_t *list, *one;
	struct bh_flaw flaw;
	size_t i;
	int r = -1;

	if (!bh_vjson_parse(manifest->v, manifest->n, BH_IMAGE_MAX_MANIFEST, &j, &flaw) &&
	    json_is_object(j)) {
		list = bh_vjson_arr(j, "manifests");
		r = json_array_size(list) > BH_CONTENTS_MAX ? -1 : 0;
		json_array_foreach(list, i, one) r = r ? r : add(platforms, one);
		if (!r && !list)
			r = add(configs, bh_vjson_obj(j, "config"));
	}
	if (!r)
		return json_pack("{s:o, s:o}", "platforms", platforms, "configs", configs);
	json_decref(platforms);
	json_decref(configs);
	return NULL;
}
