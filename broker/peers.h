/* Sessions: who has said HELLO, on which socket, and when something was last heard. */
#ifndef ZMART_BROKER_PEERS_H
#define ZMART_BROKER_PEERS_H

#include "broker/request.h"
#include "broker/sends.h"
#include "lib/bus/keys.h"
#include "proto/frame.h"

/* The smallest `received - sent` of a session in the last minute: what is beyond it was time in buffers. */
struct delay {
    int64_t this_us, last_us; /* minimum of this half minute and of the one before */
    int64_t since_us;
    bool known;
};

/* sent_us is by the sender's clock; 0, negative and absurd values are not counted. */
void delay_note(struct delay *self, int64_t sent_us, int64_t now_us);
/* Time that a frame spent in buffers; 0 while nothing is known. */
int64_t delay_age_us(const struct delay *self, int64_t sent_us, int64_t now_us);

struct peer {
    enum plane plane;
    uint8_t id_size;
    uint8_t id[ROUTING_ID_MAX_SIZE];
    uint32_t epoch;
    uint64_t hello_corr;
    int64_t heard_us;
    int64_t heartbeat_us;
    struct delay delay;
    char *instance; /* owned */
    char *version;  /* owned */
    char *role;     /* owned */
    char key[KEY_TEXT_SIZE]; /* of its connection; empty: keys are not asked for */
    /* workers */
    struct station *stations; /* owned array, one a service */
    int station_count;
    bool draining;
    struct parcel *metrics; /* owned: body of the last PING that had one, or NULL */
    /* clients */
    struct request *requests; /* those not ended */
    uint32_t request_count;
    UT_hash_handle hh; /* by routing id, of its plane */
};

struct peers {
    struct peer *by_id[PLANE_COUNT];
    uint32_t next_epoch;
};

struct peer *peer_find(const struct peers *self, enum plane plane, struct text id);
/* With an epoch of its own and nothing else but what is given. */
struct peer *peer_add(struct peers *self, enum plane plane, struct text id, const struct hello *hello, int64_t now_us);
/* Takes it off the table and frees it; nothing may refer to it any more. */
void peer_remove(struct peers *self, struct peer *peer);
struct text peer_id(const struct peer *peer);
uint32_t peers_count(const struct peers *self);

#endif
