/* public_cases.h - plays the public NetworkPolicy truth tables into worlds. The data is not part of
 * this repository: BH_CONFORMANCE names the file, else it is looked for beside the checkout. */
#pragma once

#include "bh_cases.h"

#define PC_MAX_FILE (64u << 20)

/* One case's live objects: a manifest each, in a slot that is named "kind@namespace@name". */
struct pc {
	struct bh_objects *objects;
	json_t *data; /* borrowed */
	unsigned n_created;
};

static inline json_t *pc_read(void)
{
	const char *given = getenv("BH_CONFORMANCE");
	BH_CLEANUP(bh_freep)
	char *path = given ? strdup(given)
			   : bh_strf("%s/../shared/conformance/networkpolicy-cases.json",
				     bh_source_dir());
	BH_CLEANUP(bh_freep) char *text = NULL;
	struct bh_err err;
	json_t *data;
	size_t len;

	bh_assert_ok(&err, bh_fs_read(path, PC_MAX_FILE, &text, &len, &err));
	bh_assert_ok(&err, bh_json_parse(text, len, PC_MAX_FILE, &data, &err));
	return data;
}

static inline const char *pc_text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static inline char *pc_slot(const char *kind, const char *ns, const char *name)
{
	char *slot = bh_strf("%s@%s@%s", kind, ns, name);

	assert_non_null(slot);
	return slot;
}

/* Takes manifest. */
static inline void pc_load(struct pc *p, const char *slot, json_t *manifest)
{
	BH_CLEANUP(bh_freep) char *text = json_dumps(manifest, 0);
	struct bh_err err;
	bool changed;

	assert_non_null(text);
	bh_assert_ok(&err, bh_objects_load(p->objects, slot, text, strlen(text), &changed, &err));
	json_decref(manifest);
}

static inline void pc_unload(struct pc *p, const char *slot)
{
	bool changed = false;

	assert_int_equal(bh_objects_unload(p->objects, slot, &changed), 0);
	assert_true(changed);
}

static inline void pc_namespace(struct pc *p, const char *ns, json_t *labels)
{
	BH_CLEANUP(bh_freep) char *slot = pc_slot("namespace", ns, "");

	pc_load(p, slot,
		json_pack("{s:s, s:s, s:{s:s, s:O}}", "apiVersion", "v1", "kind", "Namespace",
			  "metadata", "name", ns, "labels", labels));
}

/* The data's {name, port, protocol} as a container's. */
static inline json_t *pc_ports(const struct pc *p)
{
	const json_t *pod = json_array_get(json_object_get(p->data, "pods"), 0);
	json_t *list = json_array(), *port;
	size_t i;

	json_array_foreach(json_object_get(pod, "ports"), i, port)
	{
		json_t *one = json_copy(port);

		json_object_set(one, "containerPort", json_object_get(port, "port"));
		json_object_del(one, "port");
		json_array_append_new(list, one);
	}
	return list;
}

static inline void pc_pod(struct pc *p, const json_t *pod, const char *ip)
{
	const char *ns = pc_text(pod, "ns"), *name = pc_text(pod, "pod");
	BH_CLEANUP(bh_freep) char *slot = pc_slot("pod", ns, name);

	pc_load(p, slot,
		json_pack("{s:s, s:s, s:{s:s, s:s, s:O}, s:{s:[{s:s, s:s, s:o}]}, s:{s:s, s:s}}",
			  "apiVersion", "v1", "kind", "Pod", "metadata", "namespace", ns, "name",
			  name, "labels", json_object_get(pod, "labels"), "spec", "containers",
			  "name", "main", "image", "registry.example/app:1", "ports", pc_ports(p),
			  "status", "phase", "Running", "podIP", ip));
}

/* The data gives all pods that a case creates one address: each gets its own here. */
static inline void pc_create_pod(struct pc *p, const json_t *pod)
{
	char text[BH_IP_TEXT];
	struct bh_err err;
	struct bh_ip ip;

	bh_assert_ok(&err, bh_ip_parse(pc_text(pod, "ip"), &ip, &err));
	ip = bh_ip_from4(bh_ip_to4(&ip) + p->n_created++);
	pc_pod(p, pod, bh_ip_format(&ip, text));
}

