#include "gateway/json_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/invariant.h"

enum { NUMBER_MAX_SIZE = 64 };

/* One open container. */
struct level {
    bool is_array;
    uint32_t index;     /* array: of the present item */
    struct text name;   /* object: of the present member, decoded */
    struct text *names; /* object: all so far */
    uint32_t name_count;
};

struct scan {
    const char *at, *end;
    struct arena *arena;
    struct fault *fault;
    enum err code;
    int depth, max_depth;
    bool duplicates;
    struct level *levels; /* JSON_MAX_DEPTH */
};

size_t json_pointer_add(char pointer[JSON_POINTER_SIZE], size_t length, struct text name)
{
    if (length < JSON_POINTER_SIZE - 1) {
        pointer[length++] = '/';
    }
    for (uint32_t i = 0; i < name.size && length < JSON_POINTER_SIZE - 2; i++) {
        char c = name.data[i];
        if (c == '~' || c == '/') {
            pointer[length++] = '~';
            c = c == '~' ? '0' : '1';
        }
        pointer[length++] = c;
    }
    pointer[length] = '\0';
    return length;
}

size_t json_pointer_add_index(char pointer[JSON_POINTER_SIZE], size_t length, uint32_t index)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%" PRIu32, index);
    return json_pointer_add(pointer, length, text_of(digits));
}

static void refuse(struct scan *s, const char *code, const char *message)
{
    char pointer[JSON_POINTER_SIZE] = "";
    size_t length = 0;
    for (int i = 0; i < s->depth; i++) {
        const struct level *level = &s->levels[i];
        if (level->is_array) {
            length = json_pointer_add_index(pointer, length, level->index);
        } else if (level->name.data) {
            length = json_pointer_add(pointer, length, level->name);
        }
    }
    fault_add(s->fault, pointer, code, -1, "%s", message);
}

static bool malformed(struct scan *s, const char *message)
{
    refuse(s, "malformed", message);
    return false;
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) {
        s->at++;
    }
}

/* ---- strings ---- */

static bool hex4_read(struct scan *s, unsigned *out)
{
    unsigned value = 0;
    if (s->end - s->at < 4) {
        return malformed(s, "has an unfinished escape");
    }
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return malformed(s, "has a malformed \\u escape");
        }
        value = value * 16 + (unsigned)digit;
    }
    *out = value;
    return true;
}

static size_t utf8_write(unsigned point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3f));
        out[2] = (char)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3f));
    out[2] = (char)(0x80 | (point >> 6 & 0x3f));
    out[3] = (char)(0x80 | (point & 0x3f));
    return 4;
}

/* at is behind "\u"; *out_size bytes of UTF-8 in out. */
static bool unicode_read(struct scan *s, char out[4], size_t *out_size)
{
    unsigned point, low;
    if (!hex4_read(s, &point)) {
        return false;
    }
    if (point == 0) {
        return malformed(s, "has a NUL character");
    }
    if (point >= 0xd800 && point <= 0xdbff) {
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u') {
            return malformed(s, "has half of a surrogate pair");
        }
        s->at += 2;
        if (!hex4_read(s, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return malformed(s, "has half of a surrogate pair");
        }
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point <= 0xdfff) {
        return malformed(s, "has half of a surrogate pair");
    }
    *out_size = utf8_write(point, out);
    return true;
}

static bool escape_read(struct scan *s, char out[4], size_t *out_size)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end) {
        return malformed(s, "is not closed");
    }
    char c = *s->at++;
    if (c == 'u') {
        return unicode_read(s, out, out_size);
    }
    const char *found = c ? strchr(names, c) : NULL;
    if (!found) {
        return malformed(s, "has an unknown escape");
    }
    out[0] = values[found - names];
    *out_size = 1;
    return true;
}

/* at is behind the opening quote. out_name: the decoded text (object names only), may be NULL. */
static bool string_read(struct scan *s, struct text *out_name)
{
    char room[JSON_MAX_NAME_SIZE + 4];
    size_t size = 0;
    const char *from = s->at;
    while (s->at < s->end && *s->at != '"') {
        char decoded[4] = {*s->at};
        size_t decoded_size = 1;
        if ((unsigned char)*s->at++ < 0x20) {
            return malformed(s, "has a control character that is not escaped");
        }
        if (decoded[0] == '\\' && !escape_read(s, decoded, &decoded_size)) {
            return false;
        }
        if (out_name && size + decoded_size > JSON_MAX_NAME_SIZE) {
            return malformed(s, "has a name that is too long");
        }
        if (out_name) {
            memcpy(room + size, decoded, decoded_size);
            size += decoded_size;
        }
    }
    if (s->at == s->end) {
        return malformed(s, "is not closed");
    }
    if (!text_is_utf8((struct text){from, (uint32_t)(s->at - from)})) {
        return malformed(s, "is not valid UTF-8");
    }
    s->at++;
    if (out_name) {
        *out_name = (struct text){arena_copy(s->arena, room, size), (uint32_t)size};
    }
    return true;
}

/* ---- other scalars ---- */

static size_t digits_skip(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        s->at++;
    }
    return (size_t)(s->at - from);
}

