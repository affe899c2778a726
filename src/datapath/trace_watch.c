/* The programs on system calls: which numbers they look at, which names of files matter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "datapath/trace_private.h"
#include "policy/syscalls.h"
#include "watch.skel.h"

/* Younger than the headers that we may be built with; one number on every machine. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif

/* Not every machine has every call. */
static const struct {
	unsigned nr;
	enum bh_trace_class class;
} calls[] = {
#ifdef SYS_open
	{SYS_open, BH_CALL_OPEN},
	{SYS_creat, BH_CALL_CREAT},
	{SYS_rename, BH_CALL_RENAME},
	{SYS_link, BH_CALL_LINK},
	{SYS_symlink, BH_CALL_SYMLINK},
	{SYS_chmod, BH_CALL_CHMOD},
	{SYS_unlink, BH_CALL_UNLINK},
	{SYS_rmdir, BH_CALL_UNLINK},
	{SYS_mknod, BH_CALL_MKNOD},
	{SYS_mkdir, BH_CALL_MKDIR},
	{SYS_chown, BH_CALL_CHANGE},
	{SYS_lchown, BH_CALL_CHANGE},
	{SYS_utime, BH_CALL_CHANGE},
	{SYS_utimes, BH_CALL_CHANGE},
	{SYS_futimesat, BH_CALL_CHANGEAT},
#endif
	{SYS_openat, BH_CALL_OPENAT},
	{SYS_openat2, BH_CALL_OPENAT2},
	{SYS_open_by_handle_at, BH_CALL_HANDLE},
	{SYS_mmap, BH_CALL_MMAP},
	{SYS_mprotect, BH_CALL_MPROTECT},
	{SYS_pkey_mprotect, BH_CALL_MPROTECT},
	{SYS_renameat, BH_CALL_RENAMEAT},
	{SYS_renameat2, BH_CALL_RENAMEAT},
	{SYS_linkat, BH_CALL_LINKAT},
	{SYS_symlinkat, BH_CALL_SYMLINKAT},
	{SYS_fchmod, BH_CALL_FCHMOD},
	{SYS_fchmodat, BH_CALL_FCHMODAT},
	{SYS_fchmodat2, BH_CALL_FCHMODAT},
	{SYS_mknodat, BH_CALL_MKNODAT},
	{SYS_mkdirat, BH_CALL_MKDIRAT},
	{SYS_fchownat, BH_CALL_CHANGEAT},
	{SYS_utimensat, BH_CALL_CHANGEAT},
	{SYS_fchown, BH_CALL_FCHANGE},
	{SYS_removexattr, BH_CALL_CHANGE},
	{SYS_lremovexattr, BH_CALL_CHANGE},
	{SYS_fremovexattr, BH_CALL_FCHANGE},
	{SYS_setxattr, BH_CALL_XATTR},
	{SYS_lsetxattr, BH_CALL_XATTR},
	{SYS_fsetxattr, BH_CALL_FXATTR},
	{SYS_setxattrat, BH_CALL_XATTRAT},
	{SYS_unlinkat, BH_CALL_UNLINKAT},
	{SYS_truncate, BH_CALL_TRUNCATE},
	{SYS_ftruncate, BH_CALL_FTRUNCATE},
	{SYS_execve, BH_CALL_EXEC},
	{SYS_execveat, BH_CALL_EXEC},
	{SYS_setuid, BH_CALL_SETID},
	{SYS_setreuid, BH_CALL_SETID},
	{SYS_setresuid, BH_CALL_SETID},
	{SYS_setns, BH_CALL_SETNS},
	{SYS_unshare, BH_CALL_UNSHARE},
	{SYS_clone, BH_CALL_CLONE},
	{SYS_clone3, BH_CALL_CLONE3},
	{SYS_pivot_root, BH_CALL_ROOT},
	{SYS_chroot, BH_CALL_ROOT},
	{SYS_mount, BH_CALL_MOUNT},
	{SYS_fsopen, BH_CALL_NEWMOUNT},
	{SYS_open_tree, BH_CALL_NEWMOUNT},
	{SYS_move_mount, BH_CALL_NEWMOUNT},
	{SYS_mount_setattr, BH_CALL_NEWMOUNT},
	{SYS_open_tree_attr, BH_CALL_NEWMOUNT},
	{SYS_fspick, BH_CALL_NEWMOUNT},
	{SYS_umount2, BH_CALL_NEWMOUNT},
	{SYS_ptrace, BH_CALL_PTRACE},
	{SYS_process_vm_readv, BH_CALL_VMREAD},
	{SYS_process_vm_writev, BH_CALL_VMWRITE},
	{SYS_pidfd_getfd, BH_CALL_GETFD},
	{SYS_prctl, BH_CALL_PRCTL},
	{SYS_init_module, BH_CALL_MODULE},
	{SYS_finit_module, BH_CALL_MODULE},
	{SYS_delete_module, BH_CALL_MODULE},
	{SYS_bpf, BH_CALL_BPF},
	{SYS_userfaultfd, BH_CALL_UFFD},
	{SYS_memfd_create, BH_CALL_MEMFD},
	{SYS_io_uring_setup, BH_CALL_URING},
	{SYS_socket, BH_CALL_SOCKET},
	{SYS_connect, BH_CALL_CONNECT},
	{SYS_sendto, BH_CALL_SENDTO},
	{SYS_sendmsg, BH_CALL_SENDMSG},
	{SYS_sendmmsg, BH_CALL_SENDMMSG},
};

