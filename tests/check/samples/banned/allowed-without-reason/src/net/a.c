void f(void)
{
	abort();
}
