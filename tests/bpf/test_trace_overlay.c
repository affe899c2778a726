/* Overlayfs may be a module that nobody asked for yet: then its types are not there, and no file
 * would be of an image. So the tracer asks for it, and before it loads anything. A filter on this
 * process's own calls sees it, and says that there is no such file system; tracing then goes on
 * without it. */
#include <glob.h>
#include <seccomp.h>
#include <ucontext.h>

#include "dp_env.h"

#include "datapath/trace.h"

static struct asked {
	int n;
	char fs[16];
	bool was_loaded; /* by then */
} asked;

static bool is_loaded(void)
{
	glob_t found = {0};
	bool is = glob(DP_BPFFS "/*/maps/trace_config", 0, NULL, &found) == 0;

	globfree(&found);
	return is;
}

/* In place of the call. */
static void on_call(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	const char *fs = "";

	(void)signo;
	if (info->si_syscall != SYS_fsopen)
		return;
#if defined(__x86_64__)
	fs = (const char *)uc->uc_mcontext.gregs[REG_RDI];
	uc->uc_mcontext.gregs[REG_RAX] = -ENODEV;
#elif defined(__aarch64__)
	fs = (const char *)uc->uc_mcontext.regs[0];
	uc->uc_mcontext.regs[0] = (unsigned long long)-ENODEV;
#endif
	asked.n++;
	snprintf(asked.fs, sizeof(asked.fs), "%.15s", fs);
	asked.was_loaded = is_loaded();
}

static void overlayfs_is_asked_for_before_its_types_are_needed(void **state)
{
	struct sigaction act = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct dp_env *e = *state;
	struct bh_trace *t;
	struct bh_err err;

	assert_int_equal(sigaction(SIGSYS, &act, NULL), 0);
	assert_int_equal(seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(fsopen), 0), 0);
	assert_int_equal(seccomp_load(filter), 0);
	seccomp_release(filter);
	assert_false(is_loaded());
	bh_assert_ok(&err, bh_trace_open(e->dp, &t, &err));
	assert_true(is_loaded());
	assert_int_equal(asked.n, 1);
	assert_string_equal(asked.fs, "overlay");
	assert_false(asked.was_loaded);
	bh_trace_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(overlayfs_is_asked_for_before_its_types_are_needed,
						dp_setup, dp_teardown),
	};

	if (!dp_isolate()) {
		puts("needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
