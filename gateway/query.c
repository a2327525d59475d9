#include "gateway/query.h"

#include "gateway/guard.h"
#include "gateway/json_scan.h"
#include "lib/base/clock.h"
#include "proto/money.h"
#include "proto/product.h"

static enum err refuse(struct fault *fault, struct text name, const char *code, const char *message)
{
    char pointer[JSON_POINTER_SIZE] = "";
    (void)json_pointer_add(pointer, 0, name);
    fault_add(fault, pointer, code, -1, "%s", message);
    return ERR_INVALID_PARAMETER;
}

static bool number_of(const struct field *field, struct text value, int64_t *out)
{
    if (field->kind == FIELD_TIME) {
        return clock_parse(value, out);
    }
    return field->kind == FIELD_DECIMAL ? decimal_from_text(value, out) : text_to_int(value, out);
}

static const char *number_hint(const struct field *field)
{
    return field->kind == FIELD_TIME      ? "takes a time like 2026-01-02T03:04:05Z"
           : field->kind == FIELD_DECIMAL ? "takes an amount like 29.99"
                                          : "takes a whole number";
}

static enum err number_store(const struct field *field, struct text name, struct text value, struct fault *fault,
                             void *at)
{
    int64_t number;
    char message[128];
    if (!number_of(field, value, &number)) {
        return refuse(fault, name, "wrong_type", number_hint(field));
    }
    if (!field_check_int(field, number, message, sizeof message)) {
        return refuse(fault, name, "out_of_range", message);
    }
    memcpy(at, &number, sizeof number);
    return ERR_NONE;
}

static enum err enum_store(const struct field *field, struct text name, struct text value, struct fault *fault,
                           void *at)
{
    int found;
    if (enum_find(field->names, value, &found)) {
        memcpy(at, &found, sizeof found);
        return ERR_NONE;
    }
    AUTO(buffer_release) struct buffer names;
    buffer_init(&names, 200);
    for (int i = 0; i < field->names->count; i++) {
        (void)buffer_add_string(&names, i ? ", " : "takes one of ");
        (void)buffer_add_string(&names, enum_name(field->names, i));
    }
    (void)buffer_add_char(&names, '\0');
    return refuse(fault, name, "out_of_range", names.overflown ? "is none of the names allowed" : names.data);
}

static enum err value_store(const struct field *field, struct text name, struct text value, struct fault *fault,
                            void *at)
{
    char message[128];
    bool flag = text_is(value, "true");
    switch (field->kind) {
    case FIELD_TEXT:
        if (!field_check_text(field, value, message, sizeof message)) {
            return refuse(fault, name, "out_of_range", message);
        }
        memcpy(at, &value, sizeof value);
        return ERR_NONE;
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_DECIMAL: return number_store(field, name, value, fault, at);
    case FIELD_BOOL:
        if (!flag && !text_is(value, "false")) {
            return refuse(fault, name, "wrong_type", "takes true or false");
        }
        memcpy(at, &flag, sizeof flag);
        return ERR_NONE;
    case FIELD_ENUM: return enum_store(field, name, value, fault, at);
    case FIELD_MONEY:
    case FIELD_STRS:
    case FIELD_LIST:
    case FIELD_REC:
    case FIELD_RAW: break;
    }
    return refuse(fault, name, "unknown_parameter", "is no parameter here");
}

static enum err pair_read(const struct record *record, struct text pair, uint64_t preset, struct arena *arena,
                          struct fault *fault, void *out)
{
    struct text name, value = {"", 0};
    struct text rest = pair;
    (void)text_cut(&rest, '=', &name);
    value = rest.data ? rest : value;
    if (!percent_decode(name, true, arena_alloc(arena, name.size), &name) ||
        !percent_decode(value, true, arena_alloc(arena, value.size), &value)) {
        return refuse(fault, text_is_utf8(name) ? name : TEXT(""), "malformed", "has a malformed percent-escape");
    }
    if (!text_is_utf8(name)) {
        return refuse(fault, TEXT(""), "malformed", "has a name that is not valid UTF-8");
    }
    const struct field *field = record == &nothing_record ? NULL : record_field(record, name);
    uint32_t index = field ? (uint32_t)(field - record->fields) : 0;
    if (!field || (preset >> index & 1)) {
        return refuse(fault, name, "unknown_parameter", "is no parameter here");
    }
    if (record_has(out, index)) {
        return refuse(fault, name, "duplicate_parameter", "is given twice");
    }
    record_set_has(out, index);
    return value_store(field, name, value, fault, field_at(field, out));
}

enum err query_read(const struct record *record, struct text query, uint64_t preset, struct arena *arena,
                    struct fault *fault, void *out)
{
    enum err result = ERR_NONE;
    struct text pair;
    int count = 0;
    while (query.size && text_cut(&query, '&', &pair)) {
        if (++count > QUERY_MAX_PARAMETERS) {
            fault_add(fault, "", "too_many", -1, "takes at most %d parameters", QUERY_MAX_PARAMETERS);
            return fault_set(fault, ERR_INVALID_PARAMETER, NULL);
        }
        if (pair.size) {
            enum err e = pair_read(record, pair, preset, arena, fault, out);
            result = e == ERR_NONE ? result : e;
        }
    }
    return result == ERR_NONE ? ERR_NONE : fault_set(fault, result, NULL);
}
