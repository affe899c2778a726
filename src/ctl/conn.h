/* conn.h - one client of the control server: its frames, its request, its bounded output. Internal
 * to src/ctl; server.c owns the listening socket and decides who is let in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ctl/server.h"

struct bh_conn;

struct bh_conn_list {
	struct bh_loop *loop;
	struct bh_conn *first;
	uint64_t idle_ms; /* see bh_server_set_idle */
	bh_server_fn *fn;
	void *arg;
};

/* Adds a connection, which owns *take_fd from then on (also when this fails). */
int bh_conn_open(struct bh_conn_list *l, int *take_fd, const struct ucred *peer,
		 struct bh_err *err);
/* Ends all of them; on_gone runs for open requests. */
void bh_conn_list_close(struct bh_conn_list *l);
/* How many there are for whose uid fn(uid, arg) holds. */
size_t bh_conn_list_count(const struct bh_conn_list *l, bool (*fn)(uid_t uid, uid_t arg),
			  uid_t arg);
/* Ends the connection of that uid (any: of any) that has been there longest without asking anything
 * now. false: all of them are busy. */
bool bh_conn_list_drop_idle(struct bh_conn_list *l, bool any, uid_t uid);
/* {"error":{...}}; NULL when memory ran out. */
json_t *bh_conn_error_body(const struct bh_err *error, bool retry);
