/* libzmq sockets with all the options that this broker wants, bound; and the right to bind them.
 *
 * Without keys the bus lives in an ipc directory that only its owner can enter, or in the process itself; on TCP there
 * is only the read-only event socket, on loopback. With keys every TCP socket is a CURVE server. An ipc address can be
 * bound twice without an error, which silently steals it: a lock file in its directory prevents that. */
#ifndef ZMART_BROKER_SOCKET_H
#define ZMART_BROKER_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/guard.h"
#include "lib/bus/address.h"

/* Locks that are held while the addresses are in use, and the paths of the sockets that they guard. */
enum { CLAIM_MAX_LOCKS = 3, CLAIM_MAX_PATHS = 9 };
struct claims {
    bool keys;              /* sockets will ask for keys: TCP is fine */
    bool insecure_loopback; /* --bus may be TCP on loopback all the same */
    int locks[CLAIM_MAX_LOCKS];
    int count;
    char paths[CLAIM_MAX_PATHS][BUS_ADDRESS_SIZE];
    int path_count;
};

/* The base address of --bus: creates its ipc directory (mode 0700) if it is missing, locks it, removes what a dead
 * broker has left there. False, with a message that names the flag, if it must not be bound. */
MUST_USE bool claim_bus(struct claims *claims, const char *base, char *message, size_t message_size);
/* The same for the address of --events; the directory of an ipc address is the user's own affair. */
MUST_USE bool claim_events(struct claims *claims, const char *address, char *message, size_t message_size);
/* The base address of --operators, an ipc directory: as claim_bus. */
MUST_USE bool claim_operators(struct claims *claims, const char *base, char *message, size_t message_size);
/* After socket_close: removes the sockets' paths, which libzmq leaves where they are, and then the locks. */
void claims_release(struct claims *claims);

struct socket_settings {
    void *context;    /* libzmq's */
    int type;         /* ZMQ_ROUTER, ZMQ_XPUB, ... */
    int hwm;          /* messages a peer, both ways; over 0 */
    int64_t max_size; /* bytes of a frame that is received */
    const struct guard *guard; /* of sockets on TCP; NULL: none */
    enum key_plane plane;      /* for the guard */
};

/* Whether a socket with this address asks for keys. */
bool socket_is_guarded(const struct guard *guard, const char *address);
/* NULL (and a message) if the address cannot be bound. Close it with socket_close. */
void *socket_open(const struct socket_settings *settings, const char *address, char *message, size_t message_size);
/* Binds it to one address more. */
MUST_USE bool socket_bind(void *socket, const char *address, char *message, size_t message_size);
/* Lets what is queued leave for linger_ms after this returns. NULL is allowed. */
void socket_close(void **socket, int linger_ms);

#endif
