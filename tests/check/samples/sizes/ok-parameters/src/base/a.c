int f(int a, int (*b)(int, int), int c, int d, int e, struct x **ret_x, struct bh_err *err)
{
	return 0;
}
int __attribute__((format(printf, 1, 2))) g(const char *fmt, ...)
{
	return 0;
}
