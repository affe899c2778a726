void f(char *a)
{
	strcat (a);
}
