/* Records and rows: a column is a field of the same name. */
#include <stdio.h>

#include "lib/base/invariant.h"
#include "lib/store/sqlite.h"

/* Fields that no SQL type holds are a blob: msgpack of a record with this one field. */
struct nested {
    struct field field;
    struct record record;
};

static void nested_of(const struct record *record, const struct field *field, struct nested *out)
{
    out->field = *field;
    out->field.flags |= REQ;
    out->record = (struct record){record->name, record->size, &out->field, 1};
}

static bool kind_is_nested(enum field_kind kind)
{
    return kind == FIELD_STRS || kind == FIELD_LIST || kind == FIELD_REC;
}

static size_t field_size(enum field_kind kind)
{
    switch (kind) {
    case FIELD_TEXT:
    case FIELD_RAW: return sizeof(struct text);
    case FIELD_BOOL: return sizeof(bool);
    case FIELD_ENUM: return sizeof(int);
    case FIELD_STRS: return sizeof(struct text_list);
    case FIELD_LIST: return sizeof(struct { void *items; uint32_t count; });
    case FIELD_REC: return sizeof(void *);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: return sizeof(int64_t);
    }
    return 0;
}

static void bind_value(sqlite3_stmt *statement, int index, const struct record *record, const struct field *field,
                       const void *in, struct arena *arena)
{
    const void *at = field_in(field, in);
    struct text text;
    int64_t number = 0;
    bool flag;
    int value;
    if (kind_is_nested(field->kind)) {
        struct nested nested;
        nested_of(record, field, &nested);
        sqlite_bind_blob_at(statement, index, record_pack_in(&nested.record, in, arena));
    } else if (field->kind == FIELD_TEXT || field->kind == FIELD_RAW) {
        memcpy(&text, at, sizeof text);
        if (field->kind == FIELD_TEXT) {
            sqlite_bind_text_at(statement, index, text);
        } else {
            sqlite_bind_blob_at(statement, index, text);
        }
    } else if (field->kind == FIELD_ENUM) {
        memcpy(&value, at, sizeof value);
        ASSERT(enum_name(field->names, value) != NULL);
        sqlite_bind_text_at(statement, index, text_of(enum_name(field->names, value)));
    } else if (field->kind == FIELD_BOOL) {
        memcpy(&flag, at, sizeof flag);
        sqlite_bind_int_at(statement, index, flag);
    } else {
        memcpy(&number, at, sizeof number);
        sqlite_bind_int_at(statement, index, number);
    }
}

void sqlite_bind_record(sqlite3_stmt *statement, const struct record *record, const void *in, struct arena *arena)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        char name[80];
        snprintf(name, sizeof name, ":%s", field->name);
        int index = sqlite3_bind_parameter_index(statement, name);
        if (index == 0) {
            continue;
        }
        if ((field->flags & REQ) || record_has(in, i)) {
            bind_value(statement, index, record, field, in, arena);
        } else {
            sqlite_bind_null_at(statement, index);
        }
    }
}

static bool read_nested(sqlite3_stmt *statement, int column, const struct record *record, const struct field *field,
                        struct arena *arena, struct fault *fault, void *out)
{
    struct nested nested;
    nested_of(record, field, &nested);
    void *decoded = arena_alloc(arena, record->size);
    if (record_unpack(&nested.record, sqlite_text_at(statement, column, arena), arena, fault, decoded) != ERR_NONE) {
        return false;
    }
    memcpy(field_at(field, out), field_in(field, decoded), field_size(field->kind));
    return true;
}

static bool read_value(sqlite3_stmt *statement, int column, const struct record *record, const struct field *field,
                       struct arena *arena, struct fault *fault, void *out)
{
    void *at = field_at(field, out);
    if (kind_is_nested(field->kind)) {
        return read_nested(statement, column, record, field, arena, fault, out);
    }
    if (field->kind == FIELD_TEXT || field->kind == FIELD_RAW) {
        struct text text = sqlite_text_at(statement, column, arena);
        memcpy(at, &text, sizeof text);
    } else if (field->kind == FIELD_ENUM) {
        int value;
        if (!enum_find(field->names, sqlite_text_at(statement, column, NULL), &value)) {
            return false;
        }
        memcpy(at, &value, sizeof value);
    } else if (field->kind == FIELD_BOOL) {
        bool flag = sqlite_int_at(statement, column) != 0;
        memcpy(at, &flag, sizeof flag);
    } else {
        int64_t number = sqlite_int_at(statement, column);
        memcpy(at, &number, sizeof number);
    }
    return true;
}

