#include "lib/store/bson_record.h"

#include <limits.h>

#include "lib/base/invariant.h"
#include "proto/wire.h"

/* ---- writing ---- */

/* Only a document of more than 2 GiB is refused, and everything we store is bounded far below. */
static void appended(bool fits)
{
    ASSERT(fits);
}

void bson_put_text(bson_t *to, const char *key, struct text value)
{
    appended(bson_append_utf8(to, key, -1, value.data ? value.data : "", (int)value.size));
}

void bson_put_bytes(bson_t *to, const char *key, struct text value)
{
    appended(bson_append_binary(to, key, -1, BSON_SUBTYPE_BINARY, (const uint8_t *)(value.data ? value.data : ""),
                                value.size));
}

void bson_put_int(bson_t *to, const char *key, int64_t value)
{
    appended(bson_append_int64(to, key, -1, value));
}

void bson_put_bool(bson_t *to, const char *key, bool value)
{
    appended(bson_append_bool(to, key, -1, value));
}

void bson_put_texts(bson_t *to, const char *key, const struct text *values, uint32_t count)
{
    bson_t array;
    appended(bson_append_array_begin(to, key, -1, &array));
    for (uint32_t i = 0; i < count; i++) {
        char room[16];
        const char *index;
        (void)bson_uint32_to_string(i, &index, room, sizeof room);
        bson_put_text(&array, index, values[i]);
    }
    appended(bson_append_array_end(to, &array));
}

static void put_list(bson_t *to, const struct field *field, const void *at)
{
    char *items;
    uint32_t count;
    bson_t array;
    memcpy(&items, at, sizeof items);
    memcpy(&count, (const char *)at + sizeof items, sizeof count);
    appended(bson_append_array_begin(to, field->name, (int)field->name_size, &array));
    for (uint32_t i = 0; i < count; i++) {
        char room[16];
        const char *index;
        (void)bson_uint32_to_string(i, &index, room, sizeof room);
        bson_put_record(&array, index, field->record, items + i * field->record->size);
    }
    appended(bson_append_array_end(to, &array));
}

static void put_value(bson_t *to, const struct field *field, const void *in)
{
    const void *at = field_in(field, in);
    struct text text;
    struct text_list list;
    int64_t number;
    const void *nested;
    bool flag;
    int value;
    switch (field->kind) {
    case FIELD_TEXT: memcpy(&text, at, sizeof text); bson_put_text(to, field->name, text); break;
    case FIELD_RAW: memcpy(&text, at, sizeof text); bson_put_bytes(to, field->name, text); break;
    case FIELD_BOOL: memcpy(&flag, at, sizeof flag); bson_put_bool(to, field->name, flag); break;
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: memcpy(&number, at, sizeof number); bson_put_int(to, field->name, number); break;
    case FIELD_ENUM:
        memcpy(&value, at, sizeof value);
        ASSERT(enum_name(field->names, value) != NULL);
        bson_put_text(to, field->name, text_of(enum_name(field->names, value)));
        break;
    case FIELD_STRS:
        memcpy(&list, at, sizeof list);
        bson_put_texts(to, field->name, list.items, list.count);
        break;
    case FIELD_LIST: put_list(to, field, at); break;
    case FIELD_REC:
        memcpy(&nested, at, sizeof nested);
        ASSERT(nested != NULL);
        bson_put_record(to, field->name, field->record, nested);
        break;
    }
}

void bson_put_fields(bson_t *to, const struct record *record, const void *in)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((field->flags & REQ) || record_has(in, i)) {
            put_value(to, field, in);
        }
    }
}

void bson_put_record(bson_t *to, const char *key, const struct record *record, const void *in)
{
    bson_t document;
    appended(bson_append_document_begin(to, key, -1, &document));
    bson_put_fields(&document, record, in);
    appended(bson_append_document_end(to, &document));
}

/* ---- reading ---- */

static bool text_at(bson_iter_t *iter, struct arena *arena, struct text *out)
{
    uint32_t size;
    if (!BSON_ITER_HOLDS_UTF8(iter)) {
        return false;
    }
    const char *data = bson_iter_utf8(iter, &size);
    *out = (struct text){arena ? arena_copy(arena, data, size) : data, size};
    return true;
}

