#include "policy/syscalls.h"

#include <seccomp.h>
#include <stdio.h>

#include "base/own.h"

int bh_syscall_number(const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	/* pseudo numbers, for calls that other machines have, are negative too */
	return nr < 0 ? -1 : nr;
}

bool bh_syscall_exists(const char *name)
{
	return seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;
}

const char *bh_syscall_name(int number, char *out, size_t size)
{
	BH_CLEANUP(bh_freep)
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

	if (!name)
		return NULL;
	snprintf(out, size, "%s", name);
	return out;
}
