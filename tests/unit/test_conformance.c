/* The public NetworkPolicy truth tables, cell by cell, against the reference evaluator and the
 * compiled tables. The data is not part of this repository: BH_CONFORMANCE names the file, else it
 * is looked for beside the checkout. */
#include "bh_agree.h"
#include "bh_test.h"

#include <jansson.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/str.h"
#include "policy/objects.h"

#define MAX_FILE (64u << 20)
#define N_CASES	 230
#define N_CELLS	 111036 /* off the diagonal, over all steps, protocols and ports */

static json_t *data;

/* One case's live world: one manifest file per object. */
struct play {
	struct bh_objects *objects;
	json_t *ports;	   /* of the initial pods; new pods get the same */
	json_t *addresses; /* by "ns/pod" */
	unsigned n_created;
	size_t n_cells, n_halves;
};

/* ---- data ---- */

static char *data_path(void)
{
	const char *path = getenv("BH_CONFORMANCE"), *dir = getenv("BH_SOURCE_DIR");

	if (path)
		return strdup(path);
	return bh_strf("%s/../shared/conformance/networkpolicy-cases.json", dir ? dir : ".");
}

static int load_data(void **state)
{
	BH_CLEANUP(bh_freep) char *path = data_path(), *text = NULL;
	struct bh_err err = {0};
	size_t len;

	(void)state;
	if (!path || bh_fs_read(path, MAX_FILE, &text, &len, &err) ||
	    bh_json_parse(text, len, MAX_FILE, &data, &err)) {
		print_error("%s: %s; BH_CONFORMANCE names the file\n", path, err.text);
		return -1;
	}
	return 0;
}

static int drop_data(void **state)
{
	(void)state;
	json_decref(data);
	return 0;
}

/* ---- the world as manifests ---- */

/* Takes manifest. */
static void load_object(struct play *p, const char *file, json_t *manifest)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(manifest, 0);
	struct bh_err err;
	bool changed;

	assert_non_null(text);
	bh_assert_ok(&err, bh_objects_load(p->objects, file, text, strlen(text), &changed, &err));
	assert_true(changed);
	json_decref(manifest);
}

static void unload_object(struct play *p, const char *file)
{
	bool changed = false;

	assert_int_equal(bh_objects_unload(p->objects, file, &changed), 0);
	assert_true(changed);
}

static char *file_of(const char *kind, const char *ns, const char *name)
{
	char *file = bh_strf("%s@%s@%s.json", kind, ns, name);

	assert_non_null(file);
	return file;
}

static void put_namespace(struct play *p, const char *ns, json_t *labels)
{
	BH_CLEANUP(bh_freep) char *file = file_of("namespace", ns, "");

	load_object(p, file,
		    json_pack("{s:s, s:s, s:{s:s, s:O}}", "apiVersion", "v1", "kind", "Namespace",
			      "metadata", "name", ns, "labels", labels));
}

static json_t *container_ports(const json_t *ports)
{
	json_t *list = json_array(), *port;
	size_t i;

	json_array_foreach(ports, i, port) json_array_append_new(
		list, json_pack("{s:O, s:O, s:O}", "name", json_object_get(port, "name"),
				"containerPort", json_object_get(port, "port"), "protocol",
				json_object_get(port, "protocol")));
	return list;
}

static void put_pod(struct play *p, const json_t *pod)
{
	const char *ns = json_string_value(json_object_get(pod, "ns"));
	const char *name = json_string_value(json_object_get(pod, "pod"));
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);
	BH_CLEANUP(bh_freep) char *file = file_of("pod", ns, name);
	json_t *ip = json_object_get(p->addresses, key);

	load_object(p, file,
		    json_pack("{s:s, s:s, s:{s:s, s:s, s:O}, s:{s:[{s:s, s:s, s:o}]}, "
			      "s:{s:s, s:O, s:[{s:O}]}}",
			      "apiVersion", "v1", "kind", "Pod", "metadata", "namespace", ns,
			      "name", name, "labels", json_object_get(pod, "labels"), "spec",
			      "containers", "name", "main", "image", "registry.example/app:1",
			      "ports", container_ports(p->ports), "status", "phase", "Running",
			      "podIP", ip, "podIPs", "ip", ip));
}

