/* What the core's own files share; nobody else includes this. */
#ifndef ZMART_BROKER_STATE_H
#define ZMART_BROKER_STATE_H

#include "broker/affinity.h"
#include "broker/broker.h"
#include "broker/errand.h"
#include "broker/letters.h"
#include "broker/peers.h"
#include "broker/services.h"
#include "broker/wheel.h"

/* How a request can end. */
enum outcome {
    OUTCOME_REPLIED,
    OUTCOME_MALFORMED,
    OUTCOME_FORBIDDEN,
    OUTCOME_UNKNOWN,
    OUTCOME_TOO_LARGE,
    OUTCOME_FULL,
    OUTCOME_LOST,
    OUTCOME_UNAVAILABLE,
    OUTCOME_EXPIRED,
    OUTCOME_CANCELLED,
    OUTCOME_ABANDONED,
    OUTCOME_COUNT
};

struct meters {
    struct metric *outcomes[OUTCOME_COUNT];
    struct metric *accepted, *in_flight, *redelivered, *late, *garbage, *stray, *letters, *letters_lost, *queue_time;
    struct metric *denied_hellos, *denied_requests;
    struct metric *peers[PLANE_COUNT];
};

/* Handing dead letters over to the service that keeps them, one at a time. */
struct keeper {
    bool busy;
    int64_t next_us;  /* not before */
    int64_t pause_us; /* after the last failure; 0: there was none */
    uint32_t deaths;  /* so far */
};

struct broker {
    struct broker_settings settings;
    struct broker_counts counts;
    struct meters meters;
    struct peers peers;
    struct services services;
    struct affinity affinity;
    struct requests requests;
    struct wheel wheel;
    struct letters letters; /* those that the keeper has not confirmed */
    struct keeper keeper;
    struct errand *errands_ended;
    struct sends sends;
    const struct key_grant *speaker; /* whose key sent what is received now; NULL: keys are not asked for */
    size_t held_size; /* of all requests that have not ended */
    int64_t now_us, start_us, tick_us, sweep_us;
    bool draining, stopped;
};

#endif