/* Last components of paths: credentials, the kernel's levers, runtimes' sockets, logs. */
static const struct {
	const char *name;
	uint32_t bits;
} names[] = {
	{"token", BH_TRACE_N_READ},
	{"bin", BH_TRACE_N_DIR},
	{"sbin", BH_TRACE_N_DIR},
	{"cron.d", BH_TRACE_N_DIR},
	{"cron.daily", BH_TRACE_N_DIR},
	{"cron.hourly", BH_TRACE_N_DIR},
	{"crontabs", BH_TRACE_N_DIR},
	{".ssh", BH_TRACE_N_DIR},
	{"shadow", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"gshadow", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"shadow-", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"gshadow-", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"opasswd", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"sudoers", BH_TRACE_N_KEEP},
	{"passwd", BH_TRACE_N_KEEP},
	{"crontab", BH_TRACE_N_KEEP},
	{"ld.so.preload", BH_TRACE_N_KEEP},
	{"ld.so.conf", BH_TRACE_N_KEEP},
	{"id_rsa", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"id_dsa", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"id_ecdsa", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"id_ed25519", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"id_ecdsa_sk", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"id_ed25519_sk", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"identity", BH_TRACE_N_READ | BH_TRACE_N_HIDDEN},
	{"authorized_keys", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"ssh_host_rsa_key", BH_TRACE_N_READ},
	{"ssh_host_ed25519_key", BH_TRACE_N_READ},
	{"ssh_host_ecdsa_key", BH_TRACE_N_READ},
	{"ssh_host_dsa_key", BH_TRACE_N_READ},
	{"tls.key", BH_TRACE_N_READ},
	{"privkey.pem", BH_TRACE_N_READ},
	{"server.key", BH_TRACE_N_READ},
	{"client.key", BH_TRACE_N_READ},
	{"ca.key", BH_TRACE_N_READ},
	{"config", BH_TRACE_N_READ | BH_TRACE_N_HIDDEN},
	{"config.json", BH_TRACE_N_READ | BH_TRACE_N_HIDDEN},
	{"credentials", BH_TRACE_N_READ},
	{".dockercfg", BH_TRACE_N_READ},
	{"kubeconfig", BH_TRACE_N_READ},
	{"admin.conf", BH_TRACE_N_READ},
	{"kubelet.conf", BH_TRACE_N_READ},
	{".git-credentials", BH_TRACE_N_READ},
	{".netrc", BH_TRACE_N_READ},
	{"environ", BH_TRACE_N_READ},
	{"mem", BH_TRACE_N_READ},
	{"kmem", BH_TRACE_N_READ},
	{"kcore", BH_TRACE_N_READ},
	{"kallsyms", BH_TRACE_N_READ},
	{"release_agent", BH_TRACE_N_READ | BH_TRACE_N_KEEP},
	{"core_pattern", BH_TRACE_N_KEEP},
	{"modprobe", BH_TRACE_N_KEEP},
	{"sysrq-trigger", BH_TRACE_N_KEEP},
	{"userfaultfd", BH_TRACE_N_READ},
	{"docker.sock", BH_TRACE_N_READ | BH_TRACE_N_CONNECT},
	{"containerd.sock", BH_TRACE_N_READ | BH_TRACE_N_CONNECT},
	{"crio.sock", BH_TRACE_N_READ | BH_TRACE_N_CONNECT},
	{"podman.sock", BH_TRACE_N_READ | BH_TRACE_N_CONNECT},
	{"cri-dockerd.sock", BH_TRACE_N_CONNECT},
	{"dockershim.sock", BH_TRACE_N_CONNECT},
	{"buildkitd.sock", BH_TRACE_N_CONNECT},
	{"kubelet.sock", BH_TRACE_N_CONNECT},
	{"bulkheadd.sock", BH_TRACE_N_CONNECT},
	{".bash_history", BH_TRACE_N_KEEP},
	{".sh_history", BH_TRACE_N_KEEP},
	{".python_history", BH_TRACE_N_KEEP},
	{".mysql_history", BH_TRACE_N_KEEP},
	{".psql_history", BH_TRACE_N_KEEP},
	{".history", BH_TRACE_N_KEEP},
	{".histfile", BH_TRACE_N_KEEP},
	{".lesshst", BH_TRACE_N_KEEP},
	{".zsh_history", BH_TRACE_N_KEEP},
	{".ash_history", BH_TRACE_N_KEEP},
	{"wtmp", BH_TRACE_N_KEEP},
	{"btmp", BH_TRACE_N_KEEP},
	{"utmp", BH_TRACE_N_KEEP},
	{"lastlog", BH_TRACE_N_KEEP},
	{"audit.log", BH_TRACE_N_KEEP},
	{"auth.log", BH_TRACE_N_KEEP},
	{"syslog", BH_TRACE_N_KEEP},
	{"messages", BH_TRACE_N_KEEP},
	{"secure", BH_TRACE_N_KEEP},
	{"system.journal", BH_TRACE_N_KEEP},
};

