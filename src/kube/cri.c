#include "kube/cri.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/str.h"
#include "cri.pb-c.h"
#include "http/grpc.h"

#define RUNTIME	    "runtime.v1.RuntimeService/"
#define IMAGES	    "runtime.v1.ImageService/"
#define CALL_MS	    4000
#define MAX_ANSWER  (16u << 20)
#define MAX_DIGESTS 64
#define MAX_VOLUMES 64

struct bh_cri {
	struct bh_grpc *grpc;
	struct bh_map told; /* containers by id; the value says when they were last listed */
	char *runtime;	    /* name and version */
	uintptr_t round;
};

/* One look: sandboxes by id, as long as it takes. */
struct look {
	struct bh_cri *cri;
	Bh__Cri__ListSandboxesResponse *sandboxes;
	Bh__Cri__ListContainersResponse *containers;
};

/* ---- one call ---- */

static int ask(struct bh_cri *c, const char *method, const ProtobufCMessage *rq,
	       const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret, struct bh_err *err)
{
	size_t n = protobuf_c_message_get_packed_size(rq), n_answer = 0;
	BH_CLEANUP(bh_freep) unsigned char *packed = malloc(n + 1);
	BH_CLEANUP(bh_freep) unsigned char *answer = NULL;
	struct bh_grpc_call call = {.method = method,
				    .message = packed,
				    .n = n,
				    .timeout_ms = CALL_MS,
				    .max = MAX_ANSWER};
	int r;

	if (!packed)
		return bh_fail(err, ENOMEM, "%s", method);
	protobuf_c_message_pack(rq, packed);
	r = bh_grpc_do(c->grpc, &call, &answer, &n_answer, err);
	if (r)
		return r;
	*ret = protobuf_c_message_unpack(type, NULL, n_answer, answer);
	return *ret ? 0 : bh_fail(err, EPROTO, "%s: the answer cannot be read", method);
}

static bool has_text(const char *s)
{
	return s && *s;
}

/* ---- one container ---- */

/* "docker-pullable://" and its like stand before what cri-dockerd calls a reference. */
static const char *plain(const char *ref)
{
	const char *scheme = strstr(ref, "://");

	return scheme ? scheme + 3 : ref;
}

static bool is_bare_digest(const char *image)
{
	return !strncmp(image, "sha256:", 7) || !strncmp(image, "sha512:", 7);
}

static int add_digest(json_t *to, const char *ref)
{
	const json_t *known;
	size_t i;

	if (!has_text(ref) || !strchr(ref, '@') || json_array_size(to) >= MAX_DIGESTS)
		return 0;
	ref = plain(ref);
	json_array_foreach(to, i, known)
	{
		if (!strcmp(json_string_value(known), ref))
			return 0;
	}
	return json_array_append_new(to, json_string(ref)) ? -EPROTO : 0;
}

/* What the runtime knows the image by. *id is filled in when it is empty. */
static int add_image(struct bh_cri *c, const char *image, json_t *digests, char **id,
		     struct bh_err *err)
{
	Bh__Cri__ImageSpec spec = BH__CRI__IMAGE_SPEC__INIT;
	Bh__Cri__ImageStatusRequest rq = BH__CRI__IMAGE_STATUS_REQUEST__INIT;
	Bh__Cri__ImageStatusResponse *answer = NULL;
	ProtobufCMessage *m = NULL;
	int r;

	spec.image = (char *)(uintptr_t)image;
	rq.image = &spec;
	r = ask(c, IMAGES "ImageStatus", &rq.base, &bh__cri__image_status_response__descriptor, &m,
		err);
	if (r)
		return r == -ENOENT ? 0 : r;
	answer = (Bh__Cri__ImageStatusResponse *)m;
	for (size_t i = 0; !r && answer->image && i < answer->image->n_repo_digests; i++)
		r = add_digest(digests, answer->image->repo_digests[i]);
	if (!r && answer->image && !*id && has_text(answer->image->id)) {
		*id = strdup(answer->image->id);
		r = *id ? 0 : -ENOMEM;
	}
	bh__cri__image_status_response__free_unpacked(answer, NULL);
	return r ? bh_fail(err, -r, "status of image '%.200s'", image) : 0;
}

/* The pod's own words, wherever the runtime keeps them; a node's name of the image is not that. */
static const char *wanted_image(const Bh__Cri__Container *row, const Bh__Cri__ContainerStatus *st)
{
	const Bh__Cri__ImageSpec *specs[] = {row->image, st->image};

	for (size_t i = 0; i < BH_ARRAY_SIZE(specs); i++) {
		if (specs[i] && has_text(specs[i]->user_specified_image))
			return specs[i]->user_specified_image;
	}
	for (size_t i = 0; i < BH_ARRAY_SIZE(specs); i++) {
		if (specs[i] && has_text(specs[i]->image) && !is_bare_digest(specs[i]->image))
			return specs[i]->image;
	}
	return "";
}

static const char *first_text(const char *a, const char *b)
{
	return has_text(a) ? a : has_text(b) ? b : "";
}

