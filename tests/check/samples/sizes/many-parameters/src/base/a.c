int f(int a, int (*b)(int, int), int c, int d, int e,
      int f)
{
	return 0;
}
