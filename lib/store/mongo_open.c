/* Whose database it is, its version, its indexes. Nothing is changed before it is known to be ours. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "lib/store/mongo_parts.h"

const char mongo_schema_collection[] = "zmart_schema";

enum { UNAUTHORIZED = 13, WRONG_PASSWORD = 18 };

/* One line for whoever starts the program. */
static enum err refused(struct mongo_db *db, const bson_error_t *error, struct fault *fault)
{
    const char *shown = db->pool->shown;
    if ((error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
        (error->domain == MONGOC_ERROR_SERVER && error->code == WRONG_PASSWORD)) {
        return fault_set(
            fault, ERR_SERVICE_UNAVAILABLE,
            "%.100s refuses the user or the password; put the right ones into ZMART_STORE (authSource=admin "
            "if the user is of that database)",
            shown);
    }
    if (error->domain == MONGOC_ERROR_SERVER && error->code == UNAUTHORIZED) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                         "%.100s does not let this user in; give it the role readWrite on the database \"%s\"", shown,
                         db->pool->database);
    }
    if (error->domain == MONGOC_ERROR_SERVER_SELECTION || error->domain == MONGOC_ERROR_STREAM) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                         "%.100s: no server that takes writes; start it, or correct --store: %.120s", shown,
                         error->message);
    }
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%.100s cannot be used: %.160s", shown, error->message);
}

/* ---- whose it is ---- */

enum owner { OWNER_NOBODY, OWNER_ZMART, OWNER_OTHERS };

static enum owner owner_of(char **names)
{
    enum owner owner = OWNER_NOBODY;
    for (char **name = names; *name; name++) {
        if (strcmp(*name, mongo_schema_collection) == 0) {
            return OWNER_ZMART;
        }
        owner = strncmp(*name, "system.", strlen("system.")) != 0 ? OWNER_OTHERS : owner;
    }
    return owner;
}

static enum err owner_check(struct mongo_db *db, struct fault *fault)
{
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_error_t error;
    mongoc_database_t *database = mongoc_client_get_database(db->client, db->pool->database);
    bson_put_bool(&options, "nameOnly", true);
    char **names = mongoc_database_get_collection_names_with_opts(database, &options, &error);
    mongoc_database_destroy(database);
    if (!names) {
        return refused(db, &error, fault);
    }
    enum owner owner = owner_of(names);
    bson_strfreev(names);
    if (owner == OWNER_NOBODY && db->pool->purpose == MONGO_BACKS_UP) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "there is no shop in the database \"%s\" of %.100s",
                         db->pool->database, db->pool->shown);
    }
    if (owner == OWNER_OTHERS) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                         "the database \"%s\" of %.100s holds something that is not zmart's; name another one, or an "
                         "empty one", db->pool->database, db->pool->shown);
    }
    return ERR_NONE;
}

/* Whether the server can read what a majority has; asked once, because some know no such thing. One that is only away
 * at the moment has not said so. */
static enum err majority_try(struct mongo_db *db, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t options = BSON_INITIALIZER;
    bson_t concern;
    const bson_t *document;
    bson_error_t error;
    mongoc_collection_t *marks = mongoc_client_get_collection(db->client, db->pool->database, mongo_schema_collection);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&options, "readConcern", &concern));
    bson_put_text(&concern, "level", TEXT(MONGOC_READ_CONCERN_LEVEL_MAJORITY));
    ASSERT(bson_append_document_end(&options, &concern));
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(marks, &filter, &options, NULL);
    while (mongoc_cursor_next(cursor, &document)) {
    }
    bool failed = mongoc_cursor_error(cursor, &error);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(marks);
    if (failed && mongo_failed(db, &error, NULL, NULL) == ERR_SERVICE_UNAVAILABLE) {
        return refused(db, &error, fault);
    }
    db->pool->majority_reads = !failed;
    return ERR_NONE;
}

/* ---- its version ---- */

