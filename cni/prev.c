/* The addresses of our interface, out of the previous plugin's result. */
#include "parts.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/ip.h"
#include "base/json.h"

struct sandbox_interface {
	json_t *interface; /* NULL: the result lists no interfaces */
	size_t index;
	size_t n_sandboxed; /* interfaces that are in some sandbox */
};

/* Our interface is the one with our name in our namespace. A runtime may know the namespace under
 * another path than the plugin before us (/run and /var/run): then the name has to be unique. */
static int find_interface(const struct bh_cni_request *rq, struct sandbox_interface *ret,
			  struct bh_err *err)
{
	json_t *list = NULL, *item, *by_name = NULL;
	size_t i, by_name_index = 0, n_by_name = 0;
	int r = bh_json_get_arr(rq->prev, "interfaces", false, &list, err);

	json_array_foreach(list, i, item)
	{
		const char *name = NULL, *sandbox = NULL;

		if (!r)
			r = bh_json_get_str(item, "name", true, &name, err);
		if (!r)
			r = bh_json_get_str(item, "sandbox", false, &sandbox, err);
		if (r)
			return bh_note(err, r, "prevResult: interfaces[%zu]", i);
		if (!sandbox || !*sandbox)
			continue;
		ret->n_sandboxed++;
		if (strcmp(name, rq->ifname))
			continue;
		by_name = item;
		by_name_index = i;
		n_by_name++;
		if (!ret->interface && !strcmp(sandbox, rq->netns)) {
			ret->interface = item;
			ret->index = i;
		}
	}
	if (r)
		return bh_note(err, r, "prevResult");
	if (!ret->interface && n_by_name == 1) {
		ret->interface = by_name;
		ret->index = by_name_index;
	}
	if (!ret->interface && json_array_size(list))
		return bh_fail(err, EINVAL, "prevResult has no interface '%s' in '%s'", rq->ifname,
			       rq->netns);
	return 0;
}

/* "10.0.0.5/24" > "10.0.0.5"; appends it. */
static int add_address(json_t *list, const char *text, struct bh_err *err)
{
	char addr[BH_IP_TEXT], *slash;
	struct bh_cidr cidr;
	struct bh_ip ip;
	bool masked;
	int r = bh_cidr_parse(text, &cidr, &masked, err);

	if (r)
		return r;
	snprintf(addr, sizeof(addr), "%s", text);
	slash = strchr(addr, '/');
	if (slash)
		*slash = '\0';
	r = bh_ip_parse(addr, &ip, err);
	if (r)
		return r;
	if (json_array_append_new(list, json_string(bh_ip_format(&ip, addr))))
		return bh_fail(err, ENOMEM, "address '%s'", text);
	return 0;
}

static int read_ip(const json_t *item, const struct sandbox_interface *si, size_t n_interfaces,
		   json_t *out, struct bh_err *err)
{
	const char *address = NULL;
	int64_t index = -1;
	int r = bh_json_get_str(item, "address", true, &address, err);

	if (!r)
		r = bh_json_get_int(item, "interface", false, 0, INT32_MAX, &index, err);
	if (r)
		return r;
	if (index >= 0 && (uint64_t)index >= n_interfaces)
		return bh_fail(err, EINVAL, "'interface': there is no interface %d", (int)index);
	if (index < 0 ? si->n_sandboxed > 1 : (size_t)index != si->index)
		return 0;
	return add_address(out, address, err);
}

/* six pairs of hex digits */
static bool is_ethernet(const char *mac)
{
	if (strlen(mac) != 17)
		return false;
	for (size_t i = 0; i < 17; i++) {
		if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
			return false;
	}
	return true;
}

int bh_cni_read_prev(struct bh_cni_request *rq, struct bh_err *err)
{
	struct sandbox_interface si = {0};
	json_t *ips = NULL, *item;
	const char *mac = NULL;
	size_t i, n_interfaces;
	int r;

	rq->addresses = json_array();
	if (!rq->addresses)
		return bh_fail(err, ENOMEM, "prevResult");
	r = find_interface(rq, &si, err);
	if (r)
		return r;
	n_interfaces = json_array_size(json_object_get(rq->prev, "interfaces"));
	r = bh_json_get_arr(rq->prev, "ips", false, &ips, err);
	if (!r && si.interface)
		r = bh_json_get_str(si.interface, "mac", false, &mac, err);
	if (r)
		return bh_note(err, r, "prevResult");
	json_array_foreach(ips, i, item)
	{
		r = read_ip(item, &si, n_interfaces, rq->addresses, err);
		if (r)
			return bh_note(err, r, "prevResult: ips[%zu]", i);
	}
	/* other hardware (InfiniBand has 20 bytes) is not checked by address */
	rq->sandbox = json_string_value(json_object_get(si.interface, "sandbox"));
	rq->mac = mac && is_ethernet(mac) ? mac : NULL;
	return 0;
}
