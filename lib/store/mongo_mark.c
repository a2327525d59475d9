#include "lib/store/mongo_mark.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/mem.h"
#include "lib/store/mongo_parts.h"

enum { LOOK_MS = 250, TOKEN_SIZE = ID_HEX_SIZE, DELETE_MAX = 1000 };

static const char mark_id[] = "restoring";

struct mongo_mark {
    struct mongo_pool *pool;
    struct mongo_db *db;
    char token[TOKEN_SIZE];
    bool is_set;  /* and ours */
    bool fills;   /* what is behind it may be deleted */
    int64_t beat; /* of ours */
    int64_t beaten_ms;
};

/* A mark as it was read. */
struct seen {
    bool found, fills;
    int64_t beat;
    char token[TOKEN_SIZE];
};

static enum err mark_read(struct mongo_db *db, struct fault *fault, struct seen *out)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t document;
    struct text token = {0};
    struct seen seen = {0};
    bson_put_text(&filter, "_id", text_of(mark_id));
    const struct mongo_query query = {.collection = mongo_schema_collection, .filter = &filter};
    enum err e = mongo_find_one(db, &query, &arena, fault, &document, &seen.found);
    if (e != ERR_NONE) {
        return e;
    }
    if (seen.found) {
        (void)!bson_get_bool(&document, "fills", &seen.fills);
        (void)!bson_get_int(&document, "beat", &seen.beat);
        (void)(bson_get_text(&document, "token", NULL, &token) && text_to_string(token, seen.token, sizeof seen.token));
    }
    *out = seen;
    return ERR_NONE;
}

enum err mongo_mark_refuse(struct mongo_db *db, struct fault *fault)
{
    struct seen seen = {0};
    enum err e = mark_read(db, fault, &seen);
    if (e == ERR_NONE && seen.found) {
        return fault_set(
            fault, ERR_SERVICE_UNAVAILABLE,
            "the restore into \"%s\" of %.100s has not ended; if it was killed, run zmart restore FILE --store there "
            "again, or drop the database",
            db->pool->database, db->pool->shown);
    }
    return e;
}

/* ---- changing it ---- */

static enum err somebody_else(const struct mongo_mark *self, struct fault *fault)
{
    return fault_set(fault, ERR_CONFLICT,
                     "another zmart restore is at work in \"%s\" of %.100s; wait for it, or end it",
                     self->pool->database, self->pool->shown);
}

/* $set on the mark if it is still this one's and, from 0 up, at this beat. */
static enum err mark_change(struct mongo_mark *self, const char *token, int64_t beat, const bson_t *set,
                            struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bool matched = false;
    bson_put_text(&filter, "_id", text_of(mark_id));
    bson_put_text(&filter, "token", text_of(token));
    if (beat >= 0) {
        bson_put_int(&filter, "beat", beat);
    }
    (void)BSON_APPEND_DOCUMENT(&update, "$set", set);
    enum err e = mongo_update(self->db, mongo_schema_collection, &filter, &update, fault, &matched);
    if (e == ERR_NONE && !matched) {
        self->is_set = false;
        return somebody_else(self, fault);
    }
    return e;
}

enum err mongo_mark_set(struct mongo_mark *self, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    if (self->is_set) {
        return ERR_NONE;
    }
    bson_put_text(&document, "_id", text_of(mark_id));
    bson_put_text(&document, "token", text_of(self->token));
    bson_put_int(&document, "beat", self->beat);
    bson_put_int(&document, "begun_at", clock_wall_ms());
    enum err e = mongo_insert(self->db, mongo_schema_collection, &document, fault);
    self->is_set = e == ERR_NONE;
    self->beaten_ms = clock_now_ms();
    return e == ERR_CONFLICT ? somebody_else(self, fault) : e;
}

enum err mongo_mark_fill(struct mongo_mark *self, struct fault *fault)
{
    AUTO(bson_destroy) bson_t set = BSON_INITIALIZER;
    bson_put_bool(&set, "fills", true);
    enum err e = mark_change(self, self->token, -1, &set, fault);
    self->fills = self->fills || e == ERR_NONE;
    return e;
}

enum err mongo_mark_beat(struct mongo_mark *self, struct fault *fault)
{
    AUTO(bson_destroy) bson_t set = BSON_INITIALIZER;
    if (clock_now_ms() < self->beaten_ms + MONGO_MARK_BEAT_MS) {
        return ERR_NONE;
    }
    bson_put_int(&set, "beat", ++self->beat);
    enum err e = mark_change(self, self->token, -1, &set, fault);
    self->beaten_ms = clock_now_ms();
    return e;
}

enum err mongo_mark_remove(struct mongo_mark *self, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    int64_t count = 0;
    bson_put_text(&filter, "_id", text_of(mark_id));
    bson_put_text(&filter, "token", text_of(self->token));
    enum err e = self->is_set ? mongo_delete_all(self->db, mongo_schema_collection, &filter, fault, &count) : ERR_NONE;
    self->is_set = self->is_set && e != ERR_NONE;
    return e;
}

/* ---- deleting what is behind it ---- */

