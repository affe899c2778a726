int f(void)
{
	/* time() in words is fine */
	return clock_gettime(0, 0);
}
