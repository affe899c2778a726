#include "net/link.h"
