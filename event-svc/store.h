/* The event log as event-svc sees it: an append is one ordered insert of last + 1, + 2, ..., so there is never a gap,
 * and an event id is in it once. A store belongs to one loop's thread. Appends are stored when the loop's unit of work
 * ends, all of them or, on MongoDB when the store fails in between, the first ones: each is repeatable. Other verbs act
 * within the unit (SQLite) or at once (MongoDB). Nobody reads what is not durable: what the disk, or a majority, has.
 * Faults are SERVICE_UNAVAILABLE, if not said otherwise.
 *
 * Where many processes may write to one store, a lease decides which of them works: publishes, marks and purges. It
 * keeps two from doing the same work, and is not what the log's truth rests on: two at work send the same entries
 * twice. */
#ifndef ZMART_EVENT_STORE_H
#define ZMART_EVENT_STORE_H

#include "event-svc/letters.h"
#include "lib/bus/service.h"
#include "lib/store/mongo.h"
#include "lib/store/sqlite.h"
#include "proto/event.h"

struct event_stream {
    int64_t epoch;     /* since when this log counts; changes when it is restored or begun anew */
    int64_t head;      /* newest seq; 0 when empty */
    int64_t oldest;    /* oldest seq kept; head + 1 when empty */
    int64_t published; /* everything up to here has been published for certain */
};

struct event_filter {
    int64_t after;       /* only what is newer */
    int64_t last;        /* and not newer than this */
    uint32_t limit;      /* 1..EVENT_BATCH_MAX entries */
    bool every_type;     /* types is not looked at */
    const struct text_list *types; /* exact types */
    struct text user_id; /* empty: everybody's */
};

struct event_rows {
    struct event_entry *items; /* in the arena, oldest first */
    uint32_t count;
    bool has_more; /* the filter matches more than limit, or than fits the bytes of a page */
};

struct topic_rows {
    struct topic_head *items; /* topics are types here, without the closing dot */
    uint32_t count;           /* at most EVENT_TOPIC_MAX */
};

struct event_added {
    uint32_t new_count; /* those that the log had not yet */
    int64_t head;       /* newest seq when this unit of work has ended; others may have made it higher */
};

struct event_store;

struct event_store_ops {
    enum err (*stream)(struct event_store *self, struct fault *fault, struct event_stream *out);
    /* Stores the events that the log has not yet. The batch must live until the unit of work has ended. INVALID_BODY:
     * too many types. */
    enum err (*append)(struct event_store *self, const struct event_append *batch, struct fault *fault,
                       struct event_added *out);
    enum err (*page)(struct event_store *self, const struct event_filter *filter, struct arena *arena,
                     struct fault *fault, struct event_rows *out);
    enum err (*topics)(struct event_store *self, struct arena *arena, struct fault *fault, struct topic_rows *out);
    /* Remembers what has been published. CONFLICT: somebody else has the lease now. */
    enum err (*mark)(struct event_store *self, int64_t published, struct fault *fault);
    /* Drops the oldest entries while they are older than before_ms, at most max_count; the newest entry always stays,
     * so that head is never forgotten. */
    enum err (*purge)(struct event_store *self, int64_t before_ms, uint32_t max_count, struct fault *fault,
                      uint32_t *out_count);
    /* Takes the lease if nobody has it or its holder has shown no life for EVENT_LEASE_MS; ours is renewed. now_ms is
     * our own monotonic clock. *out_held: it is ours until EVENT_LEASE_MS after now_ms. */
    enum err (*lease)(struct event_store *self, int64_t now_ms, struct fault *fault, bool *out_held);
    /* Gives the lease back, so that another one need not wait. */
    enum err (*leave)(struct event_store *self, struct fault *fault);
    void (*destroy)(struct event_store *self);
    /* After a unit of work: the entries that this handle has stored since it was asked last, oldest first, as they are
     * to be found in the log; none if it does not have all of them in memory. Good until the next append. */
    void (*fresh)(struct event_store *self, struct event_rows *out);
};

struct event_store {
    const struct event_store_ops *ops;
    const struct unit_of_work *unit;
    void *handle; /* first argument of unit's functions and of letters' */
    const struct letter_store_ops *letters;
    bool many; /* other processes may write to it */
};

extern const struct mongo_schema event_mongo_schema;

/* Opens the log of a store URL; pool is the program's (lib/store/share.h), NULL on SQLite. epoch is what a log gets
 * that has none yet (writer only). metrics may be NULL. */
MUST_USE enum err event_store_open(const struct store_config *config, struct mongo_pool *pool, bool writer,
                                   int64_t epoch, struct metrics *metrics, struct fault *fault,
                                   struct event_store **out);
void event_store_destroy(struct event_store **self);

#endif
