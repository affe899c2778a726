int a; /* TODO: b */
