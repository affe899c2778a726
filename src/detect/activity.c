#include "detect/activity.h"

#include <errno.h>
#include <string.h>

static const char *const provenances[BH_PROV_COUNT] = {
	[BH_PROV_UNKNOWN] = "unknown",	 [BH_PROV_IMAGE] = "image",
	[BH_PROV_MODIFIED] = "modified", [BH_PROV_NEW] = "new",
	[BH_PROV_METACOPY] = "metacopy", [BH_PROV_TMPFS] = "tmpfs",
	[BH_PROV_MEMFD] = "memfd",	 [BH_PROV_VOLUME] = "volume",
	[BH_PROV_OTHER] = "other",
};

static const char *const acts[BH_ACT_COUNT] = {
	[BH_ACT_NONE] = "none",
	[BH_ACT_START] = "start",
	[BH_ACT_EXEC] = "exec",
	[BH_ACT_FORK] = "fork",
	[BH_ACT_EXIT] = "exit",
	[BH_ACT_FILE] = "file",
	[BH_ACT_MAP_EXEC] = "map_exec",
	[BH_ACT_SETID] = "setid",
	[BH_ACT_NAMESPACE] = "namespace",
	[BH_ACT_MOUNT] = "mount",
	[BH_ACT_PTRACE] = "ptrace",
	[BH_ACT_MEMORY] = "memory",
	[BH_ACT_MODULE] = "module",
	[BH_ACT_BPF] = "bpf",
	[BH_ACT_SOCKET] = "socket",
	[BH_ACT_LISTEN] = "listen",
	[BH_ACT_EDGE] = "edge",
	[BH_ACT_CONNECT] = "connect",
	[BH_ACT_DNS] = "dns",
	[BH_ACT_IO_URING] = "io_uring",
	[BH_ACT_MEMFD] = "memfd",
	[BH_ACT_USERFAULTFD] = "userfaultfd",
	[BH_ACT_SIGNAL] = "signal",
	[BH_ACT_SYSCALLS] = "syscalls",
	[BH_ACT_SEQUENCE] = "sequence",
	[BH_ACT_RATE] = "rate",
	[BH_ACT_NETNS] = "netns",
	[BH_ACT_NAME] = "name",
	[BH_ACT_ABI] = "abi",
	[BH_ACT_OVERFLOW] = "overflow",
};

/* FNV-1a: short texts, and the value must not depend on the machine or the process. */
static uint64_t add_text(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3ull;
	} while (*text++);
	return hash;
}

uint64_t bh_subject_workload(const struct bh_subject *s)
{
	const char *const parts[] = {s->ns, s->owner_kind, s->owner, s->container, s->image_digest};
	uint64_t hash = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		hash = add_text(hash, parts[i] ? parts[i] : "");
	return hash ? hash : 1;
}

const char *bh_provenance_name(enum bh_provenance p)
{
	return (unsigned)p < BH_PROV_COUNT ? provenances[p] : provenances[BH_PROV_UNKNOWN];
}

int bh_provenance_parse(const char *name, enum bh_provenance *ret)
{
	int i;

	for (i = 0; i < BH_PROV_COUNT; i++) {
		if (!strcmp(name, provenances[i])) {
			*ret = (enum bh_provenance)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *bh_act_name(enum bh_act kind)
{
	return (unsigned)kind < BH_ACT_COUNT ? acts[kind] : acts[BH_ACT_NONE];
}
