/* reason.h - verdict reasons as words (bulkhead/reasons.h). */
#pragma once

/* "policy-deny"; "unknown" for a number that is none. */
const char *bh_reason_name(unsigned reason);
/* "a policy rule denies it". */
const char *bh_reason_text(unsigned reason);
