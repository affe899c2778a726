void f(char *a)
{
	atoi (a);
}
