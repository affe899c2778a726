/* How much of the tracing programs the verifier has to look at. What grows past a ceiling here may
 * not load on another kernel, and makes every start slow. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bh_test.h"
#include "bulkhead/trace.h"
#include "trace.skel.h"
#include "uring.skel.h"
#include "watch.skel.h"

static struct bpf_object *loaded(const void *bytes, size_t size)
{
	struct bpf_object *obj = bpf_object__open_mem(bytes, size, NULL);
	struct bpf_map *map;

	assert_non_null(obj);
	bpf_object__for_each_map(map, obj) assert_int_equal(bpf_map__set_pin_path(map, NULL), 0);
	assert_int_equal(bpf_object__load(obj), 0);
	return obj;
}

static void check_program(struct bpf_object *obj, const char *name, uint32_t ceiling)
{
	const struct bpf_program *prog = bpf_object__find_program_by_name(obj, name);
	struct bpf_prog_info info = {.type = 0};
	uint32_t n = sizeof(info);

	assert_non_null(prog);
	assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &n), 0);
	assert_true(info.verified_insns > 0);
	if (info.verified_insns > ceiling)
		fail_msg("%s: %u instructions verified", name, info.verified_insns);
}

/* Raise a ceiling only with a reason in the commit: the verifier's limit is one million, but load
 * time and old kernels' patience are not. */
static void instructions_stay_below_their_ceilings(void **state)
{
	struct row {
		const void *(*bytes)(size_t *size);
		const char *name;
		uint32_t ceiling;
	} rows[] = {
		{trace_bpf__elf_bytes, "bh_trace_exec", 110000},
		{trace_bpf__elf_bytes, "bh_trace_adopt", 12000},
		{trace_bpf__elf_bytes, "bh_trace_adopt_maps", 12000},
		{watch_bpf__elf_bytes, "bh_watch_exit", 140000},
		{uring_bpf__elf_bytes, "bh_uring_submit", 100000},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++) {
		size_t size = 0;
		const void *bytes = rows[i].bytes(&size);
		struct bpf_object *obj = loaded(bytes, size);

		check_program(obj, rows[i].name, rows[i].ceiling);
		bpf_object__close(obj);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions_stay_below_their_ceilings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
