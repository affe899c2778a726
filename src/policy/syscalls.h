/* syscalls.h - names and numbers of this machine's system calls, as libseccomp knows them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* -1 when there is none of this name on this machine. */
int bh_syscall_number(const char *name);
/* true also for those of other machines. */
bool bh_syscall_exists(const char *name);
/* The name in out, or NULL when there is none of this number. */
const char *bh_syscall_name(int number, char *out, size_t size);
