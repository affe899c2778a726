int f(void)
{
	exit(1);
}
