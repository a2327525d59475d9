/* Rows: packing and finding. */
#include "lib/store/archive.h"

#include "lib/base/invariant.h"
#include "proto/pack.h"
#include "proto/wire.h"

static struct archive_value *value_new(struct archive_row *row, const char *name, enum archive_type type)
{
    ASSERT(row->count < ARCHIVE_MAX_VALUES);
    struct archive_value *value = &row->values[row->count++];
    *value = (struct archive_value){.name = text_of(name), .type = type};
    return value;
}

void archive_put_int(struct archive_row *row, const char *name, int64_t number)
{
    value_new(row, name, ARCHIVE_INT)->number = number;
}

void archive_put_text(struct archive_row *row, const char *name, enum archive_type type, struct text text)
{
    value_new(row, name, type)->text = text;
}

void archive_replace_int(struct archive_row *row, const char *name, int64_t number)
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (text_is(row->values[i].name, name)) {
            row->values[i] = (struct archive_value){.name = row->values[i].name, .type = ARCHIVE_INT, .number = number};
        }
    }
}

const struct archive_value *archive_find(const struct archive_row *row, const char *name)
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (text_is(row->values[i].name, name)) {
            return &row->values[i];
        }
    }
    return NULL;
}

bool archive_get_int(const struct archive_row *row, const char *name, int64_t *out)
{
    const struct archive_value *value = archive_find(row, name);
    if (!value || value->type != ARCHIVE_INT) {
        return false;
    }
    *out = value->number;
    return true;
}

bool archive_get_text(const struct archive_row *row, const char *name, struct text *out)
{
    const struct archive_value *value = archive_find(row, name);
    if (!value || value->type == ARCHIVE_INT) {
        return false;
    }
    *out = value->text;
    return true;
}

/* In the order of their names, so that a row has one form, whichever store it comes from. */
bool archive_pack(const struct archive_row *row, struct buffer *out)
{
    bool packed[ARCHIVE_MAX_VALUES] = {false};
    bool fits = pack_map(out, row->count);
    for (uint32_t n = 0; fits && n < row->count; n++) {
        uint32_t next = ARCHIVE_MAX_VALUES;
        for (uint32_t i = 0; i < row->count; i++) {
            if (!packed[i] &&
                (next == ARCHIVE_MAX_VALUES || text_compare(row->values[i].name, row->values[next].name) < 0)) {
                next = i;
            }
        }
        const struct archive_value *value = &row->values[next];
        packed[next] = true;
        fits = pack_text(out, value->name) && (value->type == ARCHIVE_INT    ? pack_int(out, value->number)
                                               : value->type == ARCHIVE_TEXT ? pack_text(out, value->text)
                                                                             : pack_bin(out, value->text));
    }
    return fits;
}

static bool value_unpack(struct wire *wire, struct archive_value *out)
{
    if (!wire_read_text(wire, &out->name)) {
        return false;
    }
    switch ((int)wire_peek(wire)) {
    case WIRE_INT: out->type = ARCHIVE_INT; return wire_read_int(wire, &out->number);
    case WIRE_TEXT: out->type = ARCHIVE_TEXT; return wire_read_text(wire, &out->text);
    case WIRE_BIN: out->type = ARCHIVE_BYTES; return wire_read_bin(wire, &out->text);
    default: return false;
    }
}

bool archive_unpack(struct text bytes, struct archive_row *out)
{
    struct wire wire = wire_of(bytes);
    uint32_t count;
    if (!wire_read_map(&wire, &count) || count > ARCHIVE_MAX_VALUES) {
        return false;
    }
    *out = (struct archive_row){.count = count};
    for (uint32_t i = 0; i < count; i++) {
        if (!value_unpack(&wire, &out->values[i])) {
            return false;
        }
    }
    return wire_peek(&wire) == WIRE_END;
}
