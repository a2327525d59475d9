/* Commands: writes, bulks, reads. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/mongo_parts.h"

/* ---- writing ---- */

static int64_t counted(const bson_t *reply, const char *name)
{
    int64_t count;
    return bson_get_int(reply, name, &count) ? count : 0;
}

/* Who is refused asks for the same again, and may do so with another request: only where it is certain that nothing was
 * done. */
static enum err write_failed(struct mongo_db *db, const bson_error_t *error, const bson_t *reply, struct fault *fault)
{
    enum err e = mongo_failed(db, error, reply, fault);
    if (e == ERR_SERVICE_UNAVAILABLE && mongo_may_be_done(error)) {
        e = fault_set(fault, ERR_OUTCOME_UNKNOWN, "the store has not said whether it was done");
        if (fault) {
            fault->retry_after_s = 0;
        }
    }
    return e;
}

/* What a write's end means; done is what the driver returned. The reply is used up. */
static enum err ended(struct mongo_db *db, bool done, const bson_error_t *error, bson_t *reply, struct fault *fault)
{
    enum err e = ERR_NONE;
    if (done) {
        mongo_answered(db);
    } else {
        e = write_failed(db, error, reply, fault);
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

enum write_kind { WRITE_INSERT, WRITE_UPDATE, WRITE_UPSERT, WRITE_UPDATE_ALL, WRITE_DELETE_ALL };

struct bulk_write {
    enum write_kind kind;
    int index;       /* in the order of their adding */
    bson_t *what;    /* the document, or the filter; owned */
    bson_t *change;  /* owned; NULL where there is none */
    struct text id;  /* the _id in what; empty: none, or no text */
};

struct mongo_bulk {
    struct mongo_db *db;
    const char *collection;
    bool ordered;
    struct bulk_write *writes;
    int count, room;
};

struct mongo_bulk *mongo_bulk_new(struct mongo_db *db, const char *collection, bool ordered)
{
    struct mongo_bulk *self = mem_alloc(sizeof *self);
    *self = (struct mongo_bulk){.db = db, .collection = collection, .ordered = ordered};
    return self;
}

static void bulk_add(struct mongo_bulk *self, enum write_kind kind, const bson_t *what, const bson_t *change)
{
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->writes = mem_grow(self->writes, (size_t)self->room * sizeof *self->writes);
    }
    struct bulk_write *write = &self->writes[self->count];
    *write = (struct bulk_write){
        .kind = kind, .index = self->count++, .what = bson_copy(what), .change = change ? bson_copy(change) : NULL};
    if (!bson_get_text(write->what, "_id", NULL, &write->id)) {
        write->id = (struct text){0};
    }
}

void mongo_bulk_insert(struct mongo_bulk *self, const bson_t *document)
{
    bulk_add(self, WRITE_INSERT, document, NULL);
}

void mongo_bulk_update(struct mongo_bulk *self, const bson_t *filter, const bson_t *update, bool upsert)
{
    bulk_add(self, upsert ? WRITE_UPSERT : WRITE_UPDATE, filter, update);
}

void mongo_bulk_update_all(struct mongo_bulk *self, const bson_t *filter, const bson_t *update)
{
    bulk_add(self, WRITE_UPDATE_ALL, filter, update);
}

void mongo_bulk_delete_all(struct mongo_bulk *self, const bson_t *filter)
{
    bulk_add(self, WRITE_DELETE_ALL, filter, NULL);
}

/* By kind, so that each kind is one command, then by id: two that touch the same documents in the same order may wait
 * for one another, but never in a ring, on servers that make one transaction of a command. */
static int by_place(const void *a, const void *b)
{
    const struct bulk_write *left = a, *right = b;
    if (left->kind != right->kind) {
        return left->kind < right->kind ? -1 : 1;
    }
    int ids = text_compare(left->id, right->id);
    return ids != 0 ? ids : left->index - right->index;
}

/* False only for what we made wrongly. */
static bool bulk_put(mongoc_bulk_operation_t *operation, const struct bulk_write *write)
{
    AUTO(bson_destroy) bson_t upsert = BSON_INITIALIZER;
    switch (write->kind) {
    case WRITE_INSERT: return mongoc_bulk_operation_insert_with_opts(operation, write->what, NULL, NULL);
    case WRITE_UPDATE:
        return mongoc_bulk_operation_update_one_with_opts(operation, write->what, write->change, NULL, NULL);
    case WRITE_UPSERT:
        bson_put_bool(&upsert, "upsert", true);
        return mongoc_bulk_operation_update_one_with_opts(operation, write->what, write->change, &upsert, NULL);
    case WRITE_UPDATE_ALL:
        return mongoc_bulk_operation_update_many_with_opts(operation, write->what, write->change, NULL, NULL);
    case WRITE_DELETE_ALL: return mongoc_bulk_operation_remove_many_with_opts(operation, write->what, NULL, NULL);
    }
    return false;
}

static enum err bulk_execute(struct mongo_bulk *self, struct fault *fault, struct mongo_changes *out)
{
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_t reply;
    bson_error_t error;
    if (!mongo_enter(self->db, fault)) {
        return ERR_SERVICE_UNAVAILABLE;
    }
    bson_put_bool(&options, "ordered", self->ordered);
    mongoc_bulk_operation_t *operation = mongoc_collection_create_bulk_operation_with_opts(
        mongo_collection(self->db, self->collection), &options);
    if (!self->ordered) {
        qsort(self->writes, (size_t)self->count, sizeof *self->writes, by_place);
    }
    for (int i = 0; i < self->count; i++) {
        ASSERT(bulk_put(operation, &self->writes[i]));
    }
    bool done = mongoc_bulk_operation_execute(operation, &reply, &error) != 0;
    *out = (struct mongo_changes){counted(&reply, "nInserted"), counted(&reply, "nMatched"),
                                  counted(&reply, "nUpserted"), counted(&reply, "nRemoved")};
    mongoc_bulk_operation_destroy(operation);
    return ended(self->db, done, &error, &reply, fault);
}

enum err mongo_bulk_run(struct mongo_bulk **self, struct fault *fault, struct mongo_changes *out)
{
    struct mongo_changes changes = {0};
    enum err e = (*self)->count > 0 ? bulk_execute(*self, fault, &changes) : ERR_NONE;
    mongo_bulk_destroy(self);
    if (out && (e == ERR_NONE || e == ERR_CONFLICT)) {
        *out = changes;
    }
    return e;
}

void mongo_bulk_destroy(struct mongo_bulk **self)
{
    struct mongo_bulk *bulk = *self;
    for (int i = 0; bulk && i < bulk->count; i++) {
        bson_destroy(bulk->writes[i].what);
        bson_destroy(bulk->writes[i].change);
    }
    if (bulk) {
        mem_free(bulk->writes);
        mem_free(bulk);
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

enum err mongo_find_records(struct mongo_db *db, const struct mongo_query *query, const char *key,
                            const struct record *record, struct arena *arena, struct fault *fault, void *items,
                            uint32_t *out_count)
{
    struct mongo_rows rows;
    const bson_t *document;
    uint32_t count = 0;
    enum err bad = ERR_NONE;
    mongo_find(db, query, &rows);
    while (bad == ERR_NONE && count < query->limit && mongo_next(&rows, &document)) {
        bad = bson_read_record_at(document, key, record, arena, fault, (char *)items + count * record->size);
        count++;
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? fault : NULL);
    if (bad == ERR_NONE && e == ERR_NONE) {
        *out_count = count;
    }
    return bad == ERR_NONE ? e : bad;
}

enum err mongo_find_record(struct mongo_db *db, const char *collection, struct text id, const char *key,
                           const struct record *record, struct arena *arena, struct fault *fault, void *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    uint32_t count = 0;
    bson_put_text(&filter, "_id", id);
    const struct mongo_query query = {.collection = collection, .filter = &filter, .limit = 1};
    enum err e = mongo_find_records(db, &query, key, record, arena, fault, out, &count);
    return e == ERR_NONE && count == 0 ? ERR_NOT_FOUND : e;
}

enum err mongo_delete_found(struct mongo_db *db, const struct mongo_query *query, struct fault *fault,
                            uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t ids_alone = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t these = BSON_INITIALIZER;
    AUTO(arena_release) struct arena arena = {0};
    struct text *ids = arena_alloc(&arena, (size_t)query->limit * sizeof *ids);
    struct mongo_query of_ids = *query;
    struct mongo_rows rows;
    const bson_t *document;
    uint32_t found = 0;
    int64_t deleted = 0;
    bson_put_int(&ids_alone, "_id", 1);
    of_ids.projection = &ids_alone;
    mongo_find(db, &of_ids, &rows);
    while (found < query->limit && mongo_next(&rows, &document)) {
        found += bson_get_text(document, "_id", &arena, &ids[found]);
    }
    enum err e = mongo_rows_end(&rows, fault);
    if (e == ERR_NONE && found > 0) {
        mongo_put_in(&these, "_id", ids, found);
        e = mongo_delete_all(db, query->collection, &these, fault, &deleted);
    }
    if (e == ERR_NONE) {
        *out_count = (uint32_t)deleted;
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
