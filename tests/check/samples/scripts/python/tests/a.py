def f(:
	pass