static int set_table(struct bpf_object *obj, struct bh_err *err)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(obj, ".rodata");
	size_t size = 0;
	struct bh_trace_table *table = map ? bpf_map__initial_value(map, &size) : NULL;

	if (!table || size < sizeof(*table))
		return bh_fail(err, ENOENT, "BPF object watch has no table of calls");
	for (size_t i = 0; i < BH_ARRAY_SIZE(calls); i++)
		if (calls[i].nr < BH_TRACE_CALLS)
			table->class[calls[i].nr] = (uint8_t)calls[i].class;
	for (unsigned i = 0; i < BH_TRACE_CALLS; i++)
		table->native[i] = (uint16_t)bh_syscall_of_i386(i);
	for (unsigned i = 0; i < BH_TRACE_PARTS; i++) {
		table->native[BH_TRACE_CALLS + i] = (uint16_t)bh_syscall_of_socketcall(i);
		table->native[BH_TRACE_CALLS + BH_TRACE_PARTS + i] = (uint16_t)bh_syscall_of_ipc(i);
	}
	table->socketcall = BH_I386_SOCKETCALL;
	table->ipc = BH_I386_IPC;
	return 0;
}

static int fill_names(struct bh_trace *t, struct bh_err *err)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(names); i++) {
		struct bh_trace_name key = {0};
		int r;

		memcpy(key.text, names[i].name, strlen(names[i].name));
		r = bpf_map_update_elem(t->map[BH_T_NAME].fd, &key, &names[i].bits, BPF_ANY);
		if (r)
			return bh_fail_sys(err, -r, "map trace_name");
	}
	return 0;
}

void bh_trace_want(struct bh_trace *t, uint32_t slot, unsigned what, bool is_wanted)
{
	unsigned was = t->wants[slot], now = is_wanted ? was | what : was & ~what, all = 0;

	t->wants[slot] = (uint8_t)now;
	for (unsigned i = 0; i < BH_ARRAY_SIZE(t->n_wanting); i++) {
		t->n_wanting[i] += (now >> i & 1) - (was >> i & 1);
		all |= t->n_wanting[i] ? 1u << i : 0;
	}
	__atomic_store_n(&t->config->wanted, all, __ATOMIC_SEQ_CST);
}

static bool names_calls(const struct bh_trace_policy *p)
{
	for (size_t i = 0; i < BH_ARRAY_SIZE(p->calls); i++)
		if (p->calls[i])
			return true;
	return false;
}

void bh_trace_want_policy(struct bh_trace *t, uint32_t slot, const struct bh_trace_policy *p)
{
	bh_trace_want(t, slot, BH_TRACE_WANT_POLICY, p && names_calls(p));
}

/* Maps outlive the daemon that filled them. */
static void want_as_before(struct bh_trace *t)
{
	struct bh_trace_policy p;

	for (uint32_t slot = 1; slot < BH_TRACE_SLOTS; slot++) {
		if (bpf_map_lookup_elem(t->map[BH_T_POLICY].fd, &slot, &p) == 0)
			bh_trace_want_policy(t, slot, &p);
		bh_trace_want(t, slot, BH_TRACE_WANT_SEQ, t->slot[slot].seq);
		bh_trace_want(t, slot, BH_TRACE_WANT_LEARN, t->slot[slot].learn);
	}
}

