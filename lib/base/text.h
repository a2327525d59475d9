/* A text is a slice of bytes that somebody else owns; it need not end in NUL. */
#ifndef ZMART_BASE_TEXT_H
#define ZMART_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/auto.h"

struct text {
    const char *data; /* may be NULL when size is 0 */
    uint32_t size;    /* bytes */
};

/* For printf: printf("%.*s", TEXT_ARG(text)) */
#define TEXT_ARG(text) (int)(text).size, (text).data ? (text).data : ""
/* A text over a string literal. */
#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})

/* A text over a NUL-terminated string; NULL gives an empty text. */
struct text text_of(const char *string);
static inline bool text_equal(struct text a, struct text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
bool text_is(struct text text, const char *string);
/* ASCII only; bytes above 127 compare as they are. */
bool text_equal_ignoring_case(struct text a, struct text b);
bool text_starts_with(struct text text, const char *prefix);
/* As memcmp over the common length, then by length. */
int text_compare(struct text a, struct text b);
/* True for well-formed UTF-8 without NUL (RFC 3629: no surrogates, no overlong forms). */
bool text_is_utf8(struct text text);
/* Number of code points of well-formed UTF-8. */
uint32_t text_length(struct text text);
/* Strict decimal integer: optional '-', digits, nothing else, no leading zeros ("0" is fine), in int64. */
MUST_USE bool text_to_int(struct text text, int64_t *out);
/* Cuts the part before the first separator off *rest into *out; false when *rest was used up. */
bool text_cut(struct text *rest, char separator, struct text *out);
/* How many characters have to be put in, taken out or changed to make b of a (Levenshtein); UINT32_MAX when one of them
 * is longer than TEXT_DISTANCE_MAX. */
enum { TEXT_DISTANCE_MAX = 64 };
uint32_t text_distance(struct text a, struct text b);
/* Copies into a buffer of size bytes with a closing NUL; false (and an empty buffer) if it does not fit. */
MUST_USE bool text_to_string(struct text text, char *buffer, size_t size);

#endif
