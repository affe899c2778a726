/* strcpy(a), goto */
int f(void)
{
	x->system(1);
	bh_strcpy(a);
	snprintf(a, 1, "gets(");
	ops.exec_rand(1);
	_exit(1);
}