/* The data gives all pods that a case creates one address: each gets its own here. */
static void create_pod(struct play *p, const json_t *pod)
{
	const char *ns = json_string_value(json_object_get(pod, "ns"));
	const char *name = json_string_value(json_object_get(pod, "pod"));
	BH_CLEANUP(bh_freep) char *key = bh_strf("%s/%s", ns, name);
	const char *ip = json_string_value(json_object_get(pod, "ip"));
	char text[BH_IP_TEXT];
	struct bh_err err;
	struct bh_ip next;

	bh_assert_ok(&err, bh_ip_parse(ip, &next, &err));
	next = bh_ip_from4(bh_ip_to4(&next) + p->n_created++);
	json_object_set_new(p->addresses, key, json_string(bh_ip_format(&next, text)));
	put_pod(p, pod);
}

static void put_policy(struct play *p, json_t *policy)
{
	json_t *metadata = json_object_get(policy, "metadata"), *whole = json_copy(policy);
	BH_CLEANUP(bh_freep)
	char *file = file_of("policy", json_string_value(json_object_get(metadata, "namespace")),
			     json_string_value(json_object_get(metadata, "name")));

	json_object_set_new(whole, "apiVersion", json_string("networking.k8s.io/v1"));
	json_object_set_new(whole, "kind", json_string("NetworkPolicy"));
	load_object(p, file, whole);
}

static const char *find_file(const struct play *p, const char *kind, const char *ns)
{
	BH_CLEANUP(bh_freep) char *start = bh_strf("%s@%s@", kind, ns);
	const char *const *files = bh_objects_files(p->objects);

	while (*files && strncmp(*files, start, strlen(start)) != 0)
		files++;
	return *files;
}

/* Takes its pods and policies along, as the API server does. */
static void delete_namespace(struct play *p, const char *ns)
{
	static const char *const kinds[] = {"pod", "policy", "namespace"};

	for (size_t i = 0; i < BH_ARRAY_SIZE(kinds); i++) {
		const char *file;

		while ((file = find_file(p, kinds[i], ns))) {
			BH_CLEANUP(bh_freep) char *name = strdup(file);

			unload_object(p, name);
		}
	}
}

static void act(struct play *p, const char *what, json_t *on)
{
	const char *ns = json_string_value(json_object_get(on, "ns"));
	const char *pod = json_string_value(json_object_get(on, "pod"));
	BH_CLEANUP(bh_freep) char *file = NULL;

	if (!strcmp(what, "createPolicy") || !strcmp(what, "updatePolicy")) {
		put_policy(p, on);
	} else if (!strcmp(what, "deletePolicy")) {
		file = file_of("policy", json_string_value(json_object_get(on, "Namespace")),
			       json_string_value(json_object_get(on, "Name")));
		unload_object(p, file);
	} else if (!strcmp(what, "createNamespace") || !strcmp(what, "setNamespaceLabels")) {
		put_namespace(p, ns, json_object_get(on, "labels"));
	} else if (!strcmp(what, "deleteNamespace")) {
		delete_namespace(p, ns);
	} else if (!strcmp(what, "createPod")) {
		create_pod(p, on);
	} else if (!strcmp(what, "setPodLabels")) {
		put_pod(p, on);
	} else if (!strcmp(what, "deletePod")) {
		file = file_of("pod", ns, pod);
		unload_object(p, file);
	} else {
		fail_msg("unknown action '%s'", what);
	}
}

static void check_no_errors(const struct play *p)
{
	struct bh_problems all = {0};

	assert_int_equal(bh_objects_problems(p->objects, &all), 0);
	for (size_t i = 0; i < all.n; i++) {
		if (all.v[i].level == BH_PROBLEM_ERROR)
			fail_msg("%s: %s", all.v[i].file, all.v[i].text);
	}
	bh_problems_done(&all);
}

static struct bh_world *world_of(const struct play *p)
{
	struct bh_world *w = NULL;
	struct bh_err err;

	check_no_errors(p);
	bh_assert_ok(&err, bh_world_new(&w, &err));
	bh_assert_ok(&err, bh_objects_fill(p->objects, w, &err));
	w->default_allow = true;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	return w;
}

/* ---- cells ---- */

static struct bh_end end_of(const struct bh_world *w, const char *name)
{
	const char *slash = strchr(name, '/');
	BH_CLEANUP(bh_freep) char *ns = strndup(name, (size_t)(slash - name));
	const struct bh_pod *pod = bh_world_pod(w, ns, slash + 1);

