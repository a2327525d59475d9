#include "proto/pattern.h"

enum { TYPE_MAX_SIZE = 60 };

static bool is_type_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* A beginning of a type: what may stand before a pattern's '*'. */
static bool is_type_beginning(struct text text)
{
    if (text.size > TYPE_MAX_SIZE || (text.size > 0 && (text.data[0] == '_' || text.data[0] == '.'))) {
        return false;
    }
    for (uint32_t i = 0; i < text.size; i++) {
        if (!is_type_char(text.data[i]) || (i > 0 && text.data[i] == '.' && text.data[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

bool type_is_valid(struct text type)
{
    return type.size > 0 && is_type_beginning(type) && type.data[type.size - 1] != '.';
}

bool pattern_is_valid(struct text pattern)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        return is_type_beginning((struct text){pattern.data, pattern.size - 1});
    }
    return type_is_valid(pattern);
}

bool pattern_matches(struct text pattern, struct text type)
{
    if (pattern.size > 0 && pattern.data[pattern.size - 1] == '*') {
        uint32_t size = pattern.size - 1;
        return type.size >= size && (size == 0 || memcmp(type.data, pattern.data, size) == 0);
    }
    return text_equal(pattern, type);
}

bool patterns_match(const struct text_list *patterns, struct text type)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        if (pattern_matches(patterns->items[i], type)) {
            return true;
        }
    }
    return patterns->count == 0;
}
