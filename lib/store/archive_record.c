/* Records as rows of an archive, the way row.c makes them columns. */
#include <string.h>

#include "lib/base/invariant.h"
#include "lib/store/archive.h"

/* A record with the one field, as nested values are packed. */
struct single {
    struct field field;
    struct record record;
};

static void single_of(const struct record *record, const struct field *field, struct single *out)
{
    out->field = *field;
    out->field.flags |= REQ;
    out->record = (struct record){record->name, record->size, &out->field, 1};
}

static void value_put(struct archive_row *row, const struct record *record, const struct field *field, const void *in,
                      struct arena *arena)
{
    const void *at = field_in(field, in);
    struct single single;
    struct text text;
    int64_t number;
    int value;
    switch (field->kind) {
    case FIELD_TEXT: memcpy(&text, at, sizeof text); archive_put_text(row, field->name, ARCHIVE_TEXT, text); break;
    case FIELD_RAW: memcpy(&text, at, sizeof text); archive_put_text(row, field->name, ARCHIVE_BYTES, text); break;
    case FIELD_BOOL: archive_put_int(row, field->name, *(const bool *)at); break;
    case FIELD_ENUM:
        memcpy(&value, at, sizeof value);
        archive_put_text(row, field->name, ARCHIVE_TEXT, text_of(enum_name(field->names, value)));
        break;
    case FIELD_STRS:
    case FIELD_LIST:
    case FIELD_REC:
        single_of(record, field, &single);
        archive_put_text(row, field->name, ARCHIVE_BYTES, record_pack_in(&single.record, in, arena));
        break;
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: memcpy(&number, at, sizeof number); archive_put_int(row, field->name, number); break;
    }
}

void archive_put_record(struct archive_row *row, const struct record *record, const void *in, struct arena *arena)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((field->flags & REQ) || record_has(in, i)) {
            value_put(row, record, field, in, arena);
        }
    }
}

static bool nested_get(const struct record *record, const struct field *field, struct text packed, struct arena *arena,
                       void *out)
{
    struct single single;
    uint64_t present;
    single_of(record, field, &single);
    void *decoded = arena_alloc(arena, record->size);
    if (record_unpack(&single.record, packed, arena, NULL, decoded) != ERR_NONE) {
        return false;
    }
    memcpy(&present, out, sizeof present); /* the single record's bits are not ours */
    size_t size = field->kind == FIELD_REC ? sizeof(void *)
                  : field->kind == FIELD_STRS ? sizeof(struct text_list)
                                              : sizeof(struct { void *items; uint32_t count; });
    memcpy(field_at(field, out), field_in(field, decoded), size);
    memcpy(out, &present, sizeof present);
    return true;
}

static bool value_get(const struct record *record, const struct field *field, const struct archive_value *value,
                      struct arena *arena, void *out)
{
    void *at = field_at(field, out);
    bool flag = value->number != 0;
    int number;
    switch (field->kind) {
    case FIELD_TEXT: return value->type == ARCHIVE_TEXT && memcpy(at, &value->text, sizeof value->text);
    case FIELD_RAW: return value->type == ARCHIVE_BYTES && memcpy(at, &value->text, sizeof value->text);
    case FIELD_BOOL: return value->type == ARCHIVE_INT && memcpy(at, &flag, sizeof flag);
    case FIELD_ENUM:
        return value->type == ARCHIVE_TEXT && enum_find(field->names, value->text, &number) &&
               memcpy(at, &number, sizeof number);
    case FIELD_STRS:
    case FIELD_LIST:
    case FIELD_REC: return value->type == ARCHIVE_BYTES && nested_get(record, field, value->text, arena, out);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: return value->type == ARCHIVE_INT && memcpy(at, &value->number, sizeof value->number);
    }
    return false;
}

enum err archive_get_record(const struct archive_row *row, const struct record *record, struct arena *arena,
                            struct fault *fault, void *out)
{
    void *made = arena_alloc(arena, record->size);
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        const struct archive_value *value = archive_find(row, field->name);
        if (!value && !(field->flags & REQ)) {
            continue;
        }
        if (!value || !value_get(record, field, value, arena, made)) {
            fault_cause(fault, "%s of an archived %s cannot be read", field->name, record->name);
            return fault_set(fault, ERR_INTERNAL, NULL);
        }
        record_set_has(made, i);
    }
    memcpy(out, made, record->size);
    return ERR_NONE;
}

enum err archive_take_record(const bson_t *document, const char *key, const struct record *record, struct arena *arena,
                             struct fault *fault, struct archive_row *row)
{
    void *read = arena_alloc(arena, record->size);
    enum err e = bson_read_record_at(document, key, record, arena, fault, read);
    if (e == ERR_NONE) {
        archive_put_record(row, record, read, arena);
    }
    return e;
}

enum err archive_give_record(const struct archive_row *row, const char *key, const struct record *record,
                             struct arena *arena, struct fault *fault, bson_t *document)
{
    void *read = arena_alloc(arena, record->size);
    enum err e = archive_get_record(row, record, arena, fault, read);
    if (e == ERR_NONE) {
        bson_put_record(document, key, record, read);
    }
    return e;
}
