/* MongoDB as the services use it: one document changes atomically, nothing more is assumed. So it runs on a stand-alone
 * server, a replica set, a sharded cluster and servers that speak the same protocol.
 *
 * A program has one pool, shared by its loops, and each loop a handle of its own. Writes are acknowledged by a majority
 * and journaled; everything is read from the primary, what a majority has, where the server can do that. The driver
 * repeats writes and reads once where the topology allows.
 *
 * Errors: no network, no primary, a full disk, a failure within the server are SERVICE_UNAVAILABLE. So are no answer in
 * time, a lost connection and a missing majority when something was read; when it was written, they are
 * OUTCOME_UNKNOWN: it may have happened, or happens yet, and every verb of a store is repeatable. A unique index that
 * refuses is CONFLICT. A write of one document that collided with another is tried again, 5 times at most, then
 * SERVICE_UNAVAILABLE. Anything else is INTERNAL with the cause for the log. After a store that did not answer commands
 * fail at once for a moment, then one at a time tries again, so that a silent server does not hold every loop for
 * --store-answer-ms. */
#ifndef ZMART_STORE_MONGO_H
#define ZMART_STORE_MONGO_H

#include <mongoc/mongoc.h>

#include "lib/base/metrics.h"
#include "lib/store/bson_record.h"
#include "lib/store/url.h"
#include "proto/fault.h"

enum { MONGO_INDEX_MAX_KEYS = 5, MONGO_MAX_COLLECTIONS = 16, MONGO_DEFAULT_LOOPS = 16 };

struct mongo_index {
    const char *collection;
    const char *name;
    const char *keys[MONGO_INDEX_MAX_KEYS]; /* paths; descending with a leading '-'; up to the first NULL */
    bool unique;
    bool sparse;
};

/* What a service keeps in the database, beside others' collections. */
struct mongo_schema {
    const char *service; /* its document in zmart_schema, which holds the version */
    int version;         /* a database with a higher one is refused */
    const struct mongo_index *indexes;
    size_t index_count;
};

struct mongo_pool; /* thread-safe */
struct mongo_db;   /* of one thread */

/* Connects to the database that the URL names ("zmart" if none), refuses one that is another's, a newer zmart's, or
 * filled by a restore that has not ended, and makes and checks the indexes. The fault's detail is one line that says
 * what to do; it holds no password. metrics may be NULL; counts zmart_store_commands_total by command. */
MUST_USE enum err mongo_pool_open(const struct store_config *config, const struct mongo_schema *schema,
                                  struct metrics *metrics, struct fault *fault, struct mongo_pool **out);
enum mongo_purpose {
    MONGO_SERVES,
    MONGO_BACKS_UP, /* refuses an empty database, and makes nothing of it */
    MONGO_RESTORES  /* may open a database that is marked as unfinished (mongo_mark.h) */
};
/* The same for something else than serving. */
MUST_USE enum err mongo_pool_open_for(const struct store_config *config, const struct mongo_schema *schema,
                                      enum mongo_purpose purpose, struct fault *fault, struct mongo_pool **out);
/* After its handles. */
void mongo_pool_destroy(struct mongo_pool **self);

struct mongo_db *mongo_db_new(struct mongo_pool *pool);
void mongo_db_destroy(struct mongo_db **self);

/* ---- writing: one round trip each ---- */

/* CONFLICT if a unique index (the id's, too) refuses it. */
MUST_USE enum err mongo_insert(struct mongo_db *db, const char *collection, const bson_t *document,
                               struct fault *fault);
/* Changes the one document that the filter finds. *out: whether there was one. */
MUST_USE enum err mongo_update(struct mongo_db *db, const char *collection, const bson_t *filter, const bson_t *update,
                               struct fault *fault, bool *out);
/* The same, or inserts one made of the filter's equalities and the update. *out: whether there was one before. */
MUST_USE enum err mongo_upsert(struct mongo_db *db, const char *collection, const bson_t *filter, const bson_t *update,
                               struct fault *fault, bool *out);
/* Changes or deletes all that the filter finds; each document for itself. */
MUST_USE enum err mongo_update_all(struct mongo_db *db, const char *collection, const bson_t *filter,
                                   const bson_t *update, struct fault *fault, int64_t *out_count);
