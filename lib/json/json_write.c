/* The gateway's hottest loop, so it appends pieces and formats nothing that it need not. */
#include "lib/json/json_write.h"

#include "lib/base/clock.h"
#include "proto/money.h"

enum { FALLBACK_DECIMALS = 2 };

/* A record that is being written, and the one around it: a line's price is in its order's currency. */
struct scope {
    const struct record *record;
    const void *in;
    const struct scope *outer;
    int decimals; /* of the currency; -1: not looked up yet */
};

static bool record_write(const struct record *record, const void *in, const struct scope *outer, struct buffer *out);

static int scope_decimals(const struct scope *scope)
{
    for (; scope; scope = scope->outer) {
        if (scope->decimals >= 0) {
            return scope->decimals;
        }
        const struct field *field = record_field(scope->record, TEXT("currency"));
        if (field && field->kind == FIELD_TEXT &&
            ((field->flags & REQ) || record_has(scope->in, (uint32_t)(field - scope->record->fields)))) {
            struct text code;
            memcpy(&code, field_in(field, scope->in), sizeof code);
            int decimals = currency_decimals(code);
            return decimals >= 0 ? decimals : FALLBACK_DECIMALS;
        }
    }
    return FALLBACK_DECIMALS;
}

static bool money_write(int64_t minor, int decimals, struct buffer *out)
{
    char room[MONEY_TEXT_SIZE];
    money_format(minor, decimals, room);
    return buffer_add_string(out, room);
}

/* The shortest form with at least two decimals: 29.99, 5.00, 0.1234 */
static bool decimal_write(int64_t decimal, struct buffer *out)
{
    char room[MONEY_TEXT_SIZE];
    money_format(decimal, DECIMAL_DIGITS, room);
    size_t size = strlen(room);
    for (int cut = 0; cut < 2 && room[size - 1] == '0'; cut++) {
        size--;
    }
    return buffer_add(out, room, size);
}

static bool time_write(int64_t wall_ms, struct buffer *out)
{
    char room[CLOCK_TEXT_SIZE];
    clock_format(wall_ms, room);
    return buffer_add_char(out, '"') && buffer_add_string(out, room) && buffer_add_char(out, '"');
}

static bool texts_write(const void *at, struct buffer *out)
{
    struct text_list list;
    memcpy(&list, at, sizeof list);
    bool added = buffer_add_char(out, '[');
    for (uint32_t i = 0; added && i < list.count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) && buffer_add_json_string(out, list.items[i]);
    }
    return added && buffer_add_char(out, ']');
}

static bool list_write(const struct field *field, const void *at, const struct scope *scope, struct buffer *out)
{
    const char *items;
    uint32_t count;
    memcpy(&items, at, sizeof items);
    memcpy(&count, (const char *)at + sizeof items, sizeof count);
    bool added = buffer_add_char(out, '[');
    for (uint32_t i = 0; added && i < count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) &&
                record_write(field->record, items + i * field->record->size, scope, out);
    }
    return added && buffer_add_char(out, ']');
}

static bool number_write(const struct field *field, const void *at, struct scope *scope, struct buffer *out)
{
    int64_t number;
    memcpy(&number, at, sizeof number);
    if (field->kind == FIELD_TIME) {
        return time_write(number, out);
    }
    if (field->kind == FIELD_DECIMAL) {
        return decimal_write(number, out);
    }
    if (field->kind == FIELD_INT) {
        return buffer_add_int(out, number);
    }
    if (scope->decimals < 0) {
        scope->decimals = scope_decimals(scope);
    }
    return money_write(number, scope->decimals, out);
}

static bool value_write(const struct field *field, const void *at, struct scope *scope, struct buffer *out)
{
    struct text text;
    const void *nested;
    bool flag;
    int value;
    switch (field->kind) {
    case FIELD_TEXT: memcpy(&text, at, sizeof text); return buffer_add_json_string(out, text);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: return number_write(field, at, scope, out);
    case FIELD_BOOL: memcpy(&flag, at, sizeof flag); return buffer_add_string(out, flag ? "true" : "false");
    case FIELD_ENUM:
        memcpy(&value, at, sizeof value);
        return buffer_add_json_string(out, text_of(enum_name(field->names, value)));
    case FIELD_STRS: return texts_write(at, out);
    case FIELD_LIST: return list_write(field, at, scope, out);
    case FIELD_REC:
        memcpy(&nested, at, sizeof nested);
        return nested ? record_write(field->record, nested, scope, out) : buffer_add_string(out, "null");
    case FIELD_RAW: return true;
    }
    return false;
}

static bool record_write(const struct record *record, const void *in, const struct scope *outer, struct buffer *out)
{
    struct scope scope = {.record = record, .in = in, .outer = outer, .decimals = -1};
    bool added = buffer_add_char(out, '{');
    bool first = true;
    for (uint32_t i = 0; added && i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if (field->kind == FIELD_RAW) {
            continue;
        }
        added = buffer_add_string(out, first ? "\"" : ",\"") && buffer_add_text(out, field_name(field)) &&
                buffer_add_string(out, "\":");
        first = false;
        bool present = (field->flags & REQ) || record_has(in, i);
        added =
            added && (present ? value_write(field, field_in(field, in), &scope, out) : buffer_add_string(out, "null"));
    }
    return added && buffer_add_char(out, '}');
}

bool json_write(const struct record *record, const void *in, struct buffer *out)
{
    return record_write(record, in, NULL, out);
}
