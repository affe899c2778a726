#include <locale.h>

#include "base/json.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
	bh_json_forgets();
	setlocale(LC_CTYPE, "C.UTF-8");
	return bh_cli_main(argc, argv, stdout, stderr);
}
