/* A request that the broker has promised to end, from its acceptance to its end, and the table they live in.
 *
 *     QUEUED   waits in its service's queue                       in: queue, client's list, wheel
 *     SENT     a worker has it                                    in: station's list, client's list, wheel
 *     ENDED    the client has its answer, the worker still works  in: station's list (it holds the worker's credit) */
#ifndef ZMART_BROKER_REQUEST_H
#define ZMART_BROKER_REQUEST_H

#include "broker/parcel.h"
#include "broker/table.h"
#include "lib/base/id.h"

struct errand;
struct peer;
struct service;
struct station;

enum request_state { REQUEST_FREE, REQUEST_QUEUED, REQUEST_SENT, REQUEST_ENDED };

/* Whom an answer goes to. */
struct caller {
    struct peer *client; /* NULL: it has left, or the broker itself asks */
    uint64_t corr;       /* directly behind client: both together are the key of CANCEL */
    uint8_t request_id[ID_SIZE];
    uint8_t attempt;
    uint8_t flags; /* frame_flags of the request */
    struct errand *errand; /* the broker's own, whose end it is; NULL: none */
    uint32_t queue_us;
};

struct request {
    struct caller caller;
    enum request_state state;
    uint32_t slot;       /* index in the table */
    uint32_t generation; /* another at every dispatch */
    uint8_t priority;
    bool begun;        /* a worker has or had it */
    bool begun_before; /* the same, before the present dispatch */
    bool unsent;       /* the present dispatch never left */
    bool partial;      /* a part of the answer has gone out */
    uint64_t death;    /* it was a dead letter, of this death; 0: it was none */
    uint8_t shelf;     /* of the queue that it waits in */
    struct service *service;
    struct station *station; /* SENT, ENDED */
    struct parcel *parcel;   /* route, meta, body; owned; NULL when ENDED */
    struct text key;         /* affinity; points into the parcel */
    int64_t deadline_us;
    int64_t queued_us;                         /* since when it waits */
    uint64_t order;                            /* in which it came */
    struct request *prev, *next;               /* queue or station */
    struct request *client_prev, *client_next; /* the client's */
    struct request *wheel_prev, *wheel_next;
    uint32_t wheel_slot;
    UT_hash_handle hh; /* by client and corr */
};

struct requests {
    struct request **slots; /* grows; freed entries are used again */
    struct request *free_list;
    struct request *by_caller;
    uint32_t count; /* slots in use or in the free list */
    uint32_t live;  /* in use */
    uint32_t max;
};

void requests_init(struct requests *self, uint32_t max);
/* Everything must have been freed. */
void requests_release(struct requests *self);
/* NULL when max is reached. Zeroed but for slot and generation. */
struct request *request_take(struct requests *self);
void request_free(struct requests *self, struct request *request);
/* The number by which a worker names its present dispatch; never 0. */
uint64_t request_dispatch_id(const struct request *request);
/* Makes all numbers given out so far invalid. */
void request_renumber(struct request *request);
/* NULL if no request in use has this number. */
struct request *request_by_dispatch(const struct requests *self, uint64_t dispatch_id);

/* The client's index. A corr that is used twice finds the older one's place taken: the newer one is not indexed. */
void request_index(struct requests *self, struct request *request);
void request_unindex(struct requests *self, struct request *request);
struct request *request_by_caller(const struct requests *self, struct peer *client, uint64_t corr);

#endif
