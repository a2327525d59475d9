#include "proto/wire.h"

#include <stddef.h>

struct wire wire_of(struct text bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    return (struct wire){at, bytes.size ? at + bytes.size : at};
}

static bool broken(struct wire *wire)
{
    wire->at = wire->end;
    return false;
}

enum wire_kind wire_peek(const struct wire *wire)
{
    if (wire->at == wire->end) {
        return WIRE_END;
    }
    uint8_t c = *wire->at;
    if (c <= 0x7f || c >= 0xe0 || (c >= 0xcc && c <= 0xd3)) {
        return WIRE_INT;
    }
    if ((c >= 0xa0 && c <= 0xbf) || (c >= 0xd9 && c <= 0xdb)) {
        return WIRE_TEXT;
    }
    if ((c >= 0x80 && c <= 0x8f) || c == 0xde || c == 0xdf) {
        return WIRE_MAP;
    }
    if ((c >= 0x90 && c <= 0x9f) || c == 0xdc || c == 0xdd) {
        return WIRE_ARRAY;
    }
    return c == 0xc0 ? WIRE_NIL : c == 0xc2 || c == 0xc3 ? WIRE_BOOL : c >= 0xc4 && c <= 0xc6 ? WIRE_BIN : WIRE_OTHER;
}

/* size bytes big-endian after the type byte; moves past both. */
static bool read_uint(struct wire *wire, uint32_t size, uint64_t *out)
{
    if ((size_t)(wire->end - wire->at) < (size_t)size + 1) {
        return broken(wire);
    }
    uint64_t value = 0;
    for (uint32_t i = 1; i <= size; i++) {
        value = value << 8 | wire->at[i];
    }
    wire->at += size + 1;
    *out = value;
    return true;
}

bool wire_read_nil(struct wire *wire)
{
    if (wire_peek(wire) != WIRE_NIL) {
        return broken(wire);
    }
    wire->at++;
    return true;
}

bool wire_read_bool(struct wire *wire, bool *out)
{
    if (wire_peek(wire) != WIRE_BOOL) {
        return broken(wire);
    }
    *out = *wire->at++ == 0xc3;
    return true;
}

bool wire_read_int(struct wire *wire, int64_t *out)
{
    if (wire_peek(wire) != WIRE_INT) {
        return broken(wire);
    }
    uint8_t c = *wire->at;
    if (c <= 0x7f || c >= 0xe0) {
        wire->at++;
        *out = (int8_t)c;
        return true;
    }
    uint64_t value;
    uint32_t size = 1u << (c & 3); /* cc..cf: uint 1, 2, 4, 8; d0..d3: int 1, 2, 4, 8 */
    if (!read_uint(wire, size, &value)) {
        return false;
    }
    if (c <= 0xcf) {
        if (value > INT64_MAX) {
            return broken(wire);
        }
        *out = (int64_t)value;
        return true;
    }
    uint32_t unused_bits = 64 - 8 * size;
    *out = (int64_t)(value << unused_bits) >> unused_bits;
    return true;
}

/* Reads a header whose small form keeps the count in the low bits and whose longer forms follow in size bytes. */
static bool read_count(struct wire *wire, uint8_t small_mask, uint32_t long_size, uint64_t *out)
{
    if (long_size == 0) {
        *out = *wire->at++ & small_mask;
        return true;
    }
    return read_uint(wire, long_size, out);
}

static bool read_bytes(struct wire *wire, uint64_t size, struct text *out)
{
    if (size > (uint64_t)(wire->end - wire->at)) {
        return broken(wire);
    }
    *out = (struct text){(const char *)wire->at, (uint32_t)size};
    wire->at += size;
    return true;
}

bool wire_read_text(struct wire *wire, struct text *out)
{
    if (wire_peek(wire) != WIRE_TEXT) {
        return broken(wire);
    }
    uint8_t c = *wire->at;
    uint64_t size;
    uint32_t long_size = c == 0xd9 ? 1 : c == 0xda ? 2 : c == 0xdb ? 4 : 0;
    return read_count(wire, 0x1f, long_size, &size) && read_bytes(wire, size, out);
}

