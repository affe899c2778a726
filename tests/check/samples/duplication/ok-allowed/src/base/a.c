int f(int total)
{
	total = step_1(total, 1);
	total = step_2(total, 2);
	total = step_3(total, 3);
	total = step_4(total, 4);
	total = step_5(total, 5);
	total = step_6(total, 6);
	total = step_7(total, 7);
	total = step_8(total, 8);
	total = step_9(total, 9);
	total = step_10(total, 10);
	total = step_11(total, 11);
	total++;
	return total;
}
