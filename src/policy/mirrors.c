#include "policy/mirrors.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "policy/mirrors_parts.h"
#include "policy/toml.h"

int bh_mirror_push(struct bh_mirror_reading *r, json_t *take_entry, struct bh_err *err)
{
	return !take_entry || json_array_append_new(r->found, take_entry)
		       ? bh_fail(err, ENOMEM, "mirrors")
		       : 0;
}

int bh_mirror_refuse(struct bh_mirror_reading *r, bool is_broken, const char *text,
		     struct bh_err *err)
{
	json_array_clear(r->found);
	return bh_mirror_push(
		r,
		json_pack("{s:s, s:s, s:b}", "of", r->of, "refusal", text, "isBroken", is_broken),
		err);
}

int bh_mirror_toml(const struct bh_mirror_reading *r, const char *path, json_t **ret,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_freep) char *text = NULL;
	size_t len = 0;
	int res = r->p->files->read(path, BH_TOML_MAX_BYTES, &text, &len, err);

	if (res)
		return res;
	res = bh_toml_parse(text, len, ret, err);
	return res ? bh_note(err, res, "%s", path) : 0;
}

static bool is_known(const json_t *list, const char *of)
{
	const json_t *j;
	size_t i;

	json_array_foreach(list, i, j)
	{
		if (bh_streq(json_string_value(json_object_get(j, "of")), of))
			return true;
	}
	return false;
}

static int collect(struct bh_mirror_reading *r, const char *reference, struct bh_err *err)
{
	int res = 0;

	if (r->p->registries_conf && bh_image_ref_is_short(reference))
		return bh_mirror_refuse(r, false,
					"the name says no registry, and registries.conf leaves "
					"open which one is meant",
					err);
	if (r->p->registries_conf)
		res = bh_mirrors_of_registries(r, err);
	if (!res && r->p->hosts_dir)
		res = bh_mirrors_of_hosts(r, err);
	if (res < 0 && res != -ENOMEM) {
		char text[sizeof(err->text)];

		/* JSON takes valid UTF-8 only, and who knows what was in the file */
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = (unsigned char)err->text[i] < 0x7f ? err->text[i] : '?';
		return bh_mirror_refuse(r, true, text, err);
	}
	return res < 0 ? res : 0;
}

int bh_mirrors_add(const struct bh_mirror_paths *p, const char *reference, json_t *to,
		   struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *found = json_array();
	struct bh_image_ref ref;
	BH_CLEANUP(bh_freep) char *of = NULL;
	struct bh_mirror_reading r = {.p = p, .ref = &ref, .found = found};
	int res;

	if (bh_image_ref_parse(reference, &ref, err))
		return 0; /* the worker says what is wrong with it */
	of = bh_strf("%s/%s", ref.registry, ref.repository);
	if (!of || !found)
		return bh_fail(err, ENOMEM, "mirrors");
	r.of = of;
	if (is_known(to, of))
		return 0;
	res = collect(&r, reference, err);
	if (res)
		return res;
	if (json_array_size(to) + json_array_size(found) > BH_MIRRORS_MAX)
		return bh_fail(err, E2BIG, "more than %d mirrors", BH_MIRRORS_MAX);
	return json_array_extend(to, found) ? bh_fail(err, ENOMEM, "mirrors") : 0;
}
