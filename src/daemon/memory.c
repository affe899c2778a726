#include "daemon/memory.h"

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The large arrays that a change makes anew (indexes, worlds, peer tables) are mapped one by one
 * and gone when they are freed. Left to itself malloc learns to keep them in the heap, and then
 * they tear holes into it that stay. */
#define MAPPED_FROM (256 << 10)
#define MUCH_FREE   (2u << 20)

void bh_memory_setup(void)
{
	mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
}

void bh_memory_trim_heap(void)
{
	if (mallinfo2().fordblks > MUCH_FREE)
		malloc_trim(0);
}

/* Whole pages inside of a segment that nobody can have written to. What is relocated lies in the
 * writable ones. */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t page = *(const uintptr_t *)arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + ph->p_vaddr;
		uintptr_t to = (from + ph->p_memsz) & ~(page - 1);

		from = (from + page - 1) & ~(page - 1);
		if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W) && from < to)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void bh_memory_trim(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	malloc_trim(0);
	dl_iterate_phdr(drop_segments, &page);
}