static enum err version_read(struct mongo_db *db, const struct mongo_schema *schema, struct fault *fault, int64_t *out)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t mark;
    bool found = false;
    bson_put_text(&filter, "_id", text_of(schema->service));
    const struct mongo_query query = {.collection = mongo_schema_collection, .filter = &filter};
    enum err e = mongo_find_one(db, &query, &arena, fault, &mark, &found);
    if (e == ERR_NONE) {
        *out = 0;
        if (found && !bson_get_int(&mark, "version", out)) {
            return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%s of %.100s has an unreadable version for %s",
                             mongo_schema_collection, db->pool->shown, schema->service);
        }
    }
    return e;
}

/* Several programs may start at once: whoever comes later finds the same. */
static enum err version_write(struct mongo_db *db, const struct mongo_schema *schema, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t part;
    bool found;
    bson_put_text(&filter, "_id", text_of(schema->service));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$max", &part));
    bson_put_int(&part, "version", schema->version);
    ASSERT(bson_append_document_end(&update, &part));
    enum err e = mongo_upsert(db, mongo_schema_collection, &filter, &update, fault, &found);
    return e == ERR_CONFLICT ? mongo_upsert(db, mongo_schema_collection, &filter, &update, fault, &found) : e;
}

static enum err version_settle(struct mongo_db *db, const struct mongo_schema *schema, struct fault *fault)
{
    int64_t version = 0;
    enum err e = version_read(db, schema, fault, &version);
    if (e == ERR_NONE && version > schema->version) {
        return fault_set(
            fault, ERR_SERVICE_UNAVAILABLE,
            "%s in %.100s has schema version %lld, this program knows up to %d: a newer zmart has written it; "
            "start that one",
            schema->service, db->pool->shown, (long long)version, schema->version);
    }
    if (e == ERR_NONE && version < schema->version) {
        e = version_write(db, schema, fault);
    }
    if (e == ERR_INTERNAL) { /* it answers, and does not do so simple a thing */
        return fault_set(fault, e,
                         "%.100s cannot be used; give its user the role readWrite on the database \"%s\": %.160s",
                         db->pool->shown, db->pool->database, fault->cause);
    }
    return e;
}

/* ---- its indexes ---- */

static void index_keys(const struct mongo_index *index, bson_t *to)
{
    for (int i = 0; i < MONGO_INDEX_MAX_KEYS && index->keys[i]; i++) {
        bool down = index->keys[i][0] == '-';
        ASSERT(BSON_APPEND_INT32(to, index->keys[i] + down, down ? -1 : 1));
    }
}

static void index_command(const struct mongo_index *index, bson_t *to)
{
    bson_t list, one, keys;
    bson_put_text(to, "createIndexes", text_of(index->collection));
    ASSERT(BSON_APPEND_ARRAY_BEGIN(to, "indexes", &list));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &one));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&one, "key", &keys));
    index_keys(index, &keys);
    ASSERT(bson_append_document_end(&one, &keys));
    bson_put_text(&one, "name", text_of(index->name));
    if (index->unique) {
        bson_put_bool(&one, "unique", true);
    }
    if (index->sparse) {
        bson_put_bool(&one, "sparse", true);
    }
    ASSERT(bson_append_document_end(&list, &one));
    ASSERT(bson_append_array_end(to, &list));
}

/* Asking again would not change the answer. */
static bool index_is_refused(const bson_error_t *error)
{
    enum { OPTIONS_CONFLICT = 85, KEY_SPECS_CONFLICT = 86, DUPLICATE_KEY = 11000 };
    return error->domain != MONGOC_ERROR_SERVER || error->code == UNAUTHORIZED || error->code == OPTIONS_CONFLICT ||
           error->code == KEY_SPECS_CONFLICT || error->code == DUPLICATE_KEY;
}

static void index_pause(int try)
{
    enum { PAUSE_FIRST_MS = 20 };
    uint16_t random;
    id_random(&random, sizeof random);
    long wait_ms = (PAUSE_FIRST_MS << try) * (1L + random % 3) / 2;
    (void)nanosleep(&(struct timespec){.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000}, NULL);
}

