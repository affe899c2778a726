void f(char *a)
{
	popen (a);
}
