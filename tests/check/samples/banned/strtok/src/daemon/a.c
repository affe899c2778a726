void f(char *a)
{
	strtok (a);
}
