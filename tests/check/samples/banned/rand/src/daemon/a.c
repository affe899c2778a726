void f(char *a)
{
	rand (a);
}
