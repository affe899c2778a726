void f(char *a)
{
	alloca (a);
}
