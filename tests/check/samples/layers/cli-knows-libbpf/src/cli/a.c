# include <bpf/libbpf.h>
