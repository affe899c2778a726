#include "pod.skel.h"