static int add_volumes(struct bh_cri *c, const Bh__Cri__ContainerStatus *st, json_t *to,
		       struct bh_err *err)
{
	for (size_t i = 0; i < st->n_mounts; i++) {
		const Bh__Cri__ImageSpec *spec = st->mounts[i]->image;
		BH_CLEANUP(bh_freep) char *id = NULL;
		const char *image;
		json_t *digests;
		int r;

		if (!spec || !(has_text(spec->image) || has_text(spec->image_ref)))
			continue;
		if (json_array_size(to) >= MAX_VOLUMES)
			return bh_fail(err, E2BIG, "more than %d image volumes", MAX_VOLUMES);
		image = first_text(spec->user_specified_image, spec->image);
		digests = json_array();
		r = add_digest(digests, spec->image_ref);
		r = r ? bh_fail(err, -r, "image volume '%.200s'", image)
		      : add_image(c, first_text(spec->image, spec->image_ref), digests, &id, err);
		if (json_array_append_new(to,
					  json_pack("{s:s, s:s, s:o}", "image", image, "imageId",
						    id ? id : "", "digests", digests)))
			return bh_fail(err, EPROTO, "image volume '%.200s'", image);
		if (r)
			return r;
	}
	return 0;
}

static int add_status(struct bh_cri *c, const Bh__Cri__Container *row,
		      const Bh__Cri__ContainerStatus *st, json_t *to, struct bh_err *err)
{
	json_t *digests = json_array(), *volumes = json_array();
	const char *ref = first_text(st->image_ref, row->image_ref);
	BH_CLEANUP(bh_freep) char *id = strdup(first_text(st->image_id, row->image_id));
	int r = id && digests && volumes ? add_digest(digests, ref) : -ENOMEM;

	/* older runtimes name the image where newer ones have its reference */
	if (!r && !*id && has_text(ref) && !strchr(ref, '@')) {
		free(id);
		id = strdup(ref);
		r = id ? 0 : -ENOMEM;
	}
	if (r)
		r = bh_fail(err, -r, "status of container '%.80s'", row->id);
	if (!r && has_text(first_text(id, ref)))
		r = add_image(c, first_text(id, ref), digests, &id, err);
	if (!r)
		r = add_volumes(c, st, volumes, err);
	if (!r && json_object_set_new(to, "image", json_string(wanted_image(row, st))))
		r = bh_fail(err, EPROTO, "image of container '%.80s'", row->id);
	if (!r && json_object_set_new(to, "imageId", json_string(plain(id))))
		r = bh_fail(err, EPROTO, "image of container '%.80s'", row->id);
	json_object_set_new(to, "digests", digests);
	json_object_set_new(to, "volumes", volumes);
	return r;
}

/* 0; -ENOENT: it is gone by now. */
static int add_details(struct bh_cri *c, const Bh__Cri__Container *row, json_t *to,
		       struct bh_err *err)
{
	Bh__Cri__ContainerStatusRequest rq = BH__CRI__CONTAINER_STATUS_REQUEST__INIT;
	Bh__Cri__ContainerStatusResponse *answer = NULL;
	ProtobufCMessage *m = NULL;
	int r;

	rq.container_id = row->id;
	r = ask(c, RUNTIME "ContainerStatus", &rq.base,
		&bh__cri__container_status_response__descriptor, &m, err);
	if (r)
		return r;
	answer = (Bh__Cri__ContainerStatusResponse *)m;
	r = answer->status ? add_status(c, row, answer->status, to, err)
			   : bh_fail(err, EPROTO, "container '%.80s' has no status", row->id);
	bh__cri__container_status_response__free_unpacked(answer, NULL);
	return r;
}

/* ---- all of them ---- */

static const Bh__Cri__SandboxMetadata *pod_of(const struct look *l, const char *sandbox)
{
	for (size_t i = 0; i < l->sandboxes->n_items; i++) {
		if (!strcmp(l->sandboxes->items[i]->id, sandbox))
			return l->sandboxes->items[i]->metadata;
	}
	return NULL;
}

static const char *state_text(int state)
{
	static const char *const texts[] = {"created", "running", "exited"};

	return state >= 0 && state < (int)BH_ARRAY_SIZE(texts) ? texts[state] : "unknown";
}

/* 1: in the answer; 0: the container or its sandbox is gone. */
static int make_row(struct look *l, const Bh__Cri__Container *row, json_t **ret, struct bh_err *err)
{
	const Bh__Cri__SandboxMetadata *pod = pod_of(l, row->pod_sandbox_id);
	const char *name = row->metadata ? row->metadata->name : "";
	json_t *j;
	int r;

	if (bh_map_get_s(&l->cri->told, row->id)) {
		*ret = json_pack("{s:s, s:s}", "id", row->id, "state", state_text(row->state));
		return *ret ? 1 : bh_fail(err, EPROTO, "the identifier of a container");
	}
	if (!pod)
		return 0;
	j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "id", row->id, "state",
		      state_text(row->state), "namespace", pod->namespace_, "pod", pod->name, "uid",
		      pod->uid, "sandbox", row->pod_sandbox_id, "name", name, "createdMs",
		      (json_int_t)(row->created_at / 1000000));
	r = j ? add_details(l->cri, row, j, err)
	      : bh_fail(err, EPROTO, "the names of container '%.80s'", row->id);
	if (r) {
		json_decref(j);
		return r == -ENOENT ? 0 : r;
	}
	*ret = j;
	return 1;
}

