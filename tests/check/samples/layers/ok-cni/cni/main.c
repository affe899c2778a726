#include <net/if.h>
#include "ctl/client.h"