/* The labels alone; the address of a pod of the table. */
static inline void pc_label_pod(struct pc *p, const json_t *on)
{
	json_t *pod;
	size_t i;

	json_array_foreach(json_object_get(p->data, "pods"), i, pod)
	{
		if (strcmp(pc_text(pod, "ns"), pc_text(on, "ns")) == 0 &&
		    strcmp(pc_text(pod, "pod"), pc_text(on, "pod")) == 0) {
			pc_pod(p, on, pc_text(pod, "ip"));
			return;
		}
	}
	fail_msg("labels for a pod that is not in the table");
}

static inline void pc_policy(struct pc *p, json_t *policy)
{
	const json_t *meta = json_object_get(policy, "metadata");
	BH_CLEANUP(bh_freep)
	char *slot = pc_slot("policy", pc_text(meta, "namespace"), pc_text(meta, "name"));
	json_t *whole = json_copy(policy);

	json_object_set_new(whole, "apiVersion", json_string("networking.k8s.io/v1"));
	json_object_set_new(whole, "kind", json_string("NetworkPolicy"));
	pc_load(p, slot, whole);
}

static inline const char *pc_find(const struct pc *p, const char *part)
{
	const char *const *slots = bh_objects_files(p->objects);

	while (*slots && !strstr(*slots, part))
		slots++;
	return *slots;
}

/* Takes its pods and policies along, as the API server does. */
static inline void pc_delete_namespace(struct pc *p, const char *ns)
{
	BH_CLEANUP(bh_freep) char *part = bh_strf("@%s@", ns);
	const char *slot;

	while ((slot = pc_find(p, part))) {
		BH_CLEANUP(bh_freep) char *copy = strdup(slot);

		pc_unload(p, copy);
	}
}

static inline void pc_act(struct pc *p, const char *what, json_t *on)
{
	BH_CLEANUP(bh_freep) char *slot = NULL;
	const char *ns = pc_text(on, "ns");

	if (!strcmp(what, "createPolicy") || !strcmp(what, "updatePolicy")) {
		pc_policy(p, on);
	} else if (!strcmp(what, "createNamespace") || !strcmp(what, "setNamespaceLabels")) {
		pc_namespace(p, ns, json_object_get(on, "labels"));
	} else if (!strcmp(what, "deleteNamespace")) {
		pc_delete_namespace(p, ns);
	} else if (!strcmp(what, "createPod")) {
		pc_create_pod(p, on);
	} else if (!strcmp(what, "setPodLabels")) {
		pc_label_pod(p, on);
	} else if (!strcmp(what, "deletePolicy")) {
		slot = pc_slot("policy", pc_text(on, "Namespace"), pc_text(on, "Name"));
		pc_unload(p, slot);
	} else if (!strcmp(what, "deletePod")) {
		slot = pc_slot("pod", ns, pc_text(on, "pod"));
		pc_unload(p, slot);
	} else {
		fail_msg("unknown action '%s'", what);
	}
}

/* data is borrowed until pc_close. */
static inline void pc_open(struct pc *p, json_t *data)
{
	json_t *pod, *labels;
	struct bh_err err;
	const char *ns;
	size_t i;

	*p = (struct pc){.data = data};
	bh_assert_ok(&err, bh_objects_new(&(struct bh_objects_options){0}, &p->objects, &err));
	json_object_foreach(json_object_get(data, "namespaces"), ns, labels)
		pc_namespace(p, ns, labels);
	json_array_foreach(json_object_get(data, "pods"), i, pod)
		pc_pod(p, pod, pc_text(pod, "ip"));
}

static inline void pc_close(struct pc *p)
{
	bh_objects_free(p->objects);
}

/* Plays the step's actions and makes the world that follows; the caller unrefs it. */
static inline struct bh_world *pc_step(struct pc *p, const json_t *step)
{
	struct bh_world *w = NULL;
	struct bh_err err;
	const char *what;
	json_t *action, *on;
	size_t i;

	json_array_foreach(json_object_get(step, "actions"), i, action)
	{
		json_object_foreach(action, what, on) pc_act(p, what, on);
	}
	bh_assert_ok(&err, bh_world_new(&w, &err));
	bh_assert_ok(&err, bh_objects_fill(p->objects, w, &err));
	w->default_allow = true;
	w->now_s = BH_CASES_DEFAULT_NOW;
	bh_assert_ok(&err, bh_world_seal(w, &err));
	return w;
}
