/* Marks an edge announced. The counters beside the flag are changed by packets at any time, and the
 * only write user space has replaces the whole element: so a program of a dozen instructions clears
 * the one bit in place. Context: struct bh_edge_key. Returns 1 when there is no such edge. */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>

#include <bpf/bpf.h>

#include "datapath/private.h"

#define KEY_WORDS ((int)sizeof(struct bh_edge_key) / 8)
_Static_assert(sizeof(struct bh_edge_key) % 8 == 0, "the key is copied by words");

static struct bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	return (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm};
}

static size_t assemble(struct bpf_insn *p, int map_fd)
{
	const int16_t stack = -(int16_t)sizeof(struct bh_edge_key);
	size_t n = 0;

	for (int16_t i = 0; i < KEY_WORDS; i++) {
		p[n++] = insn(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, (int16_t)(i * 8), 0);
		p[n++] = insn(BPF_STX | BPF_MEM | BPF_DW, 10, 2, (int16_t)(stack + i * 8), 0);
	}
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
	p[n++] = insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, stack);
	p[n++] = insn(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map_fd);
	p[n++] = insn(0, 0, 0, 0, 0);
	p[n++] = insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, 0);
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
	p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, ~(int32_t)BH_EDGE_UNSENT);
	p[n++] = insn(BPF_STX | BPF_ATOMIC | BPF_W, 0, 1, offsetof(struct bh_edge, flags), BPF_AND);
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

int bh_dp_marker_load(struct bh_datapath *dp, struct bh_err *err)
{
	struct bpf_insn prog[32];
	size_t n = assemble(prog, dp->map[BH_M_EDGE].fd);

	dp->marker_fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "bh_edge_sent", "GPL", prog, n,
				      &(struct bpf_prog_load_opts){
					      .sz = sizeof(struct bpf_prog_load_opts),
					      .prog_flags = BPF_F_SLEEPABLE,
				      });
	if (dp->marker_fd < 0)
		return bh_fail_sys(err, -dp->marker_fd, "load the program that marks edges");
	return 0;
}

int bh_datapath_edge_sent(struct bh_datapath *dp, const struct bh_edge_key *key)
{
	struct bh_edge_key ctx = *key;
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx)};
	int r = bpf_prog_test_run_opts(dp->marker_fd, &opts);

	if (r)
		return r;
	return opts.retval ? -ENOENT : 0;
}
