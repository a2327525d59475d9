/* A TCP proxy before a MongoDB server that spoils one command: the N-th that a driver sends over it, not counting what
 * drivers say among themselves (hello, ...). */
#ifndef ZMART_TESTS_MONGO_PROXY_H
#define ZMART_TESTS_MONGO_PROXY_H

#include <stdbool.h>

#include "tests/mongo/database.h"

enum spoil {
    SPOIL_REQUEST, /* the command does not reach the server, the connection breaks */
    SPOIL_REPLY,   /* it is done, the connection breaks before the answer */
    SPOIL_SILENCE, /* it is done, no answer comes */
    SPOIL_LATE,    /* no answer comes, and it is done only after the driver has given up */
    SPOIL_COUNT
};

/* How long drivers wait for answers while commands are spoilt like that: a moment only where no answer comes. A
 * machine that is busy then makes nothing fail that was not to fail. */
enum { SPOIL_SOON_MS = 400, SPOIL_PATIENT_MS = 20000 };
static inline int spoil_answer_ms(enum spoil how)
{
    return how == SPOIL_SILENCE || how == SPOIL_LATE ? SPOIL_SOON_MS : SPOIL_PATIENT_MS;
}

struct mongo_proxy;

/* Listens on a free port of the loopback interface; *out_url is server_url over it. */
struct mongo_proxy *mongo_proxy_start(const char *server_url, char out_url[TEST_URL_SIZE]);
void mongo_proxy_stop(struct mongo_proxy **self);
/* From now on command 0, 1, 2 ... are counted, and the n-th is spoilt; n < 0: none. */
void mongo_proxy_spoil(struct mongo_proxy *self, int n, enum spoil how);
/* Whether that has happened. */
bool mongo_proxy_spoilt(struct mongo_proxy *self);
/* Waits until everything that drivers have sent has been done, also what was late, and what they no longer wait for. */
void mongo_proxy_settle(struct mongo_proxy *self);

#endif
