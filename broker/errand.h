/* What the broker itself asks of a service: a request like any other (accepted, queued, sent again, counted), whose
 * answer comes back into the core. An end is never told from within the core's own work on requests, only afterwards
 * (errands_run), so that what it does next cannot pull anything from under that work. */
#ifndef ZMART_BROKER_ERRAND_H
#define ZMART_BROKER_ERRAND_H

#include "lib/base/id.h"
#include "lib/base/text.h"
#include "proto/ops.h"

struct broker;
struct parcel;

/* status 0: there is no answer; else it is the worker's, with its body. Owns state. */
typedef void errand_end(struct broker *self, int status, struct text body, void *state);

struct errand {
    errand_end *then;
    void *state;
    int status;
    struct parcel *parcel; /* meta, body of the answer; owned */
    struct errand *prev, *next;
};

struct errand_task {
    enum op op;
    const uint8_t *request_id; /* ID_SIZE bytes; the same when it is asked again */
    const void *in;            /* the operation's request record */
    int64_t budget_ms;
    errand_end *then;
    void *state;
};

/* False: it cannot even wait for a worker; then has not been and will not be called. */
MUST_USE bool errand_start(struct broker *self, const struct errand_task *task);
/* From answer.c: the request of this errand has ended. Takes parcel (NULL: none). */
void errand_answered(struct broker *self, struct errand *errand, int status, struct parcel *parcel);
/* Tells all ends there are. */
void errands_run(struct broker *self);

#endif
