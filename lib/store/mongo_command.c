/* Commands: writes, bulks, reads. */
#include <stdio.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/mongo_parts.h"

/* ---- writing ---- */

static int64_t counted(const bson_t *reply, const char *name)
{
    int64_t count;
    return bson_get_int(reply, name, &count) ? count : 0;
}

/* What a command's end means; done is what the driver returned. The reply is used up. */
static enum err ended(struct mongo_db *db, bool done, const bson_error_t *error, bson_t *reply, struct fault *fault)
{
    enum err e = ERR_NONE;
    if (done) {
        mongo_answered(db);
    } else {
        e = mongo_failed(db, error, reply, fault);
    }
    bson_destroy(reply);
    return e;
}

/* True when a write of one document is to be tried once more: it collided with another, and did nothing. */
static bool once_more(bool done, const bson_error_t *error, bson_t *reply, int *tries)
{
    enum { TRIES_MAX = 5 };
    if (done || !mongo_collided(error) || ++*tries >= TRIES_MAX) {
        return false;
    }
    bson_destroy(reply);
    return true;
}

enum err mongo_insert(struct mongo_db *db, const char *collection, const bson_t *document, struct fault *fault)
{
    bson_t reply;
    bson_error_t error;
    if (!mongo_enter(db, fault)) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    bool done;
    int tries = 0;
    do {
        done = mongoc_collection_insert_one(mongo_collection(db, collection), document, NULL, &reply, &error);
    } while (once_more(done, &error, &reply, &tries));
    return ended(db, done, &error, &reply, fault);
}

static enum err update_one(struct mongo_db *db, const char *collection, const bson_t *filter, const bson_t *update,
                           bool upsert, struct fault *fault, bool *out)
{
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_t reply;
    bson_error_t error;
    if (!mongo_enter(db, fault)) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    if (upsert) {
        bson_put_bool(&options, "upsert", true);
    }
    bool done;
    int tries = 0;
    do {
        done =
            mongoc_collection_update_one(mongo_collection(db, collection), filter, update, &options, &reply, &error);
    } while (once_more(done, &error, &reply, &tries));
    bool matched = counted(&reply, "matchedCount") > 0;
    enum err e = ended(db, done, &error, &reply, fault);
    if (e == ERR_NONE) {
        *out = matched;
    }
    return e;
}

enum err mongo_update(struct mongo_db *db, const char *collection, const bson_t *filter, const bson_t *update,
                      struct fault *fault, bool *out)
{
    return update_one(db, collection, filter, update, false, fault, out);
}

enum err mongo_upsert(struct mongo_db *db, const char *collection, const bson_t *filter, const bson_t *update,
                      struct fault *fault, bool *out)
{
    return update_one(db, collection, filter, update, true, fault, out);
}

enum err mongo_update_all(struct mongo_db *db, const char *collection, const bson_t *filter, const bson_t *update,
                          struct fault *fault, int64_t *out_count)
{
    bson_t reply;
    bson_error_t error;
    if (!mongo_enter(db, fault)) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    bool done = mongoc_collection_update_many(mongo_collection(db, collection), filter, update, NULL, &reply, &error);
    int64_t count = counted(&reply, "matchedCount");
    enum err e = ended(db, done, &error, &reply, fault);
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}

enum err mongo_delete_all(struct mongo_db *db, const char *collection, const bson_t *filter, struct fault *fault,
                          int64_t *out_count)
{
    bson_t reply;
    bson_error_t error;
    if (!mongo_enter(db, fault)) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    bool done = mongoc_collection_delete_many(mongo_collection(db, collection), filter, NULL, &reply, &error);
    int64_t count = counted(&reply, "deletedCount");
    enum err e = ended(db, done, &error, &reply, fault);
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}

/* ---- many writes ---- */

struct mongo_bulk {
    struct mongo_db *db;
    mongoc_bulk_operation_t *operation;
    int count;
};

struct mongo_bulk *mongo_bulk_new(struct mongo_db *db, const char *collection, bool ordered)
{
    struct mongo_bulk *self = mem_alloc(sizeof *self);
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_put_bool(&options, "ordered", ordered);
    self->db = db;
    self->operation = mongoc_collection_create_bulk_operation_with_opts(mongo_collection(db, collection), &options);
    return self;
}

/* The driver refuses only what we made wrongly. */
static void added(struct mongo_bulk *self, bool good)
{
    ASSERT(good);
    self->count++;
}

void mongo_bulk_insert(struct mongo_bulk *self, const bson_t *document)
{
    added(self, mongoc_bulk_operation_insert_with_opts(self->operation, document, NULL, NULL));
}

void mongo_bulk_update(struct mongo_bulk *self, const bson_t *filter, const bson_t *update, bool upsert)
{
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_put_bool(&options, "upsert", upsert);
    added(self, mongoc_bulk_operation_update_one_with_opts(self->operation, filter, update, &options, NULL));
}

void mongo_bulk_update_all(struct mongo_bulk *self, const bson_t *filter, const bson_t *update)
{
    added(self, mongoc_bulk_operation_update_many_with_opts(self->operation, filter, update, NULL, NULL));
}

