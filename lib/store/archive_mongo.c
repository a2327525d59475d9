/* Walking and putting documents as rows. */
#include "lib/store/archive_parts.h"
#include "lib/store/archive_versions.h"

enum { BULK_ROWS = 500, BULK_MAX_SIZE = 8 * 1024 * 1024 };

static enum err unreadable(const struct archive_kind *kind, const char *field, struct fault *fault)
{
    fault_cause(fault, "a document of %s has an unreadable %s", kind->collection, field);
    return fault_set(fault, ERR_INTERNAL, NULL);
}

static enum err fields_read(const struct archive_kind *kind, const bson_t *document, struct fault *fault,
                            struct archive_row *row)
{
    for (const struct archive_field *field = kind->fields; field && field->value; field++) {
        struct text text;
        int64_t number;
        if (!bson_has_field(document, field->field)) {
            continue;
        }
        if (field->type == ARCHIVE_INT && bson_get_int(document, field->field, &number)) {
            archive_put_int(row, field->value, number);
        } else if (field->type == ARCHIVE_TEXT && bson_get_text(document, field->field, NULL, &text)) {
            archive_put_text(row, field->value, ARCHIVE_TEXT, text);
        } else if (field->type == ARCHIVE_BYTES && bson_get_bytes(document, field->field, NULL, &text)) {
            archive_put_text(row, field->value, ARCHIVE_BYTES, text);
        } else {
            return unreadable(kind, field->field, fault);
        }
    }
    return ERR_NONE;
}

/* The events in the document's outbox, each a row. */
static enum err outbox_visit(const struct archive_kind *kind, const bson_t *document, archive_visit *visit, void *user,
                             struct fault *fault)
{
    bson_t outbox;
    bson_iter_t at;
    enum err e = ERR_NONE;
    if (!bson_get_document(document, "outbox", &outbox) || !bson_iter_init(&at, &outbox)) {
        return ERR_NONE;
    }
    while (e == ERR_NONE && bson_iter_next(&at)) {
        struct archive_row row = {0};
        const uint8_t *data = NULL;
        uint32_t size = 0;
        bson_t entry;
        struct text event;
        if (BSON_ITER_HOLDS_DOCUMENT(&at)) {
            bson_iter_document(&at, &size, &data);
        }
        if (!data || !bson_init_static(&entry, data, size) || !bson_get_bytes(&entry, "event", NULL, &event)) {
            return unreadable(kind, "outbox", fault);
        }
        archive_put_text(&row, "event", ARCHIVE_BYTES, event);
        e = visit(user, &row, fault);
    }
    return e;
}

/* Keeps the document's version, or finds that of its owner. */
static enum err version_look(struct part_store *store, const struct archive_kind *kind, const bson_t *document,
                             struct fault *fault, int64_t *version)
{
    struct text id = {0};
    if (kind->version) {
        bool has_one = bson_get_text(document, "_id", NULL, &id) && bson_get_int(document, kind->version, version);
        return has_one ? archive_versions_put(store->versions, id, *version, fault) : ERR_NONE;
    }
    if (kind->owner && store->versions) {
        return bson_get_text(document, kind->owner, NULL, &id)
                   ? archive_versions_find(store->versions, id, fault, version)
                   : unreadable(kind, kind->owner, fault);
    }
    return ERR_NONE;
}

static enum err document_visit(struct part_store *store, const struct archive_kind *kind, const bson_t *document,
                               archive_visit *visit, void *user, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct archive_row row = {0};
    int64_t version = 0;
    enum err e = version_look(store, kind, document, fault, &version);
    if (e == ERR_NONE && kind->is_outbox) {
        return outbox_visit(kind, document, visit, user, fault);
    }
    if (e == ERR_NONE && kind->each) {
        return kind->each(document, version, visit, user, fault);
    }
    if (e == ERR_NONE) {
        e = fields_read(kind, document, fault, &row);
    }
    if (e == ERR_NONE && kind->from_document) {
        e = kind->from_document(document, &arena, fault, &row);
    }
    if (e == ERR_NONE && kind->as_of && !kind->as_of(document, version, &row)) {
        return ERR_NONE;
    }
    return e == ERR_NONE && row.count > 0 ? visit(user, &row, fault) : e;
}

enum err archive_mongo_walk(struct part_store *store, const struct archive_kind *kind, archive_visit *visit, void *user,
                           struct fault *fault)
{
    struct mongo_db *db = store->mongo;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    enum err e = kind->version && !store->versions ? archive_versions_new(fault, &store->versions) : ERR_NONE;
    if (e != ERR_NONE) {
        return e;
    }
    if (kind->is_outbox) {
        mongo_put_compare(&filter, "outbox.at", "$gte", 0);
    } else if (kind->id) {
        bson_put_text(&filter, "_id", text_of(kind->id));
    }
    bson_put_int(&sort, "_id", 1);
    const struct mongo_query query = {.collection = kind->collection, .filter = &filter, .sort = &sort};
    mongo_find(db, &query, &rows);
    while (e == ERR_NONE && mongo_next(&rows, &document)) {
        e = document_visit(store, kind, document, visit, user, fault);
    }
    enum err end = mongo_rows_end(&rows, e == ERR_NONE ? fault : NULL);
    return e == ERR_NONE ? end : e;
}

enum err archive_mongo_end(struct part_store *store, struct fault *fault)
{
    store->put_count = 0;
    store->bulk_size = 0;
    return store->bulk ? mongo_bulk_run(&store->bulk, fault, NULL) : ERR_NONE;
}

enum err archive_mongo_put(struct part_store *store, const struct archive_kind *kind, const struct archive_row *row,
                          struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    enum err e = ERR_NONE;
    if (!kind->collection) {
        return ERR_NONE;
    }
    if (kind->put_document) {
        return kind->put_document(store->mongo, row, fault);
    }
    for (const struct archive_field *field = kind->fields; field && field->value; field++) {
        const struct archive_value *value = archive_find(row, field->value);
        if (value && value->type == ARCHIVE_INT) {
            bson_put_int(&document, field->field, value->number);
        } else if (value && value->type == ARCHIVE_TEXT) {
            bson_put_text(&document, field->field, value->text);
        } else if (value) {
            bson_put_bytes(&document, field->field, value->text);
        }
    }
    if (kind->to_document) {
        e = kind->to_document(row, &arena, fault, &document);
    }
    if (e == ERR_NONE &&
        (store->bulk_kind != kind || store->put_count >= BULK_ROWS || store->bulk_size >= BULK_MAX_SIZE)) {
        e = archive_mongo_end(store, fault);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (!store->bulk) {
        store->bulk = mongo_bulk_new(store->mongo, kind->collection, false);
        store->bulk_kind = kind;
    }
    mongo_bulk_insert(store->bulk, &document);
    store->put_count++;
    store->bulk_size += document.len;
    return ERR_NONE;
}
