#include <net/link.h>
