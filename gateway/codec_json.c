#include "gateway/codec_json.h"

#include <jansson.h>
#include <stdio.h>

#include "gateway/json_scan.h"
#include "lib/base/clock.h"
#include "proto/money.h"
#include "proto/product.h"

struct reader {
    struct arena *arena;
    struct fault *fault;
    bool refused;
    char pointer[JSON_POINTER_SIZE];
    size_t length; /* of pointer */
};

static void json_release(json_t **json)
{
    json_decref(*json);
}

static void refuse(struct reader *r, const char *code, const char *message)
{
    r->refused = true;
    fault_add(r->fault, r->pointer, code, -1, "%s", message);
}

static size_t enter(struct reader *r, struct text name)
{
    size_t back = r->length;
    r->length = json_pointer_add(r->pointer, r->length, name);
    return back;
}

static size_t enter_index(struct reader *r, uint32_t index)
{
    size_t back = r->length;
    r->length = json_pointer_add_index(r->pointer, r->length, index);
    return back;
}

static void leave(struct reader *r, size_t back)
{
    r->pointer[back] = '\0';
    r->length = back;
}

static void object_read(struct reader *r, const struct record *record, json_t *object, uint64_t preset, void *out);

/* ---- scalars ---- */

static void text_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    char message[128];
    if (!json_is_string(json)) {
        refuse(r, "wrong_type", "takes a string");
        return;
    }
    struct text text = {json_string_value(json), (uint32_t)json_string_length(json)};
    if (!field_check_text(field, text, message, sizeof message)) {
        refuse(r, "out_of_range", message);
        return;
    }
    text.data = arena_copy(r->arena, text.data, text.size);
    memcpy(at, &text, sizeof text);
}

static void number_store(struct reader *r, const struct field *field, int64_t number, void *at)
{
    char message[128];
    if (!field_check_int(field, number, message, sizeof message)) {
        refuse(r, "out_of_range", message);
        return;
    }
    memcpy(at, &number, sizeof number);
}

static void int_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    if (!json_is_integer(json)) {
        refuse(r, "wrong_type", "takes a whole number, written without a point or exponent");
        return;
    }
    number_store(r, field, json_integer_value(json), at);
}

static void decimal_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    int64_t decimal;
    if (!json_is_number(json)) {
        refuse(r, "wrong_type", "takes a number");
    } else if (json_is_integer(json)) {
        if (__builtin_mul_overflow((int64_t)json_integer_value(json), 10000, &decimal)) {
            decimal = INT64_MAX;
        }
        number_store(r, field, decimal, at);
    } else if (!decimal_from_double(json_real_value(json), &decimal)) {
        refuse(r, "out_of_range", "takes at most four decimals and 9999999999.99");
    } else {
        number_store(r, field, decimal, at);
    }
}

static void time_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    int64_t time;
    if (!json_is_string(json) ||
        !clock_parse((struct text){json_string_value(json), (uint32_t)json_string_length(json)}, &time)) {
        refuse(r, "wrong_type", "takes a time like 2026-01-02T03:04:05Z");
        return;
    }
    number_store(r, field, time, at);
}

static void enum_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    int value;
    if (json_is_string(json) &&
        enum_find(field->names, (struct text){json_string_value(json), (uint32_t)json_string_length(json)}, &value)) {
        memcpy(at, &value, sizeof value);
        return;
    }
    AUTO(buffer_release) struct buffer names;
    buffer_init(&names, 200);
    for (int i = 0; i < field->names->count; i++) {
        (void)buffer_add_string(&names, i ? ", " : "takes one of ");
        (void)buffer_add_string(&names, enum_name(field->names, i));
    }
    (void)buffer_add_char(&names, '\0');
    refuse(r, "out_of_range", names.overflown ? "is none of the names allowed" : names.data);
}

static void bool_read(struct reader *r, json_t *json, void *at)
{
    if (!json_is_boolean(json)) {
        refuse(r, "wrong_type", "takes true or false");
        return;
    }
    bool flag = json_is_true(json);
    memcpy(at, &flag, sizeof flag);
}

/* ---- lists ---- */

static bool count_check(struct reader *r, json_t *json, int64_t min, int64_t max)
{
    char message[96];
    if (!json_is_array(json)) {
        refuse(r, "wrong_type", "takes an array");
        return false;
    }
    int64_t count = (int64_t)json_array_size(json);
    if (count >= min && count <= max) {
        return true;
    }
    snprintf(message, sizeof message, "takes %lld to %lld entries", (long long)min, (long long)max);
    refuse(r, count < min ? "too_few" : "too_many", message);
    return false;
}

