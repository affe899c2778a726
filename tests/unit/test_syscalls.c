/* Names and numbers of system calls, of 32-bit programs too. */
#include "bh_test.h"
#include "policy/syscalls.h"

static int here(const char *name)
{
	int nr = bh_syscall_number(name);

	assert_true(nr > 0);
	return nr;
}

static void test_calls_of_i386(void **state)
{
	static const struct {
		unsigned number; /* arch/x86/entry/syscalls/syscall_32.tbl */
		const char *name;
	} rows[] = {
		{26, "ptrace"},	     {21, "mount"},   {22, "umount2"},	    {357, "bpf"},
		{101, "ioperm"},     {359, "socket"}, {18, "stat"},	    {195, "stat"},
		{300, "newfstatat"}, {90, "mmap"},    {192, "mmap"},	    {23, "setuid"},
		{213, "setuid"},     {7, "wait4"},    {67, "rt_sigaction"}, {422, "futex"},
		{142, "select"},     {109, "uname"},
	};

	(void)state;
	for (size_t i = 0; i < BH_ARRAY_SIZE(rows); i++)
		assert_int_equal(bh_syscall_of_i386(rows[i].number), here(rows[i].name));
	assert_int_equal(bh_syscall_of_i386(17), 0);  /* break: nobody has it any more */
	assert_int_equal(bh_syscall_of_i386(102), 0); /* its first argument says */
	assert_int_equal(bh_syscall_of_i386(511), 0);
}

static void test_calls_in_one(void **state)
{
	(void)state;
	assert_int_equal(bh_syscall_of_socketcall(0), 0);
	assert_int_equal(bh_syscall_of_socketcall(1), here("socket"));
	assert_int_equal(bh_syscall_of_socketcall(9), here("sendto"));
	assert_int_equal(bh_syscall_of_socketcall(20), here("sendmmsg"));
	assert_int_equal(bh_syscall_of_socketcall(21), 0);
	assert_int_equal(bh_syscall_of_ipc(5), 0);
	assert_int_equal(bh_syscall_of_ipc(23), here("shmget"));
	assert_int_equal(bh_syscall_of_ipc(25), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_of_i386),
		cmocka_unit_test(test_calls_in_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
