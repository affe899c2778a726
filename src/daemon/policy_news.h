/* policy_news.h - tells the event log of policies that were refused, of whatever kind, of
 * RuntimePolicies that came, changed or went, and of what somebody changed by a command: the mode
 * of tracing, baselines. Policies of the network are told when the kernel
 * enforces them (journal.h), images' own ones by images.h. */
#pragma once

#include "base/err.h"

struct bh_daemon;
struct bh_policy_news;

struct bh_caller;

/* What is in force then is no news; what is refused is. */
int bh_policy_news_open(struct bh_daemon *d, struct bh_policy_news **ret, struct bh_err *err);
void bh_policy_news_close(struct bh_policy_news *n);
/* To be called when manifests were read; NULL is accepted. */
void bh_policy_news_look(struct bh_policy_news *n);
/* object was changed by that caller, in these words. */
void bh_policy_news_by(struct bh_policy_news *n, const char *object, const char *text,
		       const struct bh_caller *by);
