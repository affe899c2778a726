#include "daemon/image_want.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

void bh_image_want_done(struct bh_image_want *w)
{
	free(w->question);
	free(w->reference);
	json_decref(w->names);
	json_decref(w->answer);
}

enum bh_image_on_error bh_image_stricter(enum bh_image_on_error a, enum bh_image_on_error b)
{
	static const int rank[] = {[BH_IMAGE_ON_ERROR_LAST] = 2,
				   [BH_IMAGE_ON_ERROR_DENY] = 3,
				   [BH_IMAGE_ON_ERROR_QUARANTINE] = 1,
				   [BH_IMAGE_ON_ERROR_ALLOW] = 0};

	return rank[a] >= rank[b] ? a : b;
}

void bh_image_worsen(struct bh_image_result *o, enum bh_image_outcome outcome, const char *fmt, ...)
{
	va_list ap;

	if (outcome <= o->outcome)
		return;
	o->outcome = outcome;
	o->is_doubt = outcome == BH_IMAGES_RETRY;
	va_start(ap, fmt);
	vsnprintf(o->text, sizeof(o->text), fmt, ap);
	va_end(ap);
}

const char *bh_image_text(const json_t *answer, const char *key)
{
	const char *s = json_string_value(json_object_get(answer, key));

	return s ? s : "";
}

/* The sentence of the last check that failed, for it got furthest; an attestation with its type. */
static const char *failed_check(const json_t *answer, struct bh_err *ret)
{
	const json_t *check;
	size_t i;

	*ret = (struct bh_err){0};
	json_array_foreach(json_object_get(answer, "checks"), i, check)
	{
		const char *name = bh_image_text(check, "name");
		bool has_type = strchr(name, ' ') != NULL;

		/* an error's text stays UTF-8 where it is cut, and JSON takes nothing else */
		if (json_is_false(json_object_get(check, "ok")))
			bh_fail(ret, EINVAL, "%.120s%s%.256s", has_type ? name : "",
				has_type ? ": " : "", bh_image_text(check, "detail"));
	}
	return ret->text;
}

static void judge_undecided(const struct bh_image_want *w, const struct bh_image_cache *cache,
			    int64_t now_s, struct bh_image_result *o)
{
	struct bh_err why;
	bool was_good = w->on_error == BH_IMAGE_ON_ERROR_LAST && w->by_digest &&
			bh_image_cache_was_good(cache, w->question, now_s);
	enum bh_image_outcome before = o->outcome;

	if (was_good || w->on_error == BH_IMAGE_ON_ERROR_ALLOW)
		return;
	bh_image_worsen(o,
			w->on_error == BH_IMAGE_ON_ERROR_QUARANTINE ? BH_IMAGES_QUARANTINE
								    : BH_IMAGES_RETRY,
			"image '%.256s' cannot be judged by ImagePolicy '%.64s' now: %.32s: %s",
			w->reference, bh_image_text(w->answer, "policy"),
			bh_image_text(w->answer, "reason"), failed_check(w->answer, &why));
	o->is_doubt |= o->outcome > before;
}

void bh_image_want_judge(const struct bh_image_want *w, const struct bh_image_cache *cache,
			 int64_t now_s, struct bh_image_result *o)
{
	const char *verdict = bh_image_text(w->answer, "verdict");
	struct bh_err why;

	if (!strcmp(verdict, "accept"))
		return;
	if (!strcmp(verdict, "reject")) {
		if (w->mode != BH_IMAGE_AUDIT)
			bh_image_worsen(
				o,
				w->mode == BH_IMAGE_QUARANTINE ? BH_IMAGES_QUARANTINE
							       : BH_IMAGES_REFUSE,
				"image '%.256s' is refused by ImagePolicy '%.64s': %.32s: %s",
				w->reference, bh_image_text(w->answer, "policy"),
				bh_image_text(w->answer, "reason"), failed_check(w->answer, &why));
		return;
	}
	if (w->mode != BH_IMAGE_AUDIT)
		judge_undecided(w, cache, now_s, o);
}

const char *bh_image_mode_text(enum bh_image_mode mode)
{
	static const char *const modes[] = {[BH_IMAGE_ENFORCE] = "enforce",
					    [BH_IMAGE_QUARANTINE] = "quarantine",
					    [BH_IMAGE_AUDIT] = "audit"};

	return modes[mode];
}

json_t *bh_image_want_row(const struct bh_image_want *w)
{
	const json_t *a = w->answer;
	struct bh_err why;

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O?}", "image", w->reference,
			 "mode", bh_image_mode_text(w->mode), "verdict",
			 bh_image_text(a, "verdict"), "reason", bh_image_text(a, "reason"),
			 "policy", bh_image_text(a, "policy"), "signer", bh_image_text(a, "signer"),
			 "digest", bh_image_text(a, "digest"), "detail", failed_check(a, &why),
			 "contents", json_object_get(a, "contents"));
}
