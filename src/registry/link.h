/* link.h - where a list goes on: the header Link (RFC 8288). Pure. */
#pragma once

/* The target of the first link that is the "next" page, on the heap and as it was sent; NULL when
 * there is none. header may be NULL, or several headers joined with commas. */
char *bh_link_next(const char *header);