static bool bytes_at(bson_iter_t *iter, struct arena *arena, struct text *out)
{
    const uint8_t *data;
    uint32_t size;
    bson_subtype_t subtype;
    if (!BSON_ITER_HOLDS_BINARY(iter)) {
        return false;
    }
    bson_iter_binary(iter, &subtype, &size, &data);
    *out = (struct text){arena ? arena_copy(arena, data, size) : (const char *)data, size};
    return true;
}

static bool int_at(bson_iter_t *iter, int64_t *out)
{
    if (!BSON_ITER_HOLDS_INT64(iter) && !BSON_ITER_HOLDS_INT32(iter)) {
        return false;
    }
    *out = bson_iter_as_int64(iter);
    return true;
}

static bool document_at(const bson_iter_t *iter, bson_t *out)
{
    const uint8_t *data;
    uint32_t size;
    if (BSON_ITER_HOLDS_DOCUMENT(iter)) {
        bson_iter_document(iter, &size, &data);
    } else if (BSON_ITER_HOLDS_ARRAY(iter)) {
        bson_iter_array(iter, &size, &data);
    } else {
        return false;
    }
    return bson_init_static(out, data, size);
}

static bool found(const bson_t *from, const char *key, bson_iter_t *out)
{
    bson_iter_t iter;
    return bson_iter_init(&iter, from) && bson_iter_find_descendant(&iter, key, out);
}

bool bson_get_text(const bson_t *from, const char *key, struct arena *arena, struct text *out)
{
    bson_iter_t iter;
    return found(from, key, &iter) && text_at(&iter, arena, out);
}

bool bson_get_bytes(const bson_t *from, const char *key, struct arena *arena, struct text *out)
{
    bson_iter_t iter;
    return found(from, key, &iter) && bytes_at(&iter, arena, out);
}

bool bson_get_int(const bson_t *from, const char *key, int64_t *out)
{
    bson_iter_t iter;
    return found(from, key, &iter) && int_at(&iter, out);
}

bool bson_get_bool(const bson_t *from, const char *key, bool *out)
{
    bson_iter_t iter;
    if (!found(from, key, &iter) || !BSON_ITER_HOLDS_BOOL(&iter)) {
        return false;
    }
    *out = bson_iter_bool(&iter);
    return true;
}

bool bson_get_document(const bson_t *from, const char *key, bson_t *out)
{
    bson_iter_t iter;
    return found(from, key, &iter) && document_at(&iter, out);
}

/* The record's nested field that cannot be read; NULL: all could. */
static const char *fields_read(const bson_t *from, const struct record *record, int depth, struct arena *arena,
                               void *out);

/* How many entries the array has, as many as max at most. */
static uint32_t array_count(const bson_t *array, uint32_t max)
{
    bson_iter_t iter;
    uint32_t count = 0;
    bool good = bson_iter_init(&iter, array);
    while (good && count < max && bson_iter_next(&iter)) {
        count++;
    }
    return count;
}

static bool read_texts(const bson_iter_t *iter, const struct field *field, struct arena *arena, void *at)
{
    bson_t array;
    bson_iter_t item;
    struct text_list list = {0};
    if (!BSON_ITER_HOLDS_ARRAY(iter) || !document_at(iter, &array) || !bson_iter_init(&item, &array)) {
        return false;
    }
    uint32_t count = array_count(&array, field->count_max + 1); /* one too many is found by the check */
    list.items = arena_alloc(arena, count * sizeof *list.items);
    while (list.count < count && bson_iter_next(&item)) {
        if (!text_at(&item, arena, &list.items[list.count++])) {
            return false;
        }
    }
    memcpy(at, &list, sizeof list);
    return true;
}

static bool read_list(const bson_iter_t *iter, const struct field *field, int depth, struct arena *arena, void *at)
{
    bson_t array, document;
    bson_iter_t item;
    uint32_t read_count = 0;
    if (!BSON_ITER_HOLDS_ARRAY(iter) || !document_at(iter, &array) || !bson_iter_init(&item, &array)) {
        return false;
    }
    uint32_t count = array_count(&array, (uint32_t)field->max + 1);
    char *items = arena_alloc(arena, count * field->record->size);
    while (read_count < count && bson_iter_next(&item)) {
        if (!BSON_ITER_HOLDS_DOCUMENT(&item) || !document_at(&item, &document) ||
            fields_read(&document, field->record, depth + 1, arena, items + read_count * field->record->size)) {
            return false;
        }
        read_count++;
    }
    memcpy(at, &items, sizeof items);
    memcpy((char *)at + sizeof items, &read_count, sizeof read_count);
    return true;
}

