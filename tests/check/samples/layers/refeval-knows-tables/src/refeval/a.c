#include  "policy/tables.h"
