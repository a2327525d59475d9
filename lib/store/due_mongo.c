#include "lib/store/due_mongo.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/invariant.h"

static const char log_readers[] = "log_readers";

/* ---- the log ---- */

enum err log_reader_position(struct mongo_db *db, const char *reader, struct fault *fault, int64_t *out,
                             int64_t *out_since_ms)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(arena_release) struct arena arena = {0};
    bson_t document;
    bool found = false;
    int64_t position = 0, since_ms = 0;
    bson_put_text(&filter, "_id", text_of(reader));
    const struct mongo_query query = {.collection = log_readers, .filter = &filter};
    enum err e = mongo_find_one(db, &query, &arena, fault, &document, &found);
    if (e != ERR_NONE) {
        return e;
    }
    if ((found && !bson_get_int(&document, "position", &position)) ||
        (out_since_ms && !(found && bson_get_int(&document, "since", &since_ms)))) {
        fault_cause(fault, "the position in the log cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = position;
    if (out_since_ms) {
        *out_since_ms = since_ms;
    }
    return ERR_NONE;
}

enum err log_reader_position_set(struct mongo_db *db, const char *reader, int64_t position, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found;
    bson_put_text(&filter, "_id", text_of(reader));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "position", position);
    ASSERT(bson_append_document_end(&update, &set));
    return mongo_upsert(db, log_readers, &filter, &update, fault, &found);
}

enum err log_reader_begin(struct mongo_db *db, const char *reader, int64_t now_ms, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", text_of(reader));
    bson_put_int(&document, "position", 0);
    bson_put_int(&document, "since", now_ms);
    enum err e = mongo_insert(db, log_readers, &document, fault);
    return e == ERR_CONFLICT ? ERR_NONE : e;
}

/* ---- things ---- */

static const struct field *field_named(const struct due_kind *kind, struct text name)
{
    const struct field *field = record_field(kind->record, name);
    ASSERT(field != NULL);
    return field;
}

static struct text id_of(const struct due_kind *kind, const void *in)
{
    return *(const struct text *)field_in(field_named(kind, TEXT("id")), in);
}

static int64_t *next_at_of(const struct due_kind *kind, void *in)
{
    return field_at(field_named(kind, TEXT("next_at")), in);
}

/* False when it has ended. */
static bool is_due(const struct due_kind *kind, const void *in, int64_t *out_due_at)
{
    const struct field *next_at = field_named(kind, TEXT("next_at"));
    *out_due_at = *(const int64_t *)field_in(next_at, in);
    return record_has(in, (uint32_t)(next_at - kind->record->fields));
}

enum err due_add(struct mongo_db *db, const struct due_kind *kind, const void *in, struct fault *fault, bool *out_new)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    int64_t due_at;
    bson_put_text(&document, "_id", id_of(kind, in));
    if (is_due(kind, in, &due_at)) {
        bson_put_int(&document, "due_at", due_at);
    }
    bson_put_record(&document, kind->name, kind->record, in);
    enum err e = mongo_insert(db, kind->collection, &document, fault);
    if (e == ERR_NONE || e == ERR_CONFLICT) {
        *out_new = e == ERR_NONE;
        return ERR_NONE;
    }
    return e;
}

enum err due_put(struct mongo_db *db, const struct due_kind *kind, const void *in, struct fault *fault)
{
    static const char *const due_only[] = {"due_at", NULL};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    int64_t due_at;
    bool due = is_due(kind, in, &due_at), found = false;
    bson_put_text(&filter, "_id", id_of(kind, in));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_record(&set, kind->name, kind->record, in);
    if (due) {
        bson_put_int(&set, "due_at", due_at);
    }
    ASSERT(bson_append_document_end(&update, &set));
    if (!due) {
        mongo_put_unset(&update, due_only);
    }
    enum err e = mongo_update(db, kind->collection, &filter, &update, fault, &found);
    return e == ERR_NONE && !found ? ERR_NOT_FOUND : e;
}

/* Whoever moves due_at first has it. */
static enum err claim_one(struct mongo_db *db, const struct due_kind *kind, void *item, int64_t until_ms,
                          struct fault *fault, bool *out_claimed)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    char next_at[40];
    bson_t set;
    bool fits = snprintf(next_at, sizeof next_at, "%s.next_at", kind->name) < (int)sizeof next_at;
    ASSERT(fits);
    bson_put_text(&filter, "_id", id_of(kind, item));
    bson_put_int(&filter, "due_at", *next_at_of(kind, item));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "due_at", until_ms);
    bson_put_int(&set, next_at, until_ms);
    ASSERT(bson_append_document_end(&update, &set));
    *next_at_of(kind, item) = until_ms;
    return mongo_update(db, kind->collection, &filter, &update, fault, out_claimed);
}

enum err due_claim(struct mongo_db *db, const struct due_kind *kind, const struct due_claim *claim,
                   struct arena *arena, struct fault *fault, void *items, uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    size_t size = kind->record->size;
    uint32_t due_count = 0, count = 0;
    ASSERT(!claim->of || bson_concat(&filter, claim->of));
    mongo_put_compare(&filter, "due_at", "$lt",
                      claim->now_ms + 1); /* $lte is read as $lt by a server whose index goes on */
    bson_put_int(&sort, "due_at", 1);
    if (claim->then_by) {
        bson_put_int(&sort, claim->then_by, 1);
    }
    const struct mongo_query query = {
        .collection = kind->collection, .filter = &filter, .sort = &sort, .limit = claim->limit};
    char *due = items;
    enum err e = mongo_find_records(db, &query, kind->name, kind->record, arena, fault, due, &due_count);
    for (uint32_t i = 0; e == ERR_NONE && i < due_count; i++) {
        bool got = false;
        e = claim_one(db, kind, due + i * size, claim->until_ms, fault, &got);
        if (got) {
            memmove(due + count++ * size, due + i * size, size);
        }
    }
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}