MUST_USE enum err mongo_delete_all(struct mongo_db *db, const char *collection, const bson_t *filter,
                                   struct fault *fault, int64_t *out_count);

/* Many writes in one round trip for each run of the same kind. ordered: the first that fails ends it. Otherwise they
 * are done by kind and id, so that several at once are less in one another's way, and each of them is tried. The first
 * error is told; what else was done stays done. */
struct mongo_bulk;
struct mongo_bulk *mongo_bulk_new(struct mongo_db *db, const char *collection, bool ordered);
void mongo_bulk_insert(struct mongo_bulk *self, const bson_t *document);
void mongo_bulk_update(struct mongo_bulk *self, const bson_t *filter, const bson_t *update, bool upsert);
void mongo_bulk_update_all(struct mongo_bulk *self, const bson_t *filter, const bson_t *update);
void mongo_bulk_delete_all(struct mongo_bulk *self, const bson_t *filter);
struct mongo_changes {
    int64_t inserted, matched, upserted, deleted;
};
/* Runs and frees it; one without writes does nothing. *out (may be NULL) is set also on CONFLICT. */
MUST_USE enum err mongo_bulk_run(struct mongo_bulk **self, struct fault *fault, struct mongo_changes *out);
void mongo_bulk_destroy(struct mongo_bulk **self);

/* ---- reading ---- */

struct mongo_query {
    const char *collection;
    const bson_t *filter;
    const bson_t *sort;       /* NULL: any order */
    const bson_t *projection; /* NULL: whole documents */
    int64_t limit;            /* 0: all; otherwise they come in one round trip (up to 16 MiB) */
    bool newest;              /* also what a majority has not confirmed yet: to decide nothing by, but what to try */
    int64_t skip;             /* documents that are left out first; the server walks over them */
};

struct mongo_rows {
    struct mongo_db *db;
    mongoc_cursor_t *cursor; /* NULL: the store is not asked at the moment */
};

/* Documents one after the other:
 *     struct mongo_rows rows;
 *     mongo_find(db, &query, &rows);
 *     while (mongo_next(&rows, &document)) { ... }
 *     e = mongo_rows_end(&rows, fault);        always, also after leaving the loop early
 * A document is good until the next one. */
void mongo_find(struct mongo_db *db, const struct mongo_query *query, struct mongo_rows *out);
bool mongo_next(struct mongo_rows *rows, const bson_t **out);
MUST_USE enum err mongo_rows_end(struct mongo_rows *rows, struct fault *fault);

/* The first one, in the arena. *out_found says whether there is one. */
MUST_USE enum err mongo_find_one(struct mongo_db *db, const struct mongo_query *query, struct arena *arena,
                                 struct fault *fault, bson_t *out, bool *out_found);

/* The documents' records under this key; at most query->limit, for which items has room. Texts are in the arena. */
MUST_USE enum err mongo_find_records(struct mongo_db *db, const struct mongo_query *query, const char *key,
                                     const struct record *record, struct arena *arena, struct fault *fault, void *items,
                                     uint32_t *out_count);
/* The one of this id. NOT_FOUND (the fault is left alone). */
MUST_USE enum err mongo_find_record(struct mongo_db *db, const char *collection, struct text id, const char *key,
                                    const struct record *record, struct arena *arena, struct fault *fault, void *out);

/* Deletes the first documents that the query finds, query->limit at most, whatever has become of them meanwhile: 2
 * commands, or 1 if there is nothing. Their ids are texts. */
MUST_USE enum err mongo_delete_found(struct mongo_db *db, const struct mongo_query *query, struct fault *fault,
                                     uint32_t *out_count);

/* ---- parts of filters ---- */

/* key: {$in: [...]} */
void mongo_put_in(bson_t *to, const char *key, const struct text *values, uint32_t count);
/* key: {operator: value}, as {"$lt": 5} */
void mongo_put_compare(bson_t *to, const char *key, const char *operator, int64_t value);
/* key: {$exists: value} */
void mongo_put_exists(bson_t *to, const char *key, bool value);
/* key: {name: ""}, for {$unset: {name: ""}}; names end with NULL */
void mongo_put_unset(bson_t *to, const char *const *names);

#endif
