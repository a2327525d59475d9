/* The outbox on MongoDB: an event lies in an array `outbox` of the document that caused it, written in the same act and
 * pulled out when event-svc has it. A loop hands over at once what it wrote itself, because it knows which documents
 * those are; what a crash left is found by age, by one index, and handed over by loop 0 of any process. A document's
 * events are handed over in order, whoever does it.
 *
 * A verb puts the event into its insert (outbox_mongo_put) or its update (outbox_mongo_push) and says afterwards which
 * document has it (outbox_mongo_wrote), also when the outcome is unknown. The event of a document that was just made is
 * the first one of it, and is handed over without a look (outbox_mongo_inserted); to one that was there before, others
 * may have added events that must go first. */
#ifndef ZMART_STORE_OUTBOX_MONGO_H
#define ZMART_STORE_OUTBOX_MONGO_H

#include "lib/store/mongo.h"
#include "lib/store/outbox.h"

/* Each collection whose documents have an outbox needs this in its schema. */
#define OUTBOX_MONGO_INDEX(collection) {collection, "outbox", {"outbox.at"}, false, true}

enum { OUTBOX_MONGO_LEFT_MS = 5000 }; /* events older than that were left by somebody */

/* The handle is borrowed. collections: NULL-terminated, its own; literals. */
struct outbox_source *outbox_mongo_new(struct mongo_db *db, const char *const *collections);
/* outbox: [event], for an insert; nothing if event is NULL. */
void outbox_mongo_put(bson_t *document, const struct event_new *event);
/* $push: {outbox: event}, for an update that has no other $push; nothing if event is NULL. */
void outbox_mongo_push(bson_t *update, const struct event_new *event);
/* The same of several events, in this order; those that are NULL are left out. */
void outbox_mongo_push_all(bson_t *update, const struct event_new *const *events, size_t count);
/* The insert has made this document, with this event. */
void outbox_mongo_inserted(struct outbox_source *self, const char *collection, struct text id,
                           const struct event_new *event);
/* The document may have an event of ours. */
void outbox_mongo_wrote(struct outbox_source *self, const char *collection, struct text id);

#endif