static bool read_nested(const bson_iter_t *iter, const struct field *field, int depth, struct arena *arena, void *at)
{
    bson_t document;
    void *nested = arena_alloc(arena, field->record->size);
    if (!BSON_ITER_HOLDS_DOCUMENT(iter) || !document_at(iter, &document) ||
        fields_read(&document, field->record, depth + 1, arena, nested)) {
        return false;
    }
    memcpy(at, &nested, sizeof nested);
    return true;
}

/* One well-formed msgpack value, as a RAW field must be. */
static bool is_packed(struct text bytes)
{
    struct wire wire = wire_of(bytes);
    return wire_skip(&wire, WIRE_MAX_SKIP_DEPTH) && wire_peek(&wire) == WIRE_END;
}

static bool read_value(bson_iter_t *iter, const struct field *field, int depth, struct arena *arena, void *out)
{
    void *at = field_at(field, out);
    struct text text;
    int64_t number;
    int value;
    bool flag;
    switch (field->kind) {
    case FIELD_TEXT:
        return text_at(iter, arena, &text) && memcpy(at, &text, sizeof text);
    case FIELD_RAW:
        return bytes_at(iter, arena, &text) && is_packed(text) && memcpy(at, &text, sizeof text);
    case FIELD_BOOL:
        flag = bson_iter_as_bool(iter);
        return BSON_ITER_HOLDS_BOOL(iter) && memcpy(at, &flag, sizeof flag);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL:
        return int_at(iter, &number) && memcpy(at, &number, sizeof number);
    case FIELD_ENUM:
        return text_at(iter, NULL, &text) && enum_find(field->names, text, &value) && memcpy(at, &value, sizeof value);
    case FIELD_STRS: return read_texts(iter, field, arena, at);
    case FIELD_LIST: return read_list(iter, field, depth, arena, at);
    case FIELD_REC: return read_nested(iter, field, depth, arena, at);
    }
    return false;
}

static const char *fields_read(const bson_t *from, const struct record *record, int depth, struct arena *arena,
                               void *out)
{
    bson_iter_t iter;
    if (depth > RECORD_MAX_DEPTH || !bson_iter_init(&iter, from)) {
        return record->name;
    }
    while (bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        const struct field *field = record_field(record, text_of(key));
        if (!field || BSON_ITER_HOLDS_NULL(&iter)) {
            continue;
        }
        if (!read_value(&iter, field, depth, arena, out)) {
            return field->name;
        }
        record_set_has(out, (uint32_t)(field - record->fields));
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        if ((record->fields[i].flags & REQ) && !record_has(out, i)) {
            return record->fields[i].name;
        }
    }
    return NULL;
}

enum err bson_read_record(const bson_t *from, const struct record *record, struct arena *arena, struct fault *fault,
                          void *out)
{
    void *whole = arena_alloc(arena, record->size);
    const char *bad = fields_read(from, record, 1, arena, whole);
    if (bad) {
        fault_cause(fault, "%s of a stored %s cannot be read", bad, record->name);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    struct fault bounds;
    fault_init(&bounds, arena);
    if (record_check(record, whole, ERR_INTERNAL, &bounds) != ERR_NONE) {
        struct text pointer = bounds.item_count > 0 ? bounds.items[0].pointer : (struct text){0};
        fault_cause(fault, "%.*s of a stored %s is out of bounds", TEXT_ARG(pointer), record->name);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    memcpy(out, whole, record->size);
    return ERR_NONE;
}

enum err bson_read_record_at(const bson_t *from, const char *key, const struct record *record, struct arena *arena,
                             struct fault *fault, void *out)
{
    bson_t document;
    if (!bson_get_document(from, key, &document)) {
        fault_cause(fault, "a stored %s is missing", record->name);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return bson_read_record(&document, record, arena, fault, out);
}
