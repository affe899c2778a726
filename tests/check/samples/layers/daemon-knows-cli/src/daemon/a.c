#include "cli/out.h"
