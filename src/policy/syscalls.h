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

/* ---- 32-bit programs on x86-64: arch/x86/entry/syscalls/syscall_32.tbl of the kernel ---- */

#define BH_I386_SOCKETCALL 102
#define BH_I386_IPC	   117
/* The number, on this machine, of the call that does what i386's does; 0: there is none. Calls that
 * i386 has twice or thrice (stat, oldstat, stat64) are all the one. */
int bh_syscall_of_i386(unsigned number);
/* The same of those two calls, by their first argument: linux/net.h, linux/ipc.h. */
int bh_syscall_of_socketcall(unsigned part);
int bh_syscall_of_ipc(unsigned part);
