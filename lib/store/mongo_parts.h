/* What the files behind mongo.h share; nobody else includes it. */
#ifndef ZMART_STORE_MONGO_PARTS_H
#define ZMART_STORE_MONGO_PARTS_H

#include <stdatomic.h>

#include "lib/store/mongo.h"

enum { MONGO_DATABASE_SIZE = 64, MONGO_MAX_COUNTED = 16 };

struct mongo_pool {
    mongoc_client_pool_t *clients;
    enum mongo_purpose purpose;
    char database[MONGO_DATABASE_SIZE];
    char shown[STORE_SHOWN_SIZE]; /* the URL, for people */
    bool majority_reads;          /* the server can read what a majority has */
    struct metric *commands[MONGO_MAX_COUNTED]; /* by name, as in mongo.c's table */
    /* whether the store is asked at all */
    atomic_bool failing;            /* the last command that ended found no store */
    atomic_bool trying;             /* one command tries whether it is back */
    atomic_llong closed_until_ms;   /* failing: no try before */
};

struct mongo_db {
    struct mongo_pool *pool;
    mongoc_client_t *client;
    int collection_count;
    struct {
        const char *name; /* as given, compared by text */
        mongoc_collection_t *handle;
    } collections[MONGO_MAX_COLLECTIONS];
};

/* ---- mongo.c ---- */

/* Says what a failed command means; reply may be NULL. Returns the code. */
enum err mongo_failed(struct mongo_db *db, const bson_error_t *error, const bson_t *reply, struct fault *fault);
/* The command did nothing because another one was in its way. */
bool mongo_collided(const bson_error_t *error);
/* A write that has failed like this may have been done all the same, or be done yet. */
bool mongo_may_be_done(const bson_error_t *error);
/* False, and the fault set: the store is not asked at the moment. */
bool mongo_enter(struct mongo_db *db, struct fault *fault);
/* A command was answered. */
void mongo_answered(struct mongo_db *db);
mongoc_collection_t *mongo_collection(struct mongo_db *db, const char *name);

/* ---- mongo_open.c ---- */

extern const char mongo_schema_collection[];

/* Refuses, marks, makes and checks, with the first handle. */
MUST_USE enum err mongo_settle(struct mongo_db *db, const struct mongo_schema *schema, struct fault *fault);

/* ---- mongo_mark.c ---- */

/* SERVICE_UNAVAILABLE if a backup was being put into the database and that has not ended. */
MUST_USE enum err mongo_mark_refuse(struct mongo_db *db, struct fault *fault);

#endif