	if (!pod)
		fail_msg("there is no pod '%s'", name);
	return bh_refeval_pod_end(pod, 4);
}

static void check_row(struct play *p, const struct bh_world *w, const struct bh_ask *ask,
		      const json_t *columns, const char *want)
{
	json_t *column;
	size_t i;

	assert_int_equal(strlen(want), json_array_size(columns));
	json_array_foreach(columns, i, column)
	{
		struct bh_ask one = *ask;
		struct bh_cell cell;

		one.peer = end_of(w, json_string_value(column));
		if (one.peer.pod == one.self.pod)
			continue;
		cell = bh_refeval_cell(w, &one);
		if ((cell.verdict == BH_ALLOWED) != (want[i] == '.'))
			fail_msg("%s/%s to %s on %u: expected '%c'", ask->self.pod->ident->ns,
				 ask->self.pod->name, json_string_value(column), ask->port,
				 want[i]);
		p->n_cells++;
	}
}

/* "TCP/80" */
static void read_port(const char *text, struct bh_ask *ask)
{
	const char *slash = strchr(text, '/');
	BH_CLEANUP(bh_freep) char *proto = NULL;

	assert_non_null(slash);
	proto = strndup(text, (size_t)(slash - text));
	assert_int_equal(bh_proto_parse(proto, &ask->proto), 0);
	ask->port = (uint16_t)strtoul(slash + 1, NULL, 10);
}

static void check_step(struct play *p, const json_t *step)
{
	const json_t *columns = json_object_get(step, "columns");
	struct bh_world *w = world_of(p);
	struct bh_tables *t = bh_agree_compile(w);
	const char *port, *from;
	json_t *rows, *row;

	json_object_foreach(json_object_get(step, "expect"), port, rows)
	{
		struct bh_ask ask = {.dir = BH_EGRESS};

		read_port(port, &ask);
		json_object_foreach(rows, from, row)
		{
			ask.self = end_of(w, from);
			check_row(p, w, &ask, columns, json_string_value(row));
		}
		p->n_halves += bh_agree_all(w, t, &ask);
	}
	bh_tables_free(t);
	bh_world_unref(w);
}

/* ---- cases ---- */

static void play_init(struct play *p)
{
	json_t *pods = json_object_get(data, "pods"), *pod, *labels;
	struct bh_err err;
	const char *ns;
	size_t i;

	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &p->objects, &err));
	p->addresses = json_object();
	p->ports = json_object_get(json_array_get(pods, 0), "ports");
	json_object_foreach(json_object_get(data, "namespaces"), ns, labels)
		put_namespace(p, ns, labels);
	p->n_created = 0;
	json_array_foreach(pods, i, pod)
	{
		BH_CLEANUP(bh_freep)
		char *key = bh_strf("%s/%s", json_string_value(json_object_get(pod, "ns")),
				    json_string_value(json_object_get(pod, "pod")));

		json_object_set(p->addresses, key, json_object_get(pod, "ip"));
		put_pod(p, pod);
	}
}

static void play_case(struct play *p, const json_t *c)
{
	json_t *step, *action, *on;
	const char *what;
	size_t i, k;

	play_init(p);
	json_array_foreach(json_object_get(c, "steps"), i, step)
	{
		json_array_foreach(json_object_get(step, "actions"), k, action)
		{
			json_object_foreach(action, what, on) act(p, what, on);
		}
		check_step(p, step);
	}
	bh_objects_free(p->objects);
	json_decref(p->addresses);
}

static void test_every_cell(void **state)
{
	struct play p = {0};
	json_t *c;
	size_t i;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(data, "cases")), N_CASES);
	json_array_foreach(json_object_get(data, "cases"), i, c)
	{
		print_message("case %lld: %s\n",
			      (long long)json_integer_value(json_object_get(c, "id")),
			      json_string_value(json_object_get(c, "description")));
		play_case(&p, c);
	}
	print_message("%zu cells, %zu halves of compiled tables\n", p.n_cells, p.n_halves);
	assert_int_equal(p.n_cells, N_CELLS);
	assert_int_equal(p.n_halves, 2 * N_CELLS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
	};

	return cmocka_run_group_tests(tests, load_data, drop_data);
}
