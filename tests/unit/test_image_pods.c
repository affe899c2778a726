/* Which images manifests say their pods have, and of which pod they speak. */
#include "bh_test.h"

#include "base/str.h"
#include "policy/image_pods.h"

static int tell(const struct bh_image_pod *p, void *arg)
{
	struct bh_str *all = arg;

	bh_str_fmt(all, "%s/%s uid %s hash %s:", p->ns, p->name, p->uid ? p->uid : "-",
		   p->hash ? p->hash : "-");
	for (size_t i = 0; i < p->n_images; i++)
		bh_str_fmt(all, " '%s'", p->images[i]);
	bh_str_add(all, "\n");
	return 0;
}

#define POD "kind: Pod\nmetadata: {name: a}\nspec: "

static void test_read(void **state)
{
	static const struct {
		const char *yaml, *want;
	} rows[] = {
		{POD "{containers: [{image: x}, {image: y}, {image: x}]}",
		 "default/a uid - hash -: 'x' 'y'\n"},
		{"kind: Pod\nmetadata: {name: a, namespace: n, uid: u-1, annotations: "
		 "{kubernetes.io/config.hash: h-1}}\nspec: {containers: [{image: x}]}",
		 "n/a uid u-1 hash h-1: 'x'\n"},
		{POD
		 "{containers: [{image: c}], initContainers: [{image: i}], ephemeralContainers: "
		 "[{image: e}], volumes: [{name: v, image: {reference: w}}, {name: z}]}",
		 "default/a uid - hash -: 'i' 'c' 'e' 'w'\n"},
		/* unknown is not none */
		{POD "{containers: [{name: c}, {image: null}, {image: ''}]}",
		 "default/a uid - hash -: ''\n"},
		{POD "{containers: [{image: x}], volumes: [{image: {}}]}",
		 "default/a uid - hash -: 'x' ''\n"},
		{POD "{}", ""},
		{POD "{containers: null}", ""},
		{POD "{containers: {image: x}}", ""},
		{POD "{initContainers: [{image: x}]}", ""},
		{"kind: Pod\nmetadata: {name: a}", ""},
		{"kind: Pod\nspec: {containers: [{image: x}]}", ""},
		/* lists, and what is no pod */
		{"kind: List\nitems: [{kind: Pod, metadata: {name: a}, spec: {containers: [{image: "
		 "x}]}}, {kind: Service}]",
		 "default/a uid - hash -: 'x'\n"},
		{"kind: PodList\nitems: [{metadata: {name: a}, spec: {containers: [{image: x}]}}]",
		 "default/a uid - hash -: 'x'\n"},
		{"kind: Deployment\nmetadata: {name: a}\nspec: {containers: [{image: x}]}", ""},
		{POD "{containers: [{image: x}]}\n---\n" POD "{containers: [{image: y}]}",
		 "default/a uid - hash -: 'x'\ndefault/a uid - hash -: 'y'\n"},
		{"a: [", ""},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		BH_CLEANUP(bh_str_done) struct bh_str all = {0};

		assert_int_equal(bh_image_pods_read(rows[i].yaml, strlen(rows[i].yaml), tell, &all),
				 0);
		if (strcmp(bh_str_text(&all), rows[i].want))
			fail_msg("%s: %s", rows[i].yaml, bh_str_text(&all));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_read)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
