#include "base/err.h"
#include "bulkhead/abi.h"
#include "policy/model.h"
#include "b.h"
#include <time.h>
/* #include "datapath/x.h" is a comment */
int connect_time;
