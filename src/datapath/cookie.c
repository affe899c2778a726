#include "datapath/private.h"

int bh_datapath_set_cookie(struct bh_datapath *dp, uint64_t cookie, uint32_t slot,
			   struct bh_err *err)
{
	struct bh_kbatch b = {&cookie, &slot, 1};

	return bh_kmap_write(&dp->fault, &dp->map[BH_M_SLOT_COOKIE], &b, err);
}