static bool number_fits(struct scan *s, const char *from, bool real)
{
    char room[NUMBER_MAX_SIZE + 1];
    size_t size = (size_t)(s->at - from);
    if (size > NUMBER_MAX_SIZE) {
        refuse(s, "out_of_range", "is a number with too many digits");
        return false;
    }
    memcpy(room, from, size);
    room[size] = '\0';
    errno = 0;
    bool fits = real ? isfinite(strtod(room, NULL)) : (strtoll(room, NULL, 10), errno == 0);
    if (!fits) {
        refuse(s, "out_of_range", "is a number beyond what can be kept");
    }
    return fits;
}

static bool number_read(struct scan *s)
{
    const char *from = s->at;
    bool real = false;
    s->at += *s->at == '-';
    bool zero = s->at < s->end && *s->at == '0';
    size_t digits = digits_skip(s);
    if (digits == 0 || (zero && digits > 1)) {
        return malformed(s, "is no JSON value");
    }
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        real = true;
        if (digits_skip(s) == 0) {
            return malformed(s, "is a malformed number");
        }
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        s->at += s->at < s->end && (*s->at == '+' || *s->at == '-');
        real = true;
        if (digits_skip(s) == 0) {
            return malformed(s, "is a malformed number");
        }
    }
    return number_fits(s, from, real);
}

static bool word_read(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        size_t size = strlen(words[i]);
        if ((size_t)(s->end - s->at) >= size && memcmp(s->at, words[i], size) == 0) {
            s->at += size;
            return true;
        }
    }
    return malformed(s, s->at == s->end ? "ends too early" : "is no JSON value");
}

/* ---- containers ---- */

static bool container_open(struct scan *s, bool is_array)
{
    if (s->depth == s->max_depth) {
        refuse(s, "too_deep", "lies in too many arrays and objects");
        return false;
    }
    struct level *level = &s->levels[s->depth++];
    *level = (struct level){.is_array = is_array};
    s->at++;
    return true;
}

/* The name of the next member and its colon. */
static bool member_read(struct scan *s)
{
    struct level *level = &s->levels[s->depth - 1];
    level->name = (struct text){0};
    skip_blanks(s);
    if (s->at == s->end || *s->at != '"') {
        return malformed(s, "has a member without a name in quotes");
    }
    s->at++;
    struct text name;
    if (!string_read(s, &name)) {
        return false;
    }
    level->name = name;
    for (uint32_t i = 0; i < level->name_count; i++) {
        if (text_equal(level->names[i], name)) {
            refuse(s, "duplicate_field", "is given twice");
            s->duplicates = true;
        }
    }
    if (level->name_count == JSON_MAX_MEMBERS) {
        level->name = (struct text){0};
        refuse(s, "too_many", "has too many members");
        return false;
    }
    if (!level->names) {
        level->names = arena_alloc(s->arena, JSON_MAX_MEMBERS * sizeof *level->names);
    }
    level->names[level->name_count++] = name;
    skip_blanks(s);
    if (s->at == s->end || *s->at != ':') {
        return malformed(s, "has no colon behind its name");
    }
    s->at++;
    return true;
}

/* After a value: closes containers until a comma asks for another value. *out_done: nothing is open any more. */
static bool separators_read(struct scan *s, bool *out_done)
{
    while (s->depth > 0) {
        struct level *level = &s->levels[s->depth - 1];
        skip_blanks(s);
        if (s->at == s->end) {
            return malformed(s, "ends too early");
        }
        char c = *s->at++;
        if (c == ',') {
            level->index++;
            *out_done = false;
            return level->is_array || member_read(s);
        }
        if (c != (level->is_array ? ']' : '}')) {
            return malformed(s, "is followed by neither a comma nor the end of what it is in");
        }
        s->depth--;
    }
    *out_done = true;
    return true;
}

/* Begins a value. *out_complete: it needs separators next; otherwise a container's first value comes. */
static bool value_begin(struct scan *s, bool *out_complete)
{
    *out_complete = true;
    skip_blanks(s);
    char c = s->at < s->end ? *s->at : '\0';
    if (c == '"') {
        s->at++;
        return string_read(s, NULL);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return number_read(s);
    }
    if (c != '{' && c != '[') {
        return word_read(s);
    }
    if (!container_open(s, c == '[')) {
        return false;
    }
    skip_blanks(s);
    if (s->at < s->end && *s->at == (c == '[' ? ']' : '}')) {
        s->at++;
        s->depth--;
        return true;
    }
    *out_complete = false;
    return c == '[' || member_read(s);
}

static bool scan_all(struct scan *s)
{
    bool complete, done = false;
    skip_blanks(s);
    if (s->at == s->end || *s->at != '{') {
        return malformed(s, s->at == s->end ? "is empty" : "is not a JSON object");
    }
    while (!done) {
        if (!value_begin(s, &complete) || (complete && !separators_read(s, &done))) {
            return false;
        }
    }
    skip_blanks(s);
    return s->at == s->end || malformed(s, "is followed by more");
}

enum err json_scan(struct text bytes, int max_depth, enum err code, struct arena *arena, struct fault *fault)
{
    ASSERT(max_depth >= 1 && max_depth <= JSON_MAX_DEPTH);
    struct scan s = {.at = bytes.data,
                     .end = bytes.data + bytes.size,
                     .arena = arena,
                     .fault = fault,
                     .code = code,
                     .max_depth = max_depth};
    s.levels = arena_alloc(arena, JSON_MAX_DEPTH * sizeof *s.levels);
    if (scan_all(&s) && !s.duplicates) {
        return ERR_NONE;
    }
    return fault_set(fault, code, NULL);
}
