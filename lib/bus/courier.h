/* Brings requests to whichever broker is up, and answers back: what a client's I/O thread and a service's I/O thread
 * share. Owned by one thread; nothing here blocks or locks.
 *
 * A flight waits for a broker while its deadline allows, is sent to the one with the fewest flights, and goes to
 * another (same request id, attempt + 1) when that one's session ends. It ends exactly once. */
#ifndef ZMART_BUS_COURIER_H
#define ZMART_BUS_COURIER_H

#include "lib/base/funnel.h"
#include "lib/base/metrics.h"
#include "lib/bus/breakers.h"
#include "lib/bus/peer.h"

struct courier;
struct flight;

/* reply: REPLY or NACK as it came, its parts may be moved away; NULL: it ended without one, with status
 * (EXPIRED, SERVICE_UNAVAILABLE, OUTCOME_UNKNOWN). The flight is freed by the courier afterwards. */
typedef void flight_done(struct flight *flight, enum err status, struct message *reply);

struct flight {
    struct flight *prev, *next;
    struct funnel_link link; /* on the way to the I/O thread */
    struct message request;  /* head.corr is slot << 32 | generation; parts route, meta, body; kept to the end */
    int64_t deadline_ms;
    struct peer *peer; /* that has it; NULL: it waits for one */
    flight_done *done;
    void *user;
    struct breaker_line *breaker; /* that it has passed; NULL: none */
    uint32_t probe;               /* the breaker's */
    int64_t not_before_ms;        /* of one that is to be sent again */
    bool again;                   /* it has been sent before, and waits for its turn */
    bool paid;                    /* the retry budget has been charged for this turn */
    bool repeated;                /* once after a broker's 503 */
};

/* What keeps clients from making trouble worse. Without any, all is sent again at once, and nothing is refused. */
struct courier_limits {
    int64_t retry_percent; /* see retry_budget.h */
    int64_t retry_floor;
    struct breaker_settings breaker; /* percent 0: none; what services ask for passes all the same */
};

/* What a request must be to be sent. */
struct flight *flight_new(uint64_t corr, int64_t deadline_ms, flight_done *done, void *user);
void flight_destroy(struct flight **self);

/* addresses: bases of the brokers; slot_count bounds head.corr's slots. */
struct courier *courier_new(const struct peer_settings *settings, char (*bases)[BUS_ADDRESS_SIZE], int base_count,
                            int slot_count, struct metrics *metrics);
/* Ends every flight with SERVICE_UNAVAILABLE and says goodbye. */
void courier_destroy(struct courier **self);
/* Before the first flight. A request that was refused with 503 before it was begun is then sent once more when the
 * broker said it may, if there is time for that. */
void courier_limit(struct courier *self, const struct courier_limits *limits, struct metrics *metrics);
/* Takes the flight over and sends it at once if it can. An older flight with the same slot is cancelled first. */
void courier_send(struct courier *self, struct flight *flight);
/* Fills poll items, at most BUS_MAX_BROKERS; returns how many. */
int courier_poll_items(struct courier *self, zmq_pollitem_t *items);
/* Reads what has come (a bounded amount), then does what time asks for. */
void courier_work(struct courier *self, const zmq_pollitem_t *items, int64_t now_ms);
/* How long until there is something to do without a message. */
int64_t courier_wait_ms(const struct courier *self, int64_t now_ms);
/* Brokers whose session is up. */
int courier_up_count(const struct courier *self);

#endif