bool wire_read_bin(struct wire *wire, struct text *out)
{
    if (wire_peek(wire) != WIRE_BIN) {
        return broken(wire);
    }
    uint64_t size;
    return read_count(wire, 0, 1U << (*wire->at - 0xc4), &size) && read_bytes(wire, size, out);
}

static bool read_container(struct wire *wire, uint8_t long16, uint32_t bytes_each, uint32_t *out_count)
{
    uint8_t c = *wire->at;
    uint64_t count;
    uint32_t long_size = c == long16 ? 2 : c == long16 + 1 ? 4 : 0;
    if (!read_count(wire, 0x0f, long_size, &count)) {
        return false;
    }
    if (count * bytes_each > (uint64_t)(wire->end - wire->at)) {
        return broken(wire);
    }
    *out_count = (uint32_t)count;
    return true;
}

bool wire_read_array(struct wire *wire, uint32_t *out_count)
{
    return wire_peek(wire) == WIRE_ARRAY ? read_container(wire, 0xdc, 1, out_count) : broken(wire);
}

bool wire_read_map(struct wire *wire, uint32_t *out_count)
{
    return wire_peek(wire) == WIRE_MAP ? read_container(wire, 0xde, 2, out_count) : broken(wire);
}

/* Floats, binaries and extensions: the bytes behind the type byte. */
static bool skip_other(struct wire *wire)
{
    uint8_t c = *wire->at;
    uint64_t size = 0;
    struct text bytes;
    uint32_t size_bytes = 0;
    uint64_t extra = 0;
    if (c >= 0xc4 && c <= 0xc6) {
        size_bytes = 1u << (c - 0xc4);
    } else if (c >= 0xc7 && c <= 0xc9) {
        size_bytes = 1u << (c - 0xc7);
        extra = 1;
    } else if (c == 0xca || c == 0xcb) {
        extra = c == 0xca ? 4 : 8;
    } else if (c >= 0xd4 && c <= 0xd8) {
        extra = (1u << (c - 0xd4)) + 1;
    } else {
        return broken(wire); /* 0xc1 is never used */
    }
    return read_uint(wire, size_bytes, &size) && read_bytes(wire, size + extra, &bytes);
}

/* Reads one value's head, and its bytes unless it is a container; *out_children says how many values follow in it. */
static bool skip_one(struct wire *wire, uint64_t *out_children)
{
    uint32_t count = 0;
    int64_t number;
    bool flag;
    struct text text;
    *out_children = 0;
    switch (wire_peek(wire)) {
    case WIRE_NIL: return wire_read_nil(wire);
    case WIRE_BOOL: return wire_read_bool(wire, &flag);
    case WIRE_INT: return wire_read_int(wire, &number);
    case WIRE_TEXT: return wire_read_text(wire, &text);
    case WIRE_BIN:
    case WIRE_OTHER: return skip_other(wire);
    case WIRE_END: return false;
    case WIRE_ARRAY:
        if (!wire_read_array(wire, &count)) {
            return false;
        }
        *out_children = count;
        return true;
    case WIRE_MAP:
        if (!wire_read_map(wire, &count)) {
            return false;
        }
        *out_children = 2 * (uint64_t)count;
        return true;
    }
    return false;
}

bool wire_skip(struct wire *wire, int max_depth)
{
    uint64_t left[WIRE_MAX_SKIP_DEPTH + 1] = {1}; /* values still to come, by depth */
    int depth = 0;
    while (depth > 0 || left[0] > 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        enum wire_kind kind = wire_peek(wire);
        uint64_t children;
        if (!skip_one(wire, &children)) {
            return broken(wire);
        }
        if (kind == WIRE_ARRAY || kind == WIRE_MAP) {
            if (depth == max_depth || depth == WIRE_MAX_SKIP_DEPTH) {
                return broken(wire);
            }
            left[++depth] = children;
        }
    }
    return true;
}
