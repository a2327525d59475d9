/* The outbox: an event is stored in the same write as its cause, handed to event-svc afterwards (event.append,
 * repeatable by event id), and cleared when event-svc has it. At most one append of a loop is under way.
 *
 * A store's verbs take their event (a struct event_new, NULL for none) and store it in the same act. Where it lies
 * until it is handed over is the store's business, and its struct outbox_source says so to the relay here:
 * a table beside the others on SQLite (outbox_sqlite.h), the document that caused it on MongoDB (outbox_mongo.h).
 *
 * A service calls outbox_relay from service.committed on each loop that writes, and outbox_sweep from a timer of about
 * a second on loop 0, which finds what a crash or a silent event-svc has left. */
#ifndef ZMART_STORE_OUTBOX_H
#define ZMART_STORE_OUTBOX_H

#include "lib/bus/service.h"
#include "proto/event.h"

enum { OUTBOX_PAGE_MAX_SIZE = 1024 * 1024 }; /* packed events in one append, so that it fits a request's body */

/* What one append hands over. */
struct outbox_page {
    struct event_append append; /* EVENT_BATCH_MAX and OUTBOX_PAGE_MAX_SIZE at most, but one event always fits */
    bool more;                  /* others are waiting */
    void *mark;                 /* the source's own: what to clear; in the arena */
};

struct outbox_source;

struct outbox_source_ops {
    /* The oldest events that nobody has handed over; those of one subject in the order in which they happened. */
    enum err (*look)(struct outbox_source *self, struct arena *arena, struct fault *fault, struct outbox_page *out);
    /* The same page, if it is known without asking the store; otherwise false, and nothing is done. NULL: it never is.
     */
    bool (*recall)(struct outbox_source *self, struct arena *arena, struct fault *fault, struct outbox_page *out);
    /* event-svc has this page. */
    enum err (*clear)(struct outbox_source *self, const struct outbox_page *page, struct fault *fault);
    /* The next looks are to find also what others left; NULL if they do anyway. */
    void (*sweep)(struct outbox_source *self);
    void (*destroy)(struct outbox_source **self);
};

/* First member of each implementation; of one loop, owned by its store. */
struct outbox_source {
    const struct outbox_source_ops *ops;
    bool waiting; /* there may be events to hand over: set by whoever stores one */
};

struct outbox; /* of one loop; owned by the service's state */

/* The source is borrowed, and looked at once in any case. */
struct outbox *outbox_new(struct outbox_source *source);
void outbox_destroy(struct outbox **self);
/* Starts handing over what waits, unless that is under way. On the loop's own thread. */
void outbox_relay(struct service_loop *loop, struct outbox *self);
/* The same, and also of what others left. */
void outbox_sweep(struct service_loop *loop, struct outbox *self);

void outbox_source_destroy(struct outbox_source **self);

/* For sources. Adds one packed event to the page: false if the page is full, and says so there. The event's texts lie
 * in packed. INTERNAL (in *out_err, with a cause) if it cannot be read. */
bool outbox_page_add(struct outbox_page *page, size_t *size, struct text packed, struct arena *arena,
                     struct fault *fault, enum err *out_err);

#endif