static void texts_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    if (!count_check(r, json, 0, field->count_max)) {
        return;
    }
    struct text_list list = {.count = (uint32_t)json_array_size(json)};
    list.items = arena_alloc(r->arena, list.count * sizeof *list.items);
    for (uint32_t i = 0; i < list.count; i++) {
        size_t back = enter_index(r, i);
        text_read(r, field, json_array_get(json, i), &list.items[i]);
        leave(r, back);
    }
    memcpy(at, &list, sizeof list);
}

static void list_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    if (!count_check(r, json, field->min, field->max)) {
        return;
    }
    uint32_t count = (uint32_t)json_array_size(json);
    char *items = arena_alloc(r->arena, count * field->record->size);
    for (uint32_t i = 0; i < count; i++) {
        size_t back = enter_index(r, i);
        object_read(r, field->record, json_array_get(json, i), 0, items + i * field->record->size);
        leave(r, back);
    }
    memcpy(at, &items, sizeof items);
    memcpy((char *)at + sizeof items, &count, sizeof count);
}

static void record_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    void *nested = arena_alloc(r->arena, field->record->size);
    object_read(r, field->record, json, 0, nested);
    memcpy(at, &nested, sizeof nested);
}

/* ---- objects ---- */

static void value_read(struct reader *r, const struct field *field, json_t *json, void *at)
{
    switch (field->kind) {
    case FIELD_TEXT: text_read(r, field, json, at); break;
    case FIELD_INT: int_read(r, field, json, at); break;
    case FIELD_BOOL: bool_read(r, json, at); break;
    case FIELD_TIME: time_read(r, field, json, at); break;
    case FIELD_MONEY: int_read(r, field, json, at); break;
    case FIELD_DECIMAL: decimal_read(r, field, json, at); break;
    case FIELD_ENUM: enum_read(r, field, json, at); break;
    case FIELD_STRS: texts_read(r, field, json, at); break;
    case FIELD_LIST: list_read(r, field, json, at); break;
    case FIELD_REC: record_read(r, field, json, at); break;
    case FIELD_RAW: refuse(r, "unknown_field", "is no field here"); break;
    }
}

static void member_read(struct reader *r, const struct record *record, const char *name, json_t *json, void *out)
{
    const struct field *field = record_field(record, text_of(name));
    bool is_null = json_is_null(json);
    if (is_null && (field->flags & REQ)) {
        refuse(r, "required", "is required, so it cannot be null");
    } else if (is_null && (field->flags & NOT_NULL)) {
        refuse(r, "wrong_type", "cannot be null; leave it out to keep it as it is");
    } else if (!is_null) {
        value_read(r, field, json, field_at(field, out));
    }
    if (!is_null || (field->flags & REQ)) {
        record_set_has(out, (uint32_t)(field - record->fields));
    }
}

static void object_read(struct reader *r, const struct record *record, json_t *object, uint64_t preset, void *out)
{
    const char *name;
    json_t *value;
    if (!json_is_object(object)) {
        refuse(r, "wrong_type", "takes an object");
        return;
    }
    json_object_foreach(object, name, value)
    {
        size_t back = enter(r, text_of(name));
        const struct field *field = record_field(record, text_of(name));
        if (!field || (preset >> (field - record->fields) & 1) || record == &nothing_record) {
            refuse(r, "unknown_field", "is no field here");
        } else {
            member_read(r, record, name, value, out);
        }
        leave(r, back);
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        if ((record->fields[i].flags & REQ) && !record_has(out, i) && !(preset >> i & 1)) {
            size_t back = enter(r, text_of(record->fields[i].name));
            refuse(r, "required", "is required");
            leave(r, back);
        }
    }
}

bool json_is_expected(const struct record *record, uint64_t preset)
{
    return record != &nothing_record && preset != (UINT64_C(1) << record->field_count) - 1;
}

enum err json_read(const struct record *record, struct text body, uint64_t preset, struct arena *arena,
                   struct fault *fault, void *out)
{
    bool empty = body.size == 0;
    if (empty) {
        body = TEXT("{}");
    }
    enum err e = json_scan(body, JSON_MAX_DEPTH, ERR_INVALID_BODY, arena, fault);
    if (e != ERR_NONE) {
        return e;
    }
    json_error_t error;
    AUTO(json_release) json_t *json = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        fault_add(fault, "", "malformed", -1, "is not JSON: %s", error.text);
        return fault_set(fault, ERR_INVALID_BODY, NULL);
    }
    struct reader reader = {.arena = arena, .fault = fault};
    object_read(&reader, record, json, preset, out);
    if (empty && !reader.refused && json_is_expected(record, preset)) {
        refuse(&reader, "required", "is needed: a JSON object");
    }
    return reader.refused ? fault_set(fault, ERR_INVALID_BODY, NULL) : ERR_NONE;
}
