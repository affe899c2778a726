#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"
#include "endpoint/table.h"

static struct bh_endpoint *make(const char *id, const char *name)
{
	struct bh_endpoint *ep = bh_endpoint_new();

	assert_non_null(ep);
	ep->container_id = strdup(id);
	ep->ifname = strdup("eth0");
	ep->ns = strdup("shop");
	ep->name = strdup(name);
	return ep;
}

static json_t *texts(const char *a, const char *b)
{
	return b ? json_pack("[ss]", a, b) : json_pack("[s]", a);
}

static void test_slots_are_reused_late(void **state)
{
	struct bh_endpoint_table *t = calloc(1, sizeof(*t));
	struct bh_err err = {0};
	uint32_t first_slot, first_generation;

	(void)state;
	for (int i = 0; i < BH_MAX_SLOTS - 1; i++) {
		struct bh_endpoint *ep = make("c", "p");
		struct bh_endpoint *kept = ep;

		assert_int_equal(bh_endpoint_table_add(t, &ep, &err), 0);
		assert_null(ep);
		assert_int_equal(kept->slot, i + 1);
		first_slot = kept->slot;
		first_generation = kept->generation;
		bh_endpoint_table_remove(t, kept);
	}
	{
		struct bh_endpoint *ep = make("c", "p");
		struct bh_endpoint *kept = ep;

		/* Every slot was used once before the first comes round again, one generation on.
		 */
		assert_int_equal(first_slot, BH_MAX_SLOTS - 1);
		assert_int_equal(bh_endpoint_table_add(t, &ep, &err), 0);
		assert_int_equal(kept->slot, 1);
		assert_int_equal(kept->generation, first_generation + 1);
	}
	bh_endpoint_table_done(t);
	free(t);
}

static void test_full_table_says_so(void **state)
{
	struct bh_endpoint_table *t = calloc(1, sizeof(*t));
	struct bh_err err = {0};
	struct bh_endpoint *ep;

	(void)state;
	for (int i = 0; i < BH_MAX_SLOTS - 1; i++) {
		ep = make("c", "p");
		assert_int_equal(bh_endpoint_table_add(t, &ep, &err), 0);
	}
	ep = make("one", "more");
	assert_int_equal(bh_endpoint_table_add(t, &ep, &err), -ENOSPC);
	assert_string_equal(err.text, "all 4095 endpoint slots of this node are taken");
	assert_non_null(ep);
	bh_endpoint_free(ep);
	bh_endpoint_table_done(t);
	free(t);
}

static void test_look_ups(void **state)
{
	struct bh_endpoint_table *t = calloc(1, sizeof(*t));
	struct bh_endpoint *a = make("ca", "a"), *b = make("cb", "b"), *ka = a, *kb = b;
	BH_CLEANUP(bh_json_decrefp) json_t *ips = texts("10.0.0.1", "fd00::1");
	struct bh_err err = {0};
	struct bh_ip ip;

	(void)state;
	assert_int_equal(bh_endpoint_set_ips(a, ips, &err), 0);
	a->cookie = 7;
	assert_int_equal(bh_endpoint_table_add(t, &a, &err), 0);
	assert_int_equal(bh_endpoint_table_add(t, &b, &err), 0);
	assert_ptr_equal(bh_endpoint_table_find(t, "ca", "eth0"), ka);
	assert_null(bh_endpoint_table_find(t, "ca", "eth1"));
	assert_ptr_equal(bh_endpoint_table_pod(t, "shop", "b"), kb);
	assert_null(bh_endpoint_table_pod(t, "other", "b"));
	assert_ptr_equal(bh_endpoint_table_cookie(t, 7), ka);
	assert_int_equal(bh_ip_parse("fd00::1", &ip, &err), 0);
	assert_ptr_equal(bh_endpoint_table_ip(t, &ip), ka);
	assert_int_equal(bh_ip_parse("10.0.0.2", &ip, &err), 0);
	assert_null(bh_endpoint_table_ip(t, &ip));
	bh_endpoint_table_done(t);
	free(t);
}

