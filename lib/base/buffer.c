#include "lib/base/buffer.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { BUFFER_FIRST_CAPACITY = 256 };

void buffer_init(struct buffer *buffer, size_t max_size)
{
    *buffer = (struct buffer){.max_size = max_size};
}

void buffer_release(struct buffer *buffer)
{
    mem_free(buffer->data);
    buffer_init(buffer, buffer->max_size);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->overflown = false;
}

bool buffer_add(struct buffer *buffer, const void *data, size_t size)
{
    if (buffer->max_size - buffer->size < size) {
        buffer->overflown = true;
        return false;
    }
    size_t needed = buffer->size + size;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST_CAPACITY;
        while (capacity < needed) {
            capacity *= 2;
        }
        buffer->data = mem_grow(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    if (size) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size = needed;
    return true;
}

bool buffer_add_text(struct buffer *buffer, struct text text)
{
    return buffer_add(buffer, text.data, text.size);
}

bool buffer_add_char(struct buffer *buffer, char c)
{
    return buffer_add(buffer, &c, 1);
}

bool buffer_add_int(struct buffer *buffer, int64_t value)
{
    char digits[20]; /* -9223372036854775808 */
    char *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        *--at = '-';
    }
    return buffer_add(buffer, at, (size_t)(digits + sizeof digits - at));
}

bool buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    char room[512];
    va_start(args, format);
    int size = vsnprintf(room, sizeof room, format, args);
    va_end(args);
    ASSERT(size >= 0);
    if ((size_t)size < sizeof room) {
        return buffer_add(buffer, room, (size_t)size);
    }
    char *longer = mem_alloc((size_t)size + 1);
    va_start(args, format);
    vsnprintf(longer, (size_t)size + 1, format, args);
    va_end(args);
    bool added = buffer_add(buffer, longer, (size_t)size);
    mem_free(longer);
    return added;
}

static bool add_escaped(struct buffer *buffer, unsigned char c)
{
    switch (c) {
    case '"': return buffer_add_string(buffer, "\\\"");
    case '\\': return buffer_add_string(buffer, "\\\\");
    case '\n': return buffer_add_string(buffer, "\\n");
    case '\r': return buffer_add_string(buffer, "\\r");
    case '\t': return buffer_add_string(buffer, "\\t");
    default: return buffer_printf(buffer, "\\u%04x", c);
    }
}

static bool add_utf8_repaired(struct buffer *buffer, struct text text)
{
    for (uint32_t at = 0; at < text.size;) {
        uint32_t step = 1;
        while (step <= 4 && at + step <= text.size &&
               !text_is_utf8((struct text){text.data + at, step})) {
            step++;
        }
        bool good = step <= 4 && at + step <= text.size;
        bool plain = good && (unsigned char)text.data[at] >= 0x20 && text.data[at] != '"' && text.data[at] != '\\';
        bool added = plain ? buffer_add(buffer, text.data + at, step)
                     : good || text.data[at] == '\0' ? add_escaped(buffer, (unsigned char)text.data[at])
                            : buffer_add_string(buffer, "\xef\xbf\xbd");
        if (!added) {
            return false;
        }
        at += good ? step : 1;
    }
    return true;
}

bool buffer_add_json_string(struct buffer *buffer, struct text text)
{
    bool added = buffer_add_char(buffer, '"');
    if (!text_is_utf8(text)) {
        added = added && add_utf8_repaired(buffer, text);
        return added && buffer_add_char(buffer, '"');
    }
    uint32_t from = 0;
    for (uint32_t i = 0; added && i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == '"' || c == '\\') {
            added = buffer_add(buffer, text.data + from, i - from) && add_escaped(buffer, c);
            from = i + 1;
        }
    }
    return added && buffer_add(buffer, text.data + from, text.size - from) && buffer_add_char(buffer, '"');
}

struct text buffer_text(const struct buffer *buffer)
{
    ASSERT(buffer->size <= UINT32_MAX);
    return (struct text){buffer->data, (uint32_t)buffer->size};
}
