#include <bpf/libbpf.h>
#include "pod.skel.h"
#include "policy/tables.h"
#include "base/loop.h"
