#include "cli/assertions.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "policy/yaml.h"

static const char *const keys[] = {"from", "to", "port", "expect", NULL};

static int take_row(const struct bh_yaml *row, json_t *out, struct bh_yaml_err *err)
{
	json_t *obj = json_object();
	const char *value = NULL;
	int r;

	if (!obj || json_array_append_new(out, obj))
		return bh_fail(&err->err, ENOMEM, "out of memory");
	r = bh_yaml_expect(row, BH_YAML_MAP, NULL, err);
	if (!r)
		r = bh_yaml_check_keys(row, keys, err);
	for (size_t i = 0; !r && keys[i]; i++) {
		r = bh_yaml_get_str(row, keys[i], true, &value, err);
		if (!r && json_object_set_new(obj, keys[i], json_string(value)))
			r = bh_fail(&err->err, ENOMEM, "out of memory");
	}
	if (!r && strcmp(value, "allowed") && strcmp(value, "denied"))
		r = bh_yaml_fail(err, bh_yaml_find(row, "expect"),
				 "'expect' is allowed or denied, not '%s'", value);
	return r;
}

static int take_list(const struct bh_yaml *list, json_t *out, struct bh_yaml_err *err)
{
	int r = bh_yaml_expect(list, BH_YAML_LIST, "assertions", err);

	for (uint32_t i = 0; !r && i < list->n; i++)
		r = take_row(list->items[i], out, err);
	return r;
}

static int parse(const char *text, size_t len, json_t *out, struct bh_yaml_err *err)
{
	BH_CLEANUP(bh_yaml_doc_freep) struct bh_yaml_doc *doc = NULL;
	struct bh_yaml_slice slice;
	struct bh_yaml_stream s;
	int r = bh_yaml_open(&s, text, len, err);

	while (!r && bh_yaml_next(&s, &slice)) {
		bh_yaml_doc_freep(&doc);
		r = bh_yaml_parse(&s, &slice, &doc, err);
		if (!r)
			r = take_list(bh_yaml_root(doc), out, err);
	}
	return r;
}

int bh_assertions_parse(const char *file, const char *text, size_t len, json_t **ret,
			struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *out = json_array();
	struct bh_yaml_err yaml_err = {0};

	if (!out)
		return bh_fail(err, ENOMEM, "out of memory");
	if (parse(text, len, out, &yaml_err))
		return bh_yaml_report(&yaml_err, file, err);
	if (!json_array_size(out))
		return bh_fail(err, EINVAL, "%s: there are no assertions", file);
	*ret = BH_TAKE(out);
	return 0;
}
