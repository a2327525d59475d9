/* What the files behind store.h share; nobody else includes it. */
#ifndef ZMART_EVENT_STORE_PARTS_H
#define ZMART_EVENT_STORE_PARTS_H

#include "event-svc/rules.h"
#include "event-svc/store.h"
#include "event-svc/tail.h"

/* ---- opening: as event_store_open ---- */

MUST_USE enum err event_store_open_sqlite(const struct store_config *config, bool writer, int64_t epoch,
                                          struct metrics *metrics, struct fault *fault, struct event_store **out);
MUST_USE enum err event_store_open_mongo(struct mongo_pool *pool, bool writer, int64_t epoch, struct fault *fault,
                                         struct event_store **out);

/* ---- MongoDB: store_mongo.c (append and its unit of work), store_mongo_read.c, store_mongo_lease.c ---- */

struct topic_tail {
    char type[EVENT_TOPIC_SIZE];
    int64_t tseq;
};

/* What a handle knows of the log; all of it is what a majority has, so that it cannot be taken back. */
struct log_known {
    bool valid;
    int64_t head;
    uint32_t topic_count;
    struct topic_tail topics[EVENT_TOPIC_MAX];
};

struct log_mongo {
    struct event_store base; /* first: the two are cast into each other */
    struct mongo_db *db;     /* owned */
    struct log_known known;
    /* the unit of work: events that its end will store, borrowed */
    const struct event_new **pending;
    uint32_t pending_count;
    uint32_t pending_max;
    uint32_t saved_count; /* at the savepoint */
    struct event_tail tail;
    /* the lease */
    char holder[ID_HEX_SIZE]; /* our name */
    int64_t fence;            /* of our last lease */
    struct lease_sight sight;
};

extern const char event_log_collection[];    /* _id: seq, and the fields of event_entry but seq */
extern const char event_stream_collection[]; /* one document: epoch, published, topics (floors of tseq), lease */

struct log_mongo *log_of(struct event_store *self);
/* The first one to open an empty log says what its epoch is. */
MUST_USE enum err stream_make(struct mongo_db *db, int64_t epoch, struct fault *fault);
/* {_id: "stream"} */
void stream_filter(bson_t *out);
/* The stream's document, in the arena. INTERNAL if it is gone. newest: also what a majority has not yet. */
MUST_USE enum err stream_read(struct log_mongo *log, bool newest, struct arena *arena, struct fault *fault,
                              bson_t *out);
/* "topics.order:placed": where a type's floor stands in the stream's document. */
enum { TOPIC_PATH_SIZE = EVENT_TOPIC_SIZE + 8 };
const char *topic_path(struct text type, char out[TOPIC_PATH_SIZE]);
/* Brings log->known up to date. */
MUST_USE enum err log_learn(struct log_mongo *log, struct fault *fault);
struct topic_tail *topic_known(struct log_known *known, struct text type); /* NULL: not yet */

/* order:placed -> order.placed */
void topic_of_key(const char *key, char out[EVENT_TOPIC_SIZE]);

/* The other verbs. */
enum err mongo_log_stream(struct event_store *self, struct fault *fault, struct event_stream *out);
enum err mongo_log_page(struct event_store *self, const struct event_filter *filter, struct arena *arena,
                        struct fault *fault, struct event_rows *out);
enum err mongo_log_topics(struct event_store *self, struct arena *arena, struct fault *fault, struct topic_rows *out);
enum err mongo_log_mark(struct event_store *self, int64_t published, struct fault *fault);
enum err mongo_log_purge(struct event_store *self, int64_t before_ms, uint32_t max_count, struct fault *fault,
                         uint32_t *out_count);
enum err mongo_log_lease(struct event_store *self, int64_t now_ms, struct fault *fault, bool *out_held);
enum err mongo_log_leave(struct event_store *self, struct fault *fault);

/* letters_mongo.c; the handle is a struct log_mongo */
extern const struct letter_store_ops letters_mongo;

#endif