static int add_rows(struct look *l, json_t *to, struct bh_err *err)
{
	struct bh_cri *c = l->cri;

	if (l->containers->n_containers > BH_CRI_MAX_CONTAINERS)
		return bh_fail(err, E2BIG, "more than %d containers", BH_CRI_MAX_CONTAINERS);
	for (size_t i = 0; i < l->containers->n_containers; i++) {
		const Bh__Cri__Container *row = l->containers->containers[i];
		json_t *j = NULL;
		int r = make_row(l, row, &j, err);

		if (r < 0)
			return r;
		if (r && (json_array_append_new(to, j) ||
			  bh_map_set_s(&c->told, row->id, (void *)c->round)))
			return bh_fail(err, ENOMEM, "containers");
	}
	return 0;
}

static void drop_gone(struct bh_cri *c)
{
	struct bh_map_entry *e;
	size_t pos = 0;

	while ((e = bh_map_next(&c->told, &pos))) {
		if ((uintptr_t)e->value != c->round)
			bh_map_del(&c->told, e->key, e->key_len);
	}
}

static int ask_version(struct bh_cri *c, struct bh_err *err)
{
	Bh__Cri__VersionRequest rq = BH__CRI__VERSION_REQUEST__INIT;
	Bh__Cri__VersionResponse *answer;
	ProtobufCMessage *m = NULL;
	int r;

	r = ask(c, RUNTIME "Version", &rq.base, &bh__cri__version_response__descriptor, &m, err);
	if (r)
		return r;
	answer = (Bh__Cri__VersionResponse *)m;
	c->runtime = bh_strf("%.60s %.60s", answer->runtime_name, answer->runtime_version);
	bh__cri__version_response__free_unpacked(answer, NULL);
	return c->runtime ? 0 : bh_fail(err, ENOMEM, "runtime");
}

/* Containers first: a sandbox listed after them is older than none of them. */
static int ask_lists(struct look *l, struct bh_err *err)
{
	Bh__Cri__ListContainersRequest containers = BH__CRI__LIST_CONTAINERS_REQUEST__INIT;
	Bh__Cri__ListSandboxesRequest sandboxes = BH__CRI__LIST_SANDBOXES_REQUEST__INIT;
	ProtobufCMessage *m = NULL;
	int r = ask(l->cri, RUNTIME "ListContainers", &containers.base,
		    &bh__cri__list_containers_response__descriptor, &m, err);

	if (r)
		return r;
	l->containers = (Bh__Cri__ListContainersResponse *)m;
	r = ask(l->cri, RUNTIME "ListPodSandbox", &sandboxes.base,
		&bh__cri__list_sandboxes_response__descriptor, &m, err);
	if (!r)
		l->sandboxes = (Bh__Cri__ListSandboxesResponse *)m;
	return r;
}

int bh_cri_look(struct bh_cri *c, json_t **ret, struct bh_err *err)
{
	struct look l = {.cri = c};
	json_t *rows = json_array();
	int r;

	c->round++;
	r = ask_lists(&l, err);
	if (!r)
		r = add_rows(&l, rows, err);
	if (!r) {
		drop_gone(c);
		*ret = json_pack("{s:s, s:O}", "runtime", c->runtime, "containers", rows);
		r = *ret ? 0 : bh_fail(err, EPROTO, "the runtime's name");
	}
	if (r) /* nobody was told */
		bh_map_done(&c->told);
	json_decref(rows);
	if (l.containers)
		bh__cri__list_containers_response__free_unpacked(l.containers, NULL);
	if (l.sandboxes)
		bh__cri__list_sandboxes_response__free_unpacked(l.sandboxes, NULL);
	return r;
}

int bh_cri_new(const char *path, struct bh_cri **ret, struct bh_err *err)
{
	BH_CLEANUP(bh_cri_freep) struct bh_cri *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return bh_fail(err, ENOMEM, "runtime");
	bh_map_init(&c->told, NULL);
	r = bh_grpc_new(path, &c->grpc, err);
	if (!r)
		r = ask_version(c, err);
	if (r)
		return bh_note(err, r, "'%s'", path);
	*ret = BH_TAKE(c);
	return 0;
}

void bh_cri_free(struct bh_cri *c)
{
	if (!c)
		return;
	bh_grpc_free(c->grpc);
	bh_map_done(&c->told);
	free(c->runtime);
	free(c);
}

void bh_cri_freep(struct bh_cri **c)
{
	bh_cri_free(*c);
	*c = NULL;
}