void mongo_bulk_delete_all(struct mongo_bulk *self, const bson_t *filter)
{
    added(self, mongoc_bulk_operation_remove_many_with_opts(self->operation, filter, NULL, NULL));
}

enum err mongo_bulk_run(struct mongo_bulk **self, struct fault *fault, struct mongo_changes *out)
{
    struct mongo_bulk *bulk = *self;
    struct mongo_changes changes = {0};
    enum err e = ERR_NONE;
    if (bulk->count > 0) {
        bson_t reply;
        bson_error_t error;
        if (!mongo_enter(bulk->db, fault)) {
            mongo_bulk_destroy(self);
            return ERR_SERVICE_UNAVAILABLE;
        }
        bool done = mongoc_bulk_operation_execute(bulk->operation, &reply, &error) != 0;
        changes = (struct mongo_changes){counted(&reply, "nInserted"), counted(&reply, "nMatched"),
                                         counted(&reply, "nUpserted"), counted(&reply, "nRemoved")};
        e = ended(bulk->db, done, &error, &reply, fault);
    }
    mongo_bulk_destroy(self);
    if (out && (e == ERR_NONE || e == ERR_CONFLICT)) {
        *out = changes;
    }
    return e;
}

void mongo_bulk_destroy(struct mongo_bulk **self)
{
    if (*self) {
        mongoc_bulk_operation_destroy((*self)->operation);
        mem_free(*self);
        *self = NULL;
    }
}

/* ---- reading ---- */

void mongo_find(struct mongo_db *db, const struct mongo_query *query, struct mongo_rows *out)
{
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_t concern;
    *out = (struct mongo_rows){.db = db};
    if (!mongo_enter(db, NULL)) {
        return;
    }
    if (query->sort) {
        ASSERT(BSON_APPEND_DOCUMENT(&options, "sort", query->sort));
    }
    if (query->projection) {
        ASSERT(BSON_APPEND_DOCUMENT(&options, "projection", query->projection));
    }
    if (query->limit > 0) {
        bson_put_int(&options, "limit", query->limit);
        bson_put_int(&options, "batchSize", query->limit);
    }
    if (query->skip > 0) {
        bson_put_int(&options, "skip", query->skip);
    }
    if (query->newest && db->pool->majority_reads) {
        ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&options, "readConcern", &concern));
        bson_put_text(&concern, "level", TEXT(MONGOC_READ_CONCERN_LEVEL_LOCAL));
        ASSERT(bson_append_document_end(&options, &concern));
    }
    out->cursor =
        mongoc_collection_find_with_opts(mongo_collection(db, query->collection), query->filter, &options, NULL);
}

bool mongo_next(struct mongo_rows *rows, const bson_t **out)
{
    return rows->cursor && mongoc_cursor_next(rows->cursor, out);
}

enum err mongo_rows_end(struct mongo_rows *rows, struct fault *fault)
{
    bson_error_t error;
    const bson_t *reply = NULL;
    enum err e = ERR_NONE;
    if (!rows->cursor) {
        fault_cause(fault, "mongodb: did not answer a moment ago");
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the store does not answer");
    }
    if (mongoc_cursor_error_document(rows->cursor, &error, &reply)) {
        e = mongo_failed(rows->db, &error, reply, fault);
    } else {
        mongo_answered(rows->db);
    }
    mongoc_cursor_destroy(rows->cursor);
    rows->cursor = NULL;
    return e;
}

enum err mongo_find_one(struct mongo_db *db, const struct mongo_query *query, struct arena *arena, struct fault *fault,
                        bson_t *out, bool *out_found)
{
    struct mongo_query one = *query;
    struct mongo_rows rows;
    const bson_t *document;
    const uint8_t *kept = NULL;
    uint32_t size = 0;
    one.limit = 1;
    mongo_find(db, &one, &rows);
    if (mongo_next(&rows, &document)) {
        size = document->len;
        kept = (const uint8_t *)arena_copy(arena, bson_get_data(document), size);
    }
    enum err e = mongo_rows_end(&rows, fault);
    if (e == ERR_NONE) {
        *out_found = kept != NULL;
        ASSERT(!kept || bson_init_static(out, kept, size));
    }
    return e;
}

/* ---- parts of filters ---- */

void mongo_put_in(bson_t *to, const char *key, const struct text *values, uint32_t count)
{
    bson_t part;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, key, &part));
    bson_put_texts(&part, "$in", values, count);
    ASSERT(bson_append_document_end(to, &part));
}

void mongo_put_compare(bson_t *to, const char *key, const char *operator, int64_t value)
{
    bson_t part;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, key, &part));
    bson_put_int(&part, operator, value);
    ASSERT(bson_append_document_end(to, &part));
}

void mongo_put_exists(bson_t *to, const char *key, bool value)
{
    bson_t part;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, key, &part));
    bson_put_bool(&part, "$exists", value);
    ASSERT(bson_append_document_end(to, &part));
}

void mongo_put_unset(bson_t *to, const char *const *names)
{
    bson_t part;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, "$unset", &part));
    for (; *names; names++) {
        bson_put_text(&part, *names, TEXT(""));
    }
    ASSERT(bson_append_document_end(to, &part));
}