/* Programs that start at the same moment make the same index, and a server then refuses some of them, each with an
 * error of its own (a deadlock, a conflict, an aborted build). They wait, unevenly, and ask again: by then it is there,
 * or nobody else makes it. */
static enum err index_make(struct mongo_db *db, const struct mongo_index *index, struct fault *fault)
{
    enum { TRIES_MAX = 8 }; /* about 5 s in all */
    AUTO(bson_destroy) bson_t command = BSON_INITIALIZER;
    bson_error_t error;
    index_command(index, &command);
    for (int try = 0; try < TRIES_MAX; try++) {
        if (mongoc_client_write_command_with_opts(db->client, db->pool->database, &command, NULL, NULL, &error)) {
            return ERR_NONE;
        }
        if (index_is_refused(&error)) {
            break;
        }
        index_pause(try);
    }
    fault_cause(fault, "mongodb: %.240s (%d)", error.message, (int)error.code);
    if (error.code == UNAUTHORIZED) {
        return refused(db, &error, fault);
    }
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "the index %s of %s in %.80s cannot be made: %.120s",
                     index->name, index->collection, db->pool->shown, error.message);
}

static bool keys_are(const bson_t *found, const struct mongo_index *index)
{
    bson_iter_t iter;
    int i = 0;
    if (!bson_iter_init(&iter, found)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        const char *key = i < MONGO_INDEX_MAX_KEYS ? index->keys[i++] : NULL;
        bool down = key && key[0] == '-';
        if (!key || strcmp(bson_iter_key(&iter), key + down) != 0 || bson_iter_as_int64(&iter) != (down ? -1 : 1)) {
            return false;
        }
    }
    return i == MONGO_INDEX_MAX_KEYS || !index->keys[i];
}

static bool flag_of(const bson_t *found, const char *name)
{
    bool flag;
    return bson_get_bool(found, name, &flag) && flag;
}

static bool index_is(const bson_t *found, const struct mongo_index *index)
{
    bson_t keys;
    return bson_get_document(found, "key", &keys) && keys_are(&keys, index) &&
           flag_of(found, "unique") == index->unique && flag_of(found, "sparse") == index->sparse;
}

static enum err index_check(struct mongo_db *db, const struct mongo_index *index, struct fault *fault)
{
    const bson_t *found;
    bson_error_t error;
    bool good = false;
    mongoc_cursor_t *cursor =
        mongoc_collection_find_indexes_with_opts(mongo_collection(db, index->collection), NULL);
    while (mongoc_cursor_next(cursor, &found)) {
        struct text name;
        if (bson_get_text(found, "name", NULL, &name) && text_is(name, index->name)) {
            good = index_is(found, index);
        }
    }
    enum err e = mongoc_cursor_error(cursor, &error) ? refused(db, &error, fault) : ERR_NONE;
    mongoc_cursor_destroy(cursor);
    if (e == ERR_NONE && !good) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                         "the index %s of %s in %.100s is not the one that zmart needs; drop it and start again",
                         index->name, index->collection, db->pool->shown);
    }
    return e;
}

enum err mongo_settle(struct mongo_db *db, const struct mongo_schema *schema, struct fault *fault)
{
    enum err e = owner_check(db, fault);
    if (e == ERR_NONE) {
        e = majority_try(db, fault);
    }
    if (e == ERR_NONE && db->pool->purpose != MONGO_RESTORES) {
        e = mongo_mark_refuse(db, fault);
    }
    if (e == ERR_NONE) {
        e = version_settle(db, schema, fault);
    }
    for (size_t i = 0; e == ERR_NONE && i < schema->index_count; i++) {
        e = index_make(db, &schema->indexes[i], fault);
        e = e == ERR_NONE ? index_check(db, &schema->indexes[i], fault) : e;
    }
    return e;
}
