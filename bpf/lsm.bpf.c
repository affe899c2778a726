/* lsm.bpf.c - tier 2, loaded where the kernel lets us: refuses before it happens what tier 1 kills
 * for. Bodies: lib/trace_lsm.bpf.h; twin.bpf.c runs them where these hooks do not load. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lib/trace_lsm.bpf.h"

static __always_inline struct bh_trace_task *task_of_pod(void)
{
	return bpf_task_storage_get(&trace_task, bpf_get_current_task_btf(), NULL, 0);
}

/* A verdict of somebody before us stays. */
#define LSM_BEGIN(t, l)                                                                            \
	struct bh_trace_task *t = ret ? NULL : task_of_pod();                                      \
	struct lsm_scratch *l = t ? lsm_take(t) : NULL;                                            \
	if (!l)                                                                                    \
	return ret

SEC("lsm/bprm_check_security")
int BPF_PROG(bh_lsm_exec, struct linux_binprm *bprm, int ret)
{
	struct lsm_image i = {
		.file = bprm->file,
		.script = bprm->interp != bprm->filename ? bprm->filename : NULL,
		.uid = bprm->cred->euid.val,
		.is_script = bprm->buf[0] == '#' && bprm->buf[1] == '!',
	};
	LSM_BEGIN(t, l);

	return lsm_put(l, lsm_exec(l, bpf_get_current_task_btf(), t, &i));
}

/* file, reqprot, prot, flags, ret */
SEC("lsm/mmap_file")
int bh_lsm_mmap(__u64 *ctx)
{
	struct file *file = (struct file *)ctx[0];
	int ret = ctx[4];

	if (!(ctx[2] & PROT_EXEC))
		return ret;
	LSM_BEGIN(t, l);

	if (ctx[3] & MAP_SHARED)
		l->act.flags |= BH_TRACE_F_SHARED;
	l->act.arg[2] = ctx[2];
	return lsm_put(l, lsm_map(l, bpf_get_current_task_btf(), t, file, LSM_MMAP));
}

SEC("lsm/file_mprotect")
int BPF_PROG(bh_lsm_mprotect, struct vm_area_struct *vma, __u64 reqprot, __u64 prot, int ret)
{
	if (!(prot & PROT_EXEC))
		return ret;
	LSM_BEGIN(t, l);

	l->act.arg[2] = prot;
	return lsm_put(l, lsm_map(l, bpf_get_current_task_btf(), t, vma->vm_file, LSM_MPROTECT));
}

SEC("lsm/file_open")
int BPF_PROG(bh_lsm_open, struct file *file, int ret)
{
	LSM_BEGIN(t, l);

	open_tell(&l->act, bpf_get_current_task_btf(), t, file);
	return lsm_put(l, 0);
}

SEC("lsm/path_unlink")
int BPF_PROG(bh_lsm_unlink, const struct path *dir, struct dentry *dentry, int ret)
{
	LSM_BEGIN(t, l);

	lsm_walk(l, 0, dir, dentry);
	if (text_bits(&l->act))
		lsm_named(&l->act, t, BH_TRACE_OP_UNLINK, 0);
	return lsm_put(l, 0);
}

/* old directory and name, new directory and name, flags, ret */
SEC("lsm/path_rename")
int bh_lsm_rename(__u64 *ctx)
{
	int ret = ctx[5];

	LSM_BEGIN(t, l);

	lsm_walk(l, 0, (const struct path *)ctx[0], (const struct dentry *)ctx[1]);
	lsm_walk(l, 1, (const struct path *)ctx[2], (const struct dentry *)ctx[3]);
	lsm_named(&l->act, t, BH_TRACE_OP_RENAME, 1);
	return lsm_put(l, 0);
}

SEC("lsm/path_link")
int BPF_PROG(bh_lsm_link, struct dentry *old_dentry, const struct path *new_dir,
	     struct dentry *new_dentry, int ret)
{
	LSM_BEGIN(t, l);

	lsm_walk(l, 0, new_dir, old_dentry);
	lsm_walk(l, 1, new_dir, new_dentry);
	lsm_named(&l->act, t, BH_TRACE_OP_LINK, 1);
	return lsm_put(l, 0);
}

/* directory, name, mode, device, ret */
SEC("lsm/path_mknod")
int bh_lsm_mknod(__u64 *ctx)
{
	int ret = ctx[4];

	LSM_BEGIN(t, l);

	lsm_walk(l, 0, (const struct path *)ctx[0], (const struct dentry *)ctx[1]);
	lsm_named(&l->act, t, BH_TRACE_OP_CREATE, 0);
	return lsm_put(l, 0);
}

SEC("lsm/path_chmod")
int BPF_PROG(bh_lsm_chmod, const struct path *path, unsigned short mode, int ret)
{
	if (!(mode & MODE_TOLD))
		return ret;
	LSM_BEGIN(t, l);

	l->act.arg[0] = mode & 07777;
	l->act.arg[0] |= path->dentry->d_inode->i_mode & TYPE_MASK;
	lsm_walk(l, 0, path, path->dentry);
	lsm_named(&l->act, t, BH_TRACE_OP_CHMOD, 0);
	return lsm_put(l, 0);
}

/* source, where, type, flags, data, ret */
SEC("lsm/sb_mount")
int bh_lsm_mount(__u64 *ctx)
{
	int ret = ctx[5];

	LSM_BEGIN(t, l);

	return lsm_put(l, lsm_call(l, t, LSM_MOUNT));
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(bh_lsm_ptrace, struct task_struct *child, unsigned int mode, int ret)
{
	LSM_BEGIN(t, l);

	/* reading what /proc tells about others asks here too: only attaching is ptrace's */
	return lsm_put(l, mode & 2 ? lsm_call(l, t, LSM_PTRACE) : 0);
}

/* command, attributes, size, since 6.15 whether the kernel itself asks, ret. Which place ret has is
 * of no matter: after a refusal nobody else is asked. */
SEC("lsm/bpf")
int bh_lsm_bpf(__u64 *ctx)
{
	int ret = 0;

	LSM_BEGIN(t, l);

	return lsm_put(l, lsm_call(l, t, LSM_BPF));
}

/* task, information, signal, credentials, ret */
SEC("lsm/task_kill")
int bh_lsm_kill(__u64 *ctx)
{
	int ret = ctx[4];

	LSM_BEGIN(t, l);

	return lsm_put(l, lsm_call(l, t, LSM_KILL));
}

char _license[] SEC("license") = "GPL";
