/* a copy */
long g(int total)
{
		total = step_1(total, 1); /* x */
		total = step_2(total, 2); /* x */
		total = step_3(total, 3); /* x */
		total = step_4(total, 4); /* x */
		total = step_5(total, 5); /* x */

		total = step_6(total, 6); /* x */
		total = step_7(total, 7); /* x */
		total = step_8(total, 8); /* x */
		total = step_9(total, 9); /* x */
		total = step_10(total, 10); /* x */
		total = step_11(total, 11); /* x */
	total++;
	return 0;
}
