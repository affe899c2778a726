/* memory.h - gives back what only a start or a large load needed. */
#pragma once

/* Once, before much is allocated. */
void bh_memory_setup(void);
/* Free pages of the heap, and pages of code and read-only data that are only mapped because they
 * were run through once; the latter come back from the page cache when they are needed again. Takes
 * a few milliseconds, so not where somebody waits. A debugger's breakpoints in that code are gone
 * afterwards. */
void bh_memory_trim(void);
/* The heap's free pages, if there are many of them. */
void bh_memory_trim_heap(void);
