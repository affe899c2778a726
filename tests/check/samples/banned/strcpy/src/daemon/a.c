void f(char *a)
{
	strcpy (a);
}
