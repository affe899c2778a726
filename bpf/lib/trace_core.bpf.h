/* trace_core.bpf.h - kernel structures that the tracing programs look into, as CO-RE stubs. Members
 * that changed between kernels have a flavour of their own. Not together with core.bpf.h. */
#pragma once

#include <linux/types.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* After an exec the caches are cold, of code too: what is rare goes behind the rest. */
#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

/* Since 6.2: an address becomes a pointer that plain loads may follow; a bad one reads as 0.
 * Before, every step is a call. Not for types of modules, which the cast does not know. The address
 * is named first: what stands inside BPF_CORE_READ is relocated, our own structures too. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;
#define READ(type, address, member)                                                                \
	({                                                                                         \
		const type *at_ = (const type *)(address);                                         \
                                                                                                   \
		bpf_ksym_exists(bpf_rdonly_cast)                                                   \
			? ((const type *)bpf_rdonly_cast(at_, bpf_core_type_id_kernel(type)))      \
				  ->member                                                         \
			: BPF_CORE_READ(at_, member);                                              \
	})

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

struct qstr {
	__u32 hash, len;
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};

struct inode;

struct dentry {
	unsigned int d_flags;
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_rdev;
	__s64 i_size;
	__s64 i_mtime_sec; /* since 6.11 */
	__u32 i_mtime_nsec;
	char *i_link; /* of a symbolic link: what it says, where it is in memory */
};

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct inode___middle { /* 6.6 to 6.10 */
	struct timespec64 __i_mtime;
};

struct inode___old {
	struct timespec64 i_mtime;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	int mnt_flags;
};

struct ns_common {
	__u32 inum;
	__u64 ns_id; /* since 6.18 */
};

struct mnt_namespace {
	struct ns_common ns;
};

struct mnt_namespace___old { /* before 6.18 */
	__u64 seq;
};

struct list_head {
	struct list_head *next, *prev;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct list_head mnt_mounts, mnt_child;
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	unsigned int f_flags;
	unsigned int f_mode;
	struct inode *f_inode;
	void *private_data;
	struct path f_path;
};

struct backing_file { /* since 6.5; user_path since 6.8 */
	struct file file;
	struct path user_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
	struct file *exe_file;
};

struct net {
	__u64 net_cookie;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
};

typedef struct {
	__u64 val;
} kernel_cap_t;

struct cred {
	kuid_t uid, gid, suid, sgid, euid, egid, fsuid, fsgid;
	kernel_cap_t cap_effective;
};

struct kernel_cap_struct___old { /* before 6.3 */
	__u32 cap[2];
};

struct cred___old {
	struct kernel_cap_struct___old cap_effective;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int group_exit_code;
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct pid {
	unsigned int level;
	struct hlist_head tasks[2]; /* threads, processes; there are more */
	struct upid numbers[1];
};

struct proc_inode {
	struct pid *pid;
	unsigned int fd;
	struct inode vfs_inode;
};

struct thread_info {
	__u32 status; /* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	int exit_code;
	unsigned int personality;
	int pid, tgid;
	struct mm_struct *mm;
	struct task_struct *real_parent, *group_leader;
	__u64 start_time;
	const struct cred *cred;
	char comm[16];
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct pid *thread_pid;
	struct hlist_node pid_links[2]; /* as in struct pid */
	struct list_head ptraced, ptrace_entry;
	kuid_t loginuid;
	__u64 self_exec_id;
};

struct task_struct___state { /* since 5.14 */
	unsigned int __state;
};

struct pt_regs { /* x86 */
	unsigned long bx, r10, r9, r8, ax, dx, si, di, orig_ax;
};

struct pt_regs___arm64 {
	__u64 regs[31];
	__u64 orig_x0;
	__s32 syscallno;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
};

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
};

struct unix_sock {
	struct path path;
	struct sock *peer;
};

struct bpf_iter__task {
	struct task_struct *task;
};

struct bpf_iter__task_vma {
	struct task_struct *task;
	struct vm_area_struct *vma;
};

struct linux_binprm {
	struct file *file;
	const struct cred *cred; /* of the image to come */
	const char *filename, *interp;
	char buf[2]; /* how the file begins; there is more */
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	unsigned short skc_family;
	__u32 skc_daddr, skc_rcv_saddr;
	unsigned short skc_dport; /* network order */
	unsigned short skc_num;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};

struct module {
	char name[56];
};

struct sock {
	struct sock_common __sk_common;
};

struct socket {
	struct sock *sk;
};

/* overlayfs is a module on many kernels: where its types are not known, nothing is of an image. */
struct ovl_path {
	struct dentry *dentry;
};

struct ovl_entry {
	unsigned int __numlower; /* since 6.5 */
	struct ovl_path __lowerstack[];
};

struct ovl_inode {
	unsigned long flags;
	struct inode vfs_inode;
	struct dentry *__upperdentry;
	struct ovl_entry *oe; /* since 6.5 */
};

struct ovl_inode___middle { /* 5.19 to 6.4 */
	struct path lowerpath;
};

struct ovl_inode___old {
	struct inode *lower;
};

#pragma clang attribute pop

#define VM_WRITE  2
#define VM_EXEC	  4
#define VM_SHARED 8

enum ovl_inode_flag___bh { OVL_UPPERDATA___bh = 3 };
enum dentry_flags___bh { DCACHE_MOUNTED___bh = 1 << 15 };
