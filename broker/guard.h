/* The door of TCP sockets: a thread that answers libzmq's ZAP questions (may this key connect to that socket?) from the
 * allowlist, and reads the allowlist again when it changes, or at SIGHUP. A list that cannot be read leaves the old one
 * in force. Made before any socket is bound.
 *
 * Threads that own sockets keep a view of the list, and links: which connection belongs to which key, so that those of
 * a key that is taken out can be shut down. */
#ifndef ZMART_BROKER_GUARD_H
#define ZMART_BROKER_GUARD_H

#include <sys/socket.h>
#include <uthash.h>
#include <zmq.h>

#include "lib/base/process.h"
#include "lib/bus/key_files.h"

enum { GUARD_LOOK_EVERY_MS = 500 }; /* how often views should be refreshed */

struct guard;

/* Loads the broker's pair (--key, or KEY_BROKER_NAME) and the allowlist of the folder, and answers from then on.
 * NULL (and a message) if one of them cannot be used, or the context has such a thread already. env and the strings are
 * borrowed for the guard's life. */
struct guard *guard_new(struct env *env, const char *folder, const char *key_name, char *message, size_t message_size);
/* After every socket that it guards was closed, and every view released. */
void guard_destroy(struct guard **self);
/* Makes an unbound socket a CURVE server of this plane. False: libzmq does not want it. */
MUST_USE bool guard_set(const struct guard *self, void *socket, enum key_plane plane);

/* ---- of one thread ---- */

struct guard_list;

struct guard_link {
    int fd;
    enum key_plane plane;
    char key[KEY_TEXT_SIZE];
    struct sockaddr_storage remote;
    UT_hash_handle hh;
};

struct guard_view {
    struct guard *guard;      /* NULL: nothing is guarded */
    struct guard_list *list;  /* the one in force when it was looked at */
    unsigned generation;      /* of it */
    struct guard_link *links; /* by fd */
    struct metric *denied;    /* messages of connections whose key has no grant any more */
};

/* guard may be NULL. */
void guard_view_open(struct guard_view *self, struct guard *guard);
void guard_view_release(struct guard_view *self);
/* True when the list is another one than before. */
bool guard_view_refresh(struct guard_view *self);
const struct key_grants *guard_view_grants(const struct guard_view *self);
/* Whose connection a message came over. frame: not the first one of a message, because libzmq 4.3.4 loses that one's
 * properties after a poll, unless the socket is an XPUB. NULL if the key may not connect there (any more): this is
 * counted, and the connection is shut down. */
const struct key_grant *guard_view_grant(const struct guard_view *self, zmq_msg_t *frame, enum key_plane plane);
/* Remembers the connection behind frame as one of this key. */
void guard_view_link(struct guard_view *self, zmq_msg_t *frame, const struct key_grant *grant, enum key_plane plane);
/* Shuts down the connections of keys that may no longer have them. Returns how many. */
int guard_view_cut(struct guard_view *self);

#endif