/* The ids of up to DELETE_MAX documents into a filter that finds them. */
static enum err some_find(struct mongo_mark *self, mongoc_collection_t *collection, struct fault *fault, bson_t *filter,
                          uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_t part, list;
    const bson_t *document;
    bson_error_t error;
    uint32_t count = 0;
    bson_put_int(&options, "limit", DELETE_MAX);
    bson_put_int(&options, "batchSize", DELETE_MAX);
    (void)BSON_APPEND_DOCUMENT_BEGIN(&options, "projection", &part);
    bson_put_int(&part, "_id", 1);
    (void)bson_append_document_end(&options, &part);
    (void)BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &part);
    (void)BSON_APPEND_ARRAY_BEGIN(&part, "$in", &list);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &all, &options, NULL);
    while (mongoc_cursor_next(cursor, &document)) {
        bson_iter_t id;
        char place[16];
        const char *key;
        size_t size = bson_uint32_to_string(count, &key, place, sizeof place);
        count +=
            bson_iter_init_find(&id, document, "_id") && bson_append_value(&list, key, (int)size, bson_iter_value(&id));
    }
    (void)bson_append_array_end(&part, &list);
    (void)bson_append_document_end(filter, &part);
    enum err e = mongoc_cursor_error(cursor, &error) ? mongo_failed(self->db, &error, NULL, fault) : ERR_NONE;
    mongoc_cursor_destroy(cursor);
    *out_count = e == ERR_NONE ? count : *out_count;
    return e;
}

/* In parts, so that none takes longer than a command may. The collection and its indexes stay: they may be sharded. */
static enum err collection_clear(struct mongo_mark *self, const char *name, struct fault *fault)
{
    mongoc_collection_t *collection = mongoc_client_get_collection(self->db->client, self->pool->database, name);
    bson_error_t error;
    uint32_t count = 1;
    enum err e = ERR_NONE;
    while (e == ERR_NONE && count > 0) {
        AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
        e = mongo_mark_beat(self, fault);
        if (e == ERR_NONE) {
            e = some_find(self, collection, fault, &filter, &count);
        }
        if (e == ERR_NONE && count > 0 && !mongoc_collection_delete_many(collection, &filter, NULL, NULL, &error)) {
            e = mongo_failed(self->db, &error, NULL, fault);
        }
    }
    mongoc_collection_destroy(collection);
    return e;
}

static enum err all_clear(struct mongo_mark *self, struct fault *fault)
{
    bson_error_t error;
    mongoc_database_t *database = mongoc_client_get_database(self->db->client, self->pool->database);
    char **names = mongoc_database_get_collection_names_with_opts(database, NULL, &error);
    enum err e = names ? ERR_NONE : mongo_failed(self->db, &error, NULL, fault);
    for (char **name = names; e == ERR_NONE && *name; name++) {
        if (strcmp(*name, mongo_schema_collection) != 0 && strncmp(*name, "system.", strlen("system.")) != 0) {
            e = collection_clear(self, *name, fault);
        }
    }
    bson_strfreev(names);
    mongoc_database_destroy(database);
    return e;
}

enum err mongo_mark_undo(struct mongo_mark *self, struct fault *fault)
{
    enum err e = self->is_set && self->fills ? all_clear(self, fault) : ERR_NONE;
    return e == ERR_NONE ? mongo_mark_remove(self, fault) : e;
}

/* ---- one that is there ---- */

/* Takes over a mark that does not change for a while. */
static enum err mark_watch(struct mongo_mark *self, const struct seen *first, struct fault *fault)
{
    AUTO(bson_destroy) bson_t set = BSON_INITIALIZER;
    int64_t end_ms = clock_now_ms() + MONGO_MARK_SILENT_MS;
    while (clock_now_ms() < end_ms) {
        struct seen seen = {0};
        (void)poll(NULL, 0, LOOK_MS);
        enum err e = mark_read(self->db, fault, &seen);
        if (e != ERR_NONE) {
            return e;
        }
        if (!seen.found || seen.beat != first->beat || strcmp(seen.token, first->token) != 0) {
            return somebody_else(self, fault);
        }
    }
    bson_put_text(&set, "token", text_of(self->token));
    enum err e = mark_change(self, first->token, first->beat, &set, fault);
    self->is_set = e == ERR_NONE;
    self->fills = first->fills;
    self->beat = first->beat;
    return e;
}

enum err mongo_mark_open(const struct store_config *config, struct fault *fault, struct mongo_mark **out)
{
    static const struct mongo_schema nothing = {.service = "restore"};
    struct mongo_mark *self = mem_alloc(sizeof *self);
    struct seen seen = {0};
    uint8_t token[ID_SIZE];
    *self = (struct mongo_mark){0};
    id_random(token, sizeof token);
    id_to_hex(token, self->token);
    enum err e = mongo_pool_open_for(config, &nothing, MONGO_RESTORES, fault, &self->pool);
    if (e == ERR_NONE) {
        self->db = mongo_db_new(self->pool);
        e = mark_read(self->db, fault, &seen);
    }
    if (e == ERR_NONE && seen.found) {
        e = mark_watch(self, &seen, fault);
    }
    if (e == ERR_NONE && self->fills) {
        e = all_clear(self, fault);
    }
    if (e != ERR_NONE) {
        mongo_mark_destroy(&self);
        return e;
    }
    *out = self;
    return ERR_NONE;
}

void mongo_mark_destroy(struct mongo_mark **self)
{
    if (*self) {
        mongo_db_destroy(&(*self)->db);
        mongo_pool_destroy(&(*self)->pool);
        mem_free(*self);
        *self = NULL;
    }
}