static void test_json_round_trip(void **state)
{
	struct bh_endpoint *ep = make("c1", "web"), *back = NULL;
	BH_CLEANUP(bh_json_decrefp) json_t *ips = texts("10.0.0.1", "fd00::1");
	BH_CLEANUP(bh_json_decrefp)
	json_t *labels = json_pack("[{ss ss} {ss ss}]", "key", "tier", "value", "", "key", "app",
				   "value", "x");
	BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(bh_endpoint_set_ips(ep, ips, &err), 0);
	assert_int_equal(bh_endpoint_set_labels(ep, labels, &err), 0);
	assert_int_equal(bh_endpoint_set_mac(ep, "0a:58:0a:16:00:02", &err), 0);
	ep->cookie = UINT64_MAX - 1;
	ep->ifindex = 42;
	ep->slot = 3;
	ep->generation = 0xfffffff0u;
	ep->is_open = ep->owns_cookie = true;
	ep->since_s = 1790000000;
	assert_int_equal(bh_endpoint_to_json(ep, &j, &err), 0);
	assert_int_equal(bh_endpoint_from_json(j, &back, &err), 0);
	assert_string_equal(back->name, "web");
	assert_int_equal(back->n_ips, 2);
	assert_memory_equal(back->ips, ep->ips, sizeof(*ep->ips) * 2);
	assert_string_equal(bh_labels_get(&back->labels, "app"), "x");
	assert_string_equal(bh_labels_get(&back->labels, "tier"), "");
	assert_memory_equal(back->mac, ep->mac, 6);
	assert_true(back->has_mac && back->is_open && back->owns_cookie);
	assert_true(back->cookie == ep->cookie && back->generation == ep->generation);
	assert_int_equal(back->nsid, -1);
	assert_null(back->uid);
	bh_endpoint_free(ep);
	bh_endpoint_free(back);
}

/* what the record says > how far its ADD had come; a refusal where it says nothing sensible */
static void test_add_states(void **state)
{
	static const struct {
		bool is_open;
		const char *add; /* NULL: a record of an older version */
		int want;
	} rows[] = {
		{true, NULL, BH_ADD_DONE},     {false, NULL, BH_ADD_PENDING},
		{true, "told", BH_ADD_TOLD},   {true, "done", BH_ADD_DONE},
		{false, "done", BH_ADD_DONE},  {false, "pending", BH_ADD_PENDING},
		{false, "elsewhere", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		struct bh_endpoint *ep = make("c1", "web"), *back = NULL;
		BH_CLEANUP(bh_json_decrefp) json_t *j = NULL;
		struct bh_err err = {0};
		int r;

		ep->ifindex = ep->slot = 1;
		ep->is_open = rows[i].is_open;
		assert_int_equal(bh_endpoint_to_json(ep, &j, &err), 0);
		if (rows[i].add)
			json_object_set_new(j, "add", json_string(rows[i].add));
		else
			json_object_del(j, "add");
		r = bh_endpoint_from_json(j, &back, &err);
		assert_int_equal(r ? r : (int)back->add, rows[i].want);
		bh_endpoint_free(ep);
		bh_endpoint_free(back);
	}
}

static void test_bad_input(void **state)
{
	struct bh_endpoint *ep = make("c1", "web");
	BH_CLEANUP(bh_json_decrefp) json_t *bad_ip = texts("10.0.0.1", "10.0.0.256");
	BH_CLEANUP(bh_json_decrefp)
	json_t *twice =
		json_pack("[{ss ss} {ss ss}]", "key", "a", "value", "1", "key", "a", "value", "2");
	BH_CLEANUP(bh_json_decrefp) json_t *many = json_array();
	struct bh_err err = {0};

	(void)state;
	assert_int_equal(bh_endpoint_set_ips(ep, bad_ip, &err), -EINVAL);
	assert_non_null(strstr(err.text, "addresses[1]"));
	assert_int_equal(ep->n_ips, 0);
	assert_int_equal(bh_endpoint_set_labels(ep, twice, &err), -EINVAL);
	assert_string_equal(err.text, "label 'a' is given twice");
	assert_int_equal(bh_endpoint_set_mac(ep, "0a:58:0a:16:00", &err), -EINVAL);
	assert_int_equal(bh_endpoint_set_mac(ep, "0a:58:0a:16:00:02x", &err), -EINVAL);
	for (int i = 0; i <= BH_MAX_ADDRS; i++)
		json_array_append_new(many, json_string("10.0.0.1"));
	assert_int_equal(bh_endpoint_set_ips(ep, many, &err), -E2BIG);
	assert_string_equal(err.text, "251 addresses on one interface; at most 250 fit");
	bh_endpoint_free(ep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_are_reused_late),
		cmocka_unit_test(test_full_table_says_so),
		cmocka_unit_test(test_look_ups),
		cmocka_unit_test(test_json_round_trip),
		cmocka_unit_test(test_add_states),
		cmocka_unit_test(test_bad_input),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