/* The field a column is named like; the one at *hint first, because columns mostly come in table order. */
static const struct field *field_of_column(const struct record *record, const char *name, uint32_t *hint)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        uint32_t at = (*hint + i) % record->field_count;
        if (strcmp(record->fields[at].name, name) == 0) {
            *hint = at + 1;
            return &record->fields[at];
        }
    }
    return NULL;
}

enum err sqlite_read_record(sqlite3_stmt *statement, const struct record *record, struct arena *arena,
                            struct fault *fault, void *out)
{
    void *row = arena_alloc(arena, record->size);
    uint32_t hint = 0;
    int count = sqlite3_column_count(statement);
    for (int column = 0; column < count; column++) {
        const struct field *field = field_of_column(record, sqlite3_column_name(statement, column), &hint);
        if (!field || sqlite_is_null_at(statement, column)) {
            continue;
        }
        if (!read_value(statement, column, record, field, arena, fault, row)) {
            fault_cause(fault, "column %s of a stored %s cannot be read", field->name, record->name);
            return fault_set(fault, ERR_INTERNAL, NULL);
        }
        record_set_has(row, (uint32_t)(field - record->fields));
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        if ((record->fields[i].flags & REQ) && !record_has(row, i)) {
            fault_cause(fault, "a stored %s has no %s", record->name, record->fields[i].name);
            return fault_set(fault, ERR_INTERNAL, NULL);
        }
    }
    memcpy(out, row, record->size);
    return ERR_NONE;
}

/* ---- statements over records ---- */

enum err sqlite_read_records(struct sqlite_db *db, sqlite3_stmt *statement, const struct record *record, uint32_t max,
                             struct arena *arena, struct fault *fault, void *items, uint32_t *out_count)
{
    uint32_t count = 0;
    enum sqlite_step_result step = SQLITE_STEP_ROW;
    while (count < max && (step = sqlite_step(db, statement, fault)) == SQLITE_STEP_ROW) {
        enum err e = sqlite_read_record(statement, record, arena, fault, (char *)items + count * record->size);
        if (e != ERR_NONE) {
            (void)sqlite3_reset(statement);
            return e;
        }
        count++;
    }
    if (step != SQLITE_STEP_ROW && step != SQLITE_STEP_DONE) {
        return fault->code;
    }
    (void)sqlite3_reset(statement);
    *out_count = count;
    return ERR_NONE;
}

enum err sqlite_find_record(struct sqlite_db *db, const char *sql, struct text id, const struct record *record,
                            struct arena *arena, struct fault *fault, void *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db, sql, fault);
    uint32_t count = 0;
    if (!statement) {
        return fault->code;
    }
    sqlite_bind_text_at(statement, 1, id);
    enum err e = sqlite_read_records(db, statement, record, 1, arena, fault, out, &count);
    return e == ERR_NONE && count == 0 ? ERR_NOT_FOUND : e;
}

enum err sqlite_run_record(struct sqlite_db *db, const char *sql, const struct record *record, const void *in,
                           struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    sqlite3_stmt *statement = sqlite_prepare(db, sql, fault);
    if (!statement) {
        return fault->code;
    }
    sqlite_bind_record(statement, record, in, &arena);
    return sqlite_run(db, statement, fault);
}

enum err sqlite_run_numbers(struct sqlite_db *db, const char *sql, const int64_t *numbers, int count,
                            struct fault *fault)
{
    sqlite3_stmt *statement = sqlite_prepare(db, sql, fault);
    if (!statement) {
        return fault->code;
    }
    for (int i = 0; i < count; i++) {
        sqlite_bind_int_at(statement, i + 1, numbers[i]);
    }
    return sqlite_run(db, statement, fault);
}

enum err sqlite_read_numbers(struct sqlite_db *db, const char *sql, int count, struct fault *fault, int64_t *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db, sql, fault);
    if (!statement || sqlite_step(db, statement, fault) != SQLITE_STEP_ROW) {
        return fault->code == ERR_NONE ? fault_set(fault, ERR_INTERNAL, NULL) : fault->code;
    }
    for (int i = 0; i < count; i++) {
        out[i] = sqlite_int_at(statement, i);
    }
    (void)sqlite3_reset(statement);
    return ERR_NONE;
}