static int load_watch(struct bh_trace *t, struct bh_err *err)
{
	static const struct bh_trace_source source = {"watch", watch_bpf__elf_bytes, set_table};
	int r;

	if (t->watch.is_loaded)
		return fill_names(t, err);
	r = bh_trace_load(t, &source, &t->watch, err);
	if (r)
		return r;
	bh_trace_look_begin(t, &t->watch);
	want_as_before(t);
	return fill_names(t, err);
}

static int attach(struct bh_trace *t, const char *name, int *link, struct bh_err *err)
{
	int r;

	if (*link >= 0)
		return 0;
	r = load_watch(t, err);
	if (r)
		return r;
	r = bh_trace_prog(&t->watch, name);
	if (r < 0)
		return bh_fail(err, ENOENT, "no program %s", name);
	r = bpf_raw_tracepoint_open(NULL, r);
	if (r < 0)
		return bh_fail_sys(err, -r, "attach %s", name);
	*link = r;
	return 0;
}

int bh_trace_watch_begin(struct bh_trace *t, struct bh_err *err)
{
	return attach(t, "bh_watch_exit", &t->watch_link, err);
}

void bh_trace_watch_end(struct bh_trace *t)
{
	bh_closep(&t->watch_link);
}

/* Tasks ask anew what is wanted of their slot. */
void bh_trace_next_round(struct bh_trace *t, uint32_t slot)
{
	__atomic_add_fetch(&t->slot[slot].round, 1u, __ATOMIC_RELEASE);
}

static void set_learnt(struct bh_trace *t, uint32_t slot, uint32_t generation)
{
	if (generation)
		bh_trace_want(t, slot, BH_TRACE_WANT_LEARN, true);
	if (__atomic_exchange_n(&t->slot[slot].learn, generation, __ATOMIC_RELEASE) != generation)
		bh_trace_next_round(t, slot);
	if (!generation)
		bh_trace_want(t, slot, BH_TRACE_WANT_LEARN, false);
}

static bool is_live(const struct bh_trace *t, uint32_t slot)
{
	return t->config && t->slot && (t->dp->slot[slot].flags & BH_SLOT_LIVE);
}

/* Those that were learnt before go on. */
int bh_trace_learn_begin(struct bh_trace *t, struct bh_err *err)
{
	BH_CLEANUP(bh_freep) struct bh_trace_learn *l = malloc(sizeof(*l));
	int r = l ? attach(t, "bh_watch_end", &t->learn_link, err)
		  : bh_fail(err, ENOMEM, "no memory to learn");

	for (uint32_t slot = 1; r == 0 && slot < BH_MAX_SLOTS; slot++)
		if (is_live(t, slot) && bpf_map_lookup_elem(t->map[BH_T_LEARN].fd, &slot, l) == 0)
			set_learnt(t, slot, l->generation);
	return r;
}

void bh_trace_learn_end(struct bh_trace *t)
{
	bh_closep(&t->learn_link);
	for (uint32_t slot = 1; slot < BH_MAX_SLOTS; slot++)
		if (is_live(t, slot))
			set_learnt(t, slot, 0);
}

int bh_trace_learned(struct bh_trace *t, uint32_t slot, uint32_t generation,
		     struct bh_trace_learn *ret, struct bh_err *err)
{
	int fd = t->map[BH_T_LEARN].fd;
	int r = bpf_map_lookup_elem(fd, &slot, ret);

	if (r || ret->generation != generation) {
		memset(ret, 0, sizeof(*ret));
		ret->generation = generation;
		r = bpf_map_update_elem(fd, &slot, ret, BPF_ANY);
	}
	if (r)
		return bh_fail_sys(err, -r, "map trace_learn");
	if (t->learn_link >= 0)
		set_learnt(t, slot, generation);
	return 0;
}

int bh_trace_learn_waiting(struct bh_trace *t, struct bh_err *err)
{
	if (t->learn_link < 0)
		return 0;
	return bh_trace_iterate(&t->watch, "bh_learn_waiting", err);
}

void bh_trace_unlearn(struct bh_trace *t, uint32_t slot)
{
	set_learnt(t, slot, 0);
	bpf_map_delete_elem(t->map[BH_T_LEARN].fd, &slot);
}

bool bh_trace_take_calls(struct bh_trace *t, uint32_t slot, uint32_t generation,
			 uint64_t ret[BH_TRACE_CALLS / 64])
{
	struct bh_learn_take take = {.slot = slot, .generation = generation};
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = &take, .ctx_size_in = sizeof(take)};
	int prog = bh_trace_prog(&t->watch, "bh_learn_taken");

	if (prog < 0 || bpf_prog_test_run_opts(prog, &opts) || opts.retval != 1)
		return false;
	for (size_t i = 0; i < BH_TRACE_CALLS / 64; i++)
		ret[i] = take.calls[i];
	return true;
}
