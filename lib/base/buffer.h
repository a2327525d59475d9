/* A growing byte buffer that cannot exist without a maximum. */
#ifndef ZMART_BASE_BUFFER_H
#define ZMART_BASE_BUFFER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/text.h"

struct buffer {
    char *data;      /* owned; not NUL-terminated */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t max_size; /* size never goes beyond */
    bool overflown;  /* something did not fit and was dropped; sticky until buffer_clear */
};

void buffer_init(struct buffer *buffer, size_t max_size);
/* Frees the bytes; the buffer is as after buffer_init with the same maximum. Fit for AUTO. */
void buffer_release(struct buffer *buffer);
/* Empties without freeing. */
void buffer_clear(struct buffer *buffer);
/* Appends whole or not at all; false (and overflown) when max_size would be passed. */
bool buffer_add(struct buffer *buffer, const void *data, size_t size);
bool buffer_add_text(struct buffer *buffer, struct text text);
static inline bool buffer_add_string(struct buffer *buffer, const char *string)
{
    return buffer_add(buffer, string, strlen(string)); /* inline, so that a literal's size is known */
}
bool buffer_add_char(struct buffer *buffer, char c);
bool buffer_add_int(struct buffer *buffer, int64_t value);
bool buffer_printf(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);
/* A JSON string with its quotes, escaped by RFC 8259; bytes that are not UTF-8 become U+FFFD. */
bool buffer_add_json_string(struct buffer *buffer, struct text text);
/* The bytes as a text; valid until the next change. */
struct text buffer_text(const struct buffer *buffer);

#endif
