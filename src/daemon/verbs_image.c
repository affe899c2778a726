/* verbs_image.c - the verb image.judge, for containerd's image verifier: {"reference", "digest"} >
 * {"allow", "reason"}. No pod and no namespace are known at a pull, so the policies that name
 * namespaces have no say in it; they judge at ADD. */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/images.h"
#include "daemon/verbs.h"
#include "verify/ref.h"

struct judging {
	struct bh_request *rq;
	struct bh_image_wait *wait;
};

/* A pod that is to start cut off needs its image; cutting is ADD's. */
static void on_judged(const struct bh_image_said *said, void *arg)
{
	struct judging *j = arg;

	bh_request_reply(j->rq, json_pack("{s:b, s:s}", "allow", said->outcome < BH_IMAGES_RETRY,
					  "reason", said->text));
	free(j);
}

static void on_gone(struct bh_request *rq, void *arg)
{
	struct judging *j = arg;

	(void)rq;
	bh_images_forget(j->wait);
	free(j);
}

/* The digest is what containerd pulls; the tag is not asked about again. */
static int read_reference(const json_t *args, char **ret, struct bh_err *err)
{
	const char *name = NULL, *digest = NULL;
	struct bh_image_ref ref;
	int r = bh_json_get_str(args, "reference", true, &name, err);

	if (!r)
		r = bh_json_get_str(args, "digest", true, &digest, err);
	if (!r)
		r = bh_image_ref_parse(name, &ref, err);
	if (r)
		return r;
	if (!bh_digest_ok(digest))
		return bh_fail(err, EINVAL, "'%.140s' is not a digest", digest);
	*ret = bh_strf("%s/%s@%s", ref.registry, ref.repository, digest);
	return *ret ? 0 : bh_fail(err, ENOMEM, "reference");
}

void bh_verb_image_judge(struct bh_daemon *d, struct bh_request *rq, const json_t *args)
{
	BH_CLEANUP(bh_freep) char *reference = NULL;
	struct judging *j = calloc(1, sizeof(*j));
	struct bh_image_wait *wait = NULL;
	struct bh_err err = {0};
	int r = j ? read_reference(args, &reference, &err) : bh_fail(&err, ENOMEM, "question");

	if (!r) {
		j->rq = rq;
		bh_request_on_gone(rq, on_gone, j);
		r = bh_images_ask(d->images, &(struct bh_image_subject){.image = reference},
				  &(struct bh_images_listener){on_judged, j}, &wait, &err);
	}
	if (r) {
		free(j);
		bh_request_fail(rq, &err, false);
	} else if (wait) { /* else it is answered, and j is gone */
		j->wait = wait;
	}
}
