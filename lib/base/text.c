#include "lib/base/text.h"

#include "lib/base/invariant.h"

struct text text_of(const char *string)
{
    if (!string) {
        return (struct text){0};
    }
    size_t size = strlen(string);
    ASSERT(size <= UINT32_MAX);
    return (struct text){string, (uint32_t)size};
}

bool text_is(struct text text, const char *string)
{
    return text_equal(text, text_of(string));
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 'a' - 'A') : c;
}

bool text_equal_ignoring_case(struct text a, struct text b)
{
    if (a.size != b.size) {
        return false;
    }
    for (uint32_t i = 0; i < a.size; i++) {
        if (lower((unsigned char)a.data[i]) != lower((unsigned char)b.data[i])) {
            return false;
        }
    }
    return true;
}

bool text_starts_with(struct text text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && (size == 0 || memcmp(text.data, prefix, size) == 0);
}

int text_compare(struct text a, struct text b)
{
    uint32_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : a.size > b.size;
}

/* Bytes of the code point at data, or 0 if it is malformed (RFC 3629 section 4). */
static uint32_t utf8_step(const unsigned char *data, uint32_t left)
{
    unsigned char c = data[0];
    if (c >= 0x01 && c <= 0x7f) {
        return 1;
    }
    uint32_t size = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    if (size == 0 || size > left) {
        return 0;
    }
    unsigned char second_min = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char second_max = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (data[1] < second_min || data[1] > second_max) {
        return 0;
    }
    for (uint32_t i = 2; i < size; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

/* True if the eight bytes at data are ASCII without NUL. */
static bool eight_plain(const char *data)
{
    static const uint64_t high = UINT64_C(0x8080808080808080), low = UINT64_C(0x0101010101010101);
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return ((word | (word - low)) & high) == 0; /* a NUL borrows, a byte above 127 shows itself */
}

bool text_is_utf8(struct text text)
{
    for (uint32_t at = 0; at < text.size;) {
        if (text.size - at >= sizeof(uint64_t) && eight_plain(text.data + at)) {
            at += (uint32_t)sizeof(uint64_t);
            continue;
        }
        uint32_t step = utf8_step((const unsigned char *)text.data + at, text.size - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

uint32_t text_length(struct text text)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        length += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    }
    return length;
}

bool text_to_int(struct text text, int64_t *out)
{
    uint32_t at = 0;
    bool negative = text.size > 0 && text.data[0] == '-';
    at += negative;
    if (at == text.size || (text.data[at] == '0' && (text.size > at + 1 || negative))) {
        return false;
    }
    int64_t value = 0;
    for (; at < text.size; at++) {
        int digit = text.data[at] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return true;
}

bool text_cut(struct text *rest, char separator, struct text *out)
{
    if (!rest->data) {
        return false;
    }
    const char *found = rest->size ? memchr(rest->data, separator, rest->size) : NULL;
    if (!found) {
        *out = *rest;
        *rest = (struct text){0};
        return true;
    }
    uint32_t size = (uint32_t)(found - rest->data);
    *out = (struct text){rest->data, size};
    *rest = (struct text){found + 1, rest->size - size - 1};
    return true;
}

uint32_t text_distance(struct text a, struct text b)
{
    uint32_t row[TEXT_DISTANCE_MAX + 1];
    if (a.size > TEXT_DISTANCE_MAX || b.size > TEXT_DISTANCE_MAX) {
        return UINT32_MAX;
    }
    for (uint32_t j = 0; j <= b.size; j++) {
        row[j] = j;
    }
    for (uint32_t i = 1; i <= a.size; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b.size; j++) {
            uint32_t changed = diagonal + (a.data[i - 1] != b.data[j - 1]);
            uint32_t longer = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = changed < longer ? changed : longer;
        }
    }
    return row[b.size];
}

bool text_to_string(struct text text, char *buffer, size_t size)
{
    ASSERT(size > 0);
    bool fits = text.size < size;
    uint32_t copied = fits ? text.size : 0;
    if (copied) {
        memcpy(buffer, text.data, copied);
    }
    buffer[copied] = '\0';
    return fits;
}
