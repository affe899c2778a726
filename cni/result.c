#include "result.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"

static int convert_address(json_t *ip, const char *to, struct bh_err *err)
{
	const char *address = NULL;
	int r;

	if (!bh_cni_version_is_old(to)) {
		json_object_del(ip, "version");
		return 0;
	}
	r = bh_json_get_str(ip, "address", true, &address, err);
	if (!r && json_object_set_new(ip, "version", json_string(strchr(address, ':') ? "6" : "4")))
		r = bh_fail(err, ENOMEM, "address '%s'", address);
	return r;
}

int bh_cni_result_convert(const struct bh_cni_request *rq, json_t **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_json_decrefp) json_t *result = json_deep_copy(rq->prev);
	const char *from = json_string_value(json_object_get(rq->prev, "cniVersion"));
	json_t *ip;
	size_t i;

	if (!result)
		return bh_fail(err, ENOMEM, "result");
	if (from && bh_cni_version_is_old(from) != bh_cni_version_is_old(rq->version)) {
		json_array_foreach(json_object_get(result, "ips"), i, ip)
		{
			int r = convert_address(ip, rq->version, err);

			if (r)
				return bh_note(err, r, "prevResult: ips[%zu]", i);
		}
	}
	if (json_object_set_new(result, "cniVersion", json_string(rq->version)))
		return bh_fail(err, ENOMEM, "result");
	*ret = BH_TAKE(result);
	return 0;
}

json_t *bh_cni_result_versions(const char *version)
{
	json_t *list = json_array();

	for (const char *const *v = bh_cni_versions; *v; v++)
		json_array_append_new(list, json_string(*v));
	return json_pack("{s:s, s:o}", "cniVersion", version, "supportedVersions", list);
}

json_t *bh_cni_result_error(const char *version, enum bh_cni_code code, const struct bh_err *error)
{
	return json_pack("{s:s, s:i, s:s}", "cniVersion", version, "code", (int)code, "msg",
			 error->text);
}
