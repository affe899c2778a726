/* hold.bpf.h - makes the compiler forget what it knows of a number. */
#pragma once

#include <linux/types.h>

/* A bound that the compiler proves by itself, or folds into another comparison, is not in the code,
 * and older verifiers (6.1, 6.12) do not see it. What is compared or masked after this is. */
static inline __attribute__((always_inline)) __u32 hold(__u32 value)
{
	__asm__ volatile("" : "+r"(value));
	return value;
}
