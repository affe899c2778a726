/* hostnet.h - quarantine of hostNetwork pods. They have no interface of their own: the socket hooks
 * refuse every call from their cgroup, programs on the cgroup stop every packet of the sockets they
 * have, and those that are connected are ended. What is no inet socket (AF_PACKET) goes on until
 * its process ends (kill). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/procs.h"

struct bh_daemon;

struct bh_hostnet_who {
	const char *ns, *name; /* of the pod */
	const char *uid;       /* what its runtime says, where no manifest does; NULL: nothing */
};
/* Finds the cgroup of a hostNetwork pod of this node; -ENOENT with the sentence. The caller owns
 * *ret_dir. */
int bh_hostnet_find(struct bh_daemon *d, const struct bh_hostnet_who *who, char **ret_dir,
		    uint64_t *ret_id, struct bh_err *err);
/* Refuses every socket call of the cgroup: the first that must happen. */
int bh_hostnet_cut(struct bh_daemon *d, uint64_t id, struct bh_err *err);
void bh_hostnet_uncut(struct bh_daemon *d, uint64_t id);
/* Stops the packets of what is open. -ESTALE: the directory is another cgroup's by now. */
int bh_hostnet_stop_packets(struct bh_daemon *d, const char *dir, uint64_t id, struct bh_err *err);
/* Ends connected sockets, of cgroups below too. */
int bh_hostnet_end_sockets(struct bh_daemon *d, const char *dir, uint32_t *ret_n,
			   struct bh_err *err);
/* Kills, stops or lets go on everything in the cgroup. *ret_n: processes there were before. */
enum bh_hostnet_act { BH_HOSTNET_KILL, BH_HOSTNET_FREEZE, BH_HOSTNET_THAW };
int bh_hostnet_act(const char *dir, enum bh_hostnet_act act, uint32_t *ret_n, struct bh_err *err);
/* Sets left and named of *o: who has not ended, by o->act, or, without names, all where some do not
 * stand still. */
void bh_hostnet_left(const char *dir, struct bh_procs_round *o);
