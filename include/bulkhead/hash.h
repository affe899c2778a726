/* hash.h - what the daemon and a worker that hashes files say to each other, over a SOCK_SEQPACKET
 * pair: one struct a packet, a question with the file's descriptor beside it (SCM_RIGHTS), one
 * answer for each question. Both ends are of the same build. */
#pragma once

#include <linux/types.h>

#define BH_HASH_LEN 32 /* SHA-256 */

struct bh_hash_ask {
	__u64 id;
	__u64 max; /* bytes; a file that goes on behind them is answered with EFBIG */
};
_Static_assert(sizeof(struct bh_hash_ask) == 16, "bh_hash_ask");

struct bh_hash_answer {
	__u64 id;
	__u64 bytes; /* read */
	__u32 error; /* errno; 0: digest is that of the whole file */
	__u32 pad;
	__u8 digest[BH_HASH_LEN];
};
_Static_assert(sizeof(struct bh_hash_answer) == 56, "bh_hash_answer");
