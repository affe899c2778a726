#include "base/reason.h"

#include "bulkhead/reasons.h"

static const struct {
	const char *name, *text;
} reasons[] = {
#define REASON(sym, name, text) {name, text},
	BH_REASONS(REASON)
#undef REASON
};

const char *bh_reason_name(unsigned reason)
{
	return reason < BH_R_COUNT ? reasons[reason].name : "unknown";
}

const char *bh_reason_text(unsigned reason)
{
	return reason < BH_R_COUNT ? reasons[reason].text : "unknown reason";
}
