void f(char *a)
{
	system (a);
}
