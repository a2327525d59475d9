#include "proto/pack.h"

#include <msgpack.h>

#include "lib/base/invariant.h"
#include "proto/record.h"

static int buffer_write(void *buffer, const char *data, size_t size)
{
    return buffer_add(buffer, data, size) ? 0 : -1;
}

static msgpack_packer packer_of(struct buffer *out)
{
    return (msgpack_packer){.data = out, .callback = buffer_write};
}

bool pack_map(struct buffer *out, uint32_t count)
{
    msgpack_packer packer = packer_of(out);
    return msgpack_pack_map(&packer, count) == 0;
}

bool pack_array(struct buffer *out, uint32_t count)
{
    msgpack_packer packer = packer_of(out);
    return msgpack_pack_array(&packer, count) == 0;
}

bool pack_text(struct buffer *out, struct text text)
{
    msgpack_packer packer = packer_of(out);
    return msgpack_pack_str(&packer, text.size) == 0 && msgpack_pack_str_body(&packer, text.data, text.size) == 0;
}

bool pack_bin(struct buffer *out, struct text bytes)
{
    msgpack_packer packer = packer_of(out);
    return msgpack_pack_bin(&packer, bytes.size) == 0 && msgpack_pack_bin_body(&packer, bytes.data, bytes.size) == 0;
}

bool pack_int(struct buffer *out, int64_t value)
{
    msgpack_packer packer = packer_of(out);
    return msgpack_pack_int64(&packer, value) == 0;
}

bool pack_bool(struct buffer *out, bool value)
{
    msgpack_packer packer = packer_of(out);
    return (value ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer)) == 0;
}

bool pack_nil(struct buffer *out)
{
    msgpack_packer packer = packer_of(out);
    return msgpack_pack_nil(&packer) == 0;
}

bool pack_raw(struct buffer *out, struct text value)
{
    return buffer_add_text(out, value);
}

static bool pack_texts(const struct field *field, const void *at, struct buffer *out)
{
    struct text_list list;
    char message[128];
    memcpy(&list, at, sizeof list);
    ASSERT(list.count <= field->count_max);
    bool packed = pack_array(out, list.count);
    for (uint32_t i = 0; packed && i < list.count; i++) {
        ASSERT(field_check_text(field, list.items[i], message, sizeof message));
        packed = pack_text(out, list.items[i]);
    }
    return packed;
}

static bool pack_list(const struct field *field, const void *at, struct buffer *out)
{
    const char *items;
    uint32_t count;
    memcpy(&items, at, sizeof items);
    memcpy(&count, (const char *)at + sizeof items, sizeof count);
    ASSERT(count <= field->max);
    bool packed = pack_array(out, count);
    for (uint32_t i = 0; packed && i < count; i++) {
        packed = record_pack(field->record, items + i * field->record->size, out);
    }
    return packed;
}

static bool pack_value(const struct field *field, const void *at, struct buffer *out)
{
    struct text text;
    int64_t number;
    const void *nested;
    bool flag;
    int value;
    char message[128];
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_RAW:
        memcpy(&text, at, sizeof text);
        ASSERT(field_check_text(field, text, message, sizeof message));
        return field->kind == FIELD_RAW ? pack_raw(out, text) : pack_text(out, text);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL:
        memcpy(&number, at, sizeof number);
        ASSERT(field_check_int(field, number, message, sizeof message));
        return pack_int(out, number);
    case FIELD_BOOL: memcpy(&flag, at, sizeof flag); return pack_bool(out, flag);
    case FIELD_ENUM:
        memcpy(&value, at, sizeof value);
        ASSERT(enum_name(field->names, value) != NULL);
        return pack_text(out, text_of(enum_name(field->names, value)));
    case FIELD_STRS: return pack_texts(field, at, out);
    case FIELD_LIST: return pack_list(field, at, out);
    case FIELD_REC:
        memcpy(&nested, at, sizeof nested);
        return nested ? record_pack(field->record, nested, out) : pack_nil(out);
    }
    return false;
}

bool record_pack(const struct record *record, const void *in, struct buffer *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->field_count; i++) {
        count += (record->fields[i].flags & REQ) || record_has(in, i);
    }
    bool packed = pack_map(out, count);
    for (uint32_t i = 0; packed && i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((field->flags & REQ) || record_has(in, i)) {
            packed = pack_text(out, field_name(field)) && pack_value(field, field_in(field, in), out);
        }
    }
    return packed;
}

struct text record_pack_in(const struct record *record, const void *in, struct arena *arena)
{
    AUTO(buffer_release) struct buffer buffer;
    buffer_init(&buffer, UINT32_MAX / 2);
    ASSERT(record_pack(record, in, &buffer));
    return (struct text){arena_copy(arena, buffer.data, buffer.size), (uint32_t)buffer.size};
}

/* ---- sizes ---- */

enum { PACKED_HEAD_MAX = 9 }; /* of any value: its type and a number */

static size_t value_size(const struct field *field, const void *at)
{
    size_t size = PACKED_HEAD_MAX;
    struct text text;
    struct text_list texts;
    const char *items;
    uint32_t count;
    const void *nested;
    int value;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_RAW: memcpy(&text, at, sizeof text); return size + text.size;
    case FIELD_ENUM: memcpy(&value, at, sizeof value); return size + strlen(enum_name(field->names, value));
    case FIELD_STRS:
        memcpy(&texts, at, sizeof texts);
        for (uint32_t i = 0; i < texts.count; i++) {
            size += PACKED_HEAD_MAX + texts.items[i].size;
        }
        return size;
    case FIELD_LIST:
        memcpy(&items, at, sizeof items);
        memcpy(&count, (const char *)at + sizeof items, sizeof count);
        for (uint32_t i = 0; i < count; i++) {
            size += record_size(field->record, items + i * field->record->size);
        }
        return size;
    case FIELD_REC:
        memcpy(&nested, at, sizeof nested);
        return size + (nested ? record_size(field->record, nested) : 0);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL:
    case FIELD_BOOL: break;
    }
    return size;
}

size_t record_size(const struct record *record, const void *in)
{
    size_t size = PACKED_HEAD_MAX;
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((field->flags & REQ) || record_has(in, i)) {
            size += PACKED_HEAD_MAX + field->name_size + value_size(field, field_in(field, in));
        }
    }
    return size;
}

uint32_t records_fit(const struct record *record, const void *items, uint32_t count)
{
    uint32_t fitting = 0;
    for (size_t size = 0; fitting < count && size < LIST_MAX_SIZE; fitting++) {
        size += record_size(record, (const char *)items + fitting * record->size);
    }
    return fitting;
}
