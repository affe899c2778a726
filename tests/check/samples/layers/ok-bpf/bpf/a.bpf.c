#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "bulkhead/abi.h"
#include "lib/parse.bpf.h"
