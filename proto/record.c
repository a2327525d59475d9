#include "proto/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/invariant.h"
#include "proto/fault.h"
#include "proto/wire.h"

const struct field *record_field(const struct record *record, struct text name)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        if (text_equal(name, field_name(&record->fields[i]))) {
            return &record->fields[i];
        }
    }
    return NULL;
}

bool record_has(const void *in, uint32_t index)
{
    uint64_t present;
    memcpy(&present, in, sizeof present);
    return (present >> index & 1) != 0;
}

void record_set_has(void *out, uint32_t index)
{
    uint64_t present;
    memcpy(&present, out, sizeof present);
    present |= UINT64_C(1) << index;
    memcpy(out, &present, sizeof present);
}

void *field_at(const struct field *field, void *in)
{
    return (char *)in + field->offset;
}

const void *field_in(const struct field *field, const void *in)
{
    return (const char *)in + field->offset;
}

const char *enum_name(const struct enum_names *names, int value)
{
    return value >= 0 && value < names->count ? names->names[value] : NULL;
}

bool enum_find(const struct enum_names *names, struct text name, int *out)
{
    for (int i = 0; i < names->count; i++) {
        if (names->names[i] && text_is(name, names->names[i])) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool has_control(struct text value)
{
    for (uint32_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c < 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

bool field_check_text(const struct field *field, struct text value, char *message, size_t size)
{
    if (field->kind == FIELD_RAW) {
        snprintf(message, size, "takes %" PRId64 " to %" PRId64 " bytes", field->min, field->max);
        return value.size >= field->min && value.size <= field->max;
    }
    if (!text_is_utf8(value)) {
        snprintf(message, size, "is not valid UTF-8, or holds a NUL");
        return false;
    }
    /* as many code points as bytes at most, a quarter at least: mostly nothing needs counting */
    bool surely_fits = value.size <= field->max && value.size / 4 >= field->min;
    uint32_t length = surely_fits || value.size == 0 ? value.size : text_length(value);
    if (length < field->min || length > field->max) {
        snprintf(message, size, "takes %" PRId64 " to %" PRId64 " characters", field->min, field->max);
        return false;
    }
    if ((field->flags & LINE) && has_control(value)) {
        snprintf(message, size, "takes no control characters");
        return false;
    }
    return true;
}

static void decimal_bound(int64_t value, char *out, size_t size)
{
    snprintf(out, size, "%" PRId64 ".%02" PRId64, value / 10000, value % 10000 / 100);
}

bool field_check_int(const struct field *field, int64_t value, char *message, size_t size)
{
    if (value >= field->min && value <= field->max) {
        return true;
    }
    if (field->kind == FIELD_DECIMAL) {
        char min[32], max[32];
        decimal_bound(field->min, min, sizeof min);
        decimal_bound(field->max, max, sizeof max);
        snprintf(message, size, "takes %s to %s", min, max);
    } else {
        snprintf(message, size, "takes %" PRId64 " to %" PRId64, field->min, field->max);
    }
    return false;
}

/* ---- where we are ---- */

/* The way into a record, written out as a JSON pointer only when something is wrong there. */
struct path {
    struct path_step {
        const char *name; /* of a field; NULL: an entry of a list */
        uint32_t index;
    } steps[2 * RECORD_MAX_DEPTH + 2];
    int count;
};

enum { POINTER_SIZE = 256 };

static void path_enter(struct path *path, const char *name, uint32_t index)
{
    ASSERT((size_t)path->count < ARRAY_COUNT(path->steps));
    path->steps[path->count++] = (struct path_step){name, index};
}

static void path_leave(struct path *path)
{
    path->count--;
}

static void path_print(const struct path *path, char out[POINTER_SIZE])
{
    size_t length = 0;
    out[0] = '\0';
    for (int i = 0; i < path->count && length < POINTER_SIZE; i++) {
        const struct path_step *step = &path->steps[i];
        int size = step->name ? snprintf(out + length, POINTER_SIZE - length, "/%s", step->name)
                              : snprintf(out + length, POINTER_SIZE - length, "/%" PRIu32, step->index);
        length += size > 0 ? (size_t)size : 0;
    }
}

/* ---- checking ---- */

struct check {
    enum err code;
    struct fault *fault;
    struct path path;
    int depth;
};

static enum err record_check_at(const struct record *record, const void *in, struct check *check);

static enum err refused(struct check *check, const char *code, const char *message)
{
    if (check->fault) {
        char pointer[POINTER_SIZE];
        path_print(&check->path, pointer);
        fault_add(check->fault, pointer, code, -1, "%s", message);
    }
    return check->code;
}

static enum err check_texts(const struct field *field, const void *at, struct check *check)
{
    struct text_list list;
    char message[128];
    memcpy(&list, at, sizeof list);
    if (list.count > field->count_max) {
        snprintf(message, sizeof message, "takes at most %" PRIu32 " entries", field->count_max);
        return refused(check, "too_many", message);
    }
    enum err result = ERR_NONE;
    for (uint32_t i = 0; i < list.count; i++) {
        if (!field_check_text(field, list.items[i], message, sizeof message)) {
            path_enter(&check->path, NULL, i);
            result = refused(check, "out_of_range", message);
            path_leave(&check->path);
        }
    }
    return result;
}

static enum err check_list(const struct field *field, const void *at, struct check *check)
{
    char *items;
    uint32_t count;
    memcpy(&items, at, sizeof items);
    memcpy(&count, (const char *)at + sizeof items, sizeof count);
    if (count < field->min || count > field->max) {
        char message[128];
        snprintf(message, sizeof message, "takes %" PRId64 " to %" PRId64 " entries", field->min, field->max);
        return refused(check, count < field->min ? "too_few" : "too_many", message);
    }
    enum err result = ERR_NONE;
    for (uint32_t i = 0; i < count; i++) {
        path_enter(&check->path, NULL, i);
        enum err e = record_check_at(field->record, items + i * field->record->size, check);
        result = e == ERR_NONE ? result : e;
        path_leave(&check->path);
    }
    return result;
}

static enum err check_value(const struct field *field, const void *at, struct check *check)
{
    char message[128];
    struct text text;
    int64_t number;
    const void *nested;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_RAW:
        memcpy(&text, at, sizeof text);
        return field_check_text(field, text, message, sizeof message) ? ERR_NONE
                                                                      : refused(check, "out_of_range", message);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL:
        memcpy(&number, at, sizeof number);
        return field_check_int(field, number, message, sizeof message) ? ERR_NONE
                                                                       : refused(check, "out_of_range", message);
    case FIELD_STRS: return check_texts(field, at, check);
    case FIELD_LIST: return check_list(field, at, check);
    case FIELD_REC:
        memcpy(&nested, at, sizeof nested);
        return nested ? record_check_at(field->record, nested, check) : ERR_NONE;
    case FIELD_BOOL:
    case FIELD_ENUM: return ERR_NONE;
    }
    return ERR_NONE;
}

static enum err record_check_at(const struct record *record, const void *in, struct check *check)
{
    enum err result = ERR_NONE;
    ASSERT(++check->depth <= RECORD_MAX_DEPTH);
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if (!record_has(in, i)) {
            if (!(field->flags & REQ)) {
                continue;
            }
            path_enter(&check->path, field->name, 0);
            result = refused(check, "required", "is required");
            path_leave(&check->path);
            continue;
        }
        path_enter(&check->path, field->name, 0);
        enum err e = check_value(field, field_in(field, in), check);
        result = e == ERR_NONE ? result : e;
        path_leave(&check->path);
    }
    check->depth--;
    return result;
}

enum err record_check(const struct record *record, const void *in, enum err code, struct fault *fault)
{
    struct check check = {.code = code, .fault = fault};
    enum err e = record_check_at(record, in, &check);
    return e == ERR_NONE ? e : fault_set(fault, code, NULL);
}

/* ---- msgpack, reading ---- */

struct unpack {
    struct arena *arena;
    struct fault *fault;
    struct path path;
    int depth;
};

static enum err malformed(struct unpack *u, const char *message)
{
    if (u->fault) {
        char pointer[POINTER_SIZE];
        path_print(&u->path, pointer);
        fault_add(u->fault, pointer, "malformed", -1, "%s", message);
    }
    return fault_set(u->fault, ERR_INVALID_BODY, NULL);
}

static enum err unpack_map(struct unpack *u, const struct record *record, struct wire *wire, void *out);

static enum err unpack_texts(struct unpack *u, const struct field *field, struct wire *wire, void *at)
{
    struct text_list list = {0};
    char message[128];
    if (!wire_read_array(wire, &list.count) || list.count > field->count_max) {
        return malformed(u, "is no array, or has too many entries");
    }
    list.items = arena_alloc(u->arena, list.count * sizeof *list.items);
    for (uint32_t i = 0; i < list.count; i++) {
        if (!wire_read_text(wire, &list.items[i]) ||
            !field_check_text(field, list.items[i], message, sizeof message)) {
            return malformed(u, "has an entry that is no text, or is out of bounds");
        }
    }
    memcpy(at, &list, sizeof list);
    return ERR_NONE;
}

static enum err unpack_list(struct unpack *u, const struct field *field, struct wire *wire, void *at)
{
    uint32_t count;
    if (!wire_read_array(wire, &count) || count < field->min || count > field->max) {
        return malformed(u, "is no array, or has too few or too many entries");
    }
    char *items = arena_alloc(u->arena, count * field->record->size);
    for (uint32_t i = 0; i < count; i++) {
        path_enter(&u->path, NULL, i);
        enum err e = unpack_map(u, field->record, wire, items + i * field->record->size);
        if (e != ERR_NONE) {
            return e;
        }
        path_leave(&u->path);
    }
    memcpy(at, &items, sizeof items);
    memcpy((char *)at + sizeof items, &count, sizeof count);
    return ERR_NONE;
}

static enum err unpack_raw(struct unpack *u, const struct field *field, struct wire *wire, void *at)
{
    struct wire start = *wire;
    if (!wire_skip(wire, RECORD_MAX_DEPTH - u->depth)) {
        return malformed(u, "is not well-formed, or too deep");
    }
    struct text raw = {(const char *)start.at, (uint32_t)(wire->at - start.at)};
    if (raw.size < field->min || raw.size > field->max) {
        return malformed(u, "has too few or too many bytes");
    }
    memcpy(at, &raw, sizeof raw);
    return ERR_NONE;
}

static enum err unpack_scalar(struct unpack *u, const struct field *field, struct wire *wire, void *at)
{
    char message[128];
    struct text text;
    int64_t number;
    bool flag;
    int value;
    if (field->kind == FIELD_TEXT) {
        if (!wire_read_text(wire, &text)) {
            return malformed(u, "is not a text");
        }
        if (!field_check_text(field, text, message, sizeof message)) {
            return malformed(u, message);
        }
        memcpy(at, &text, sizeof text);
    } else if (field->kind == FIELD_BOOL) {
        if (!wire_read_bool(wire, &flag)) {
            return malformed(u, "is not true or false");
        }
        memcpy(at, &flag, sizeof flag);
    } else if (field->kind == FIELD_ENUM) {
        if (!wire_read_text(wire, &text) || !enum_find(field->names, text, &value)) {
            return malformed(u, "is none of the names allowed");
        }
        memcpy(at, &value, sizeof value);
    } else {
        if (!wire_read_int(wire, &number)) {
            return malformed(u, "is not a whole number");
        }
        if (!field_check_int(field, number, message, sizeof message)) {
            return malformed(u, message);
        }
        memcpy(at, &number, sizeof number);
    }
    return ERR_NONE;
}

static enum err unpack_value(struct unpack *u, const struct field *field, struct wire *wire, void *at)
{
    if (field->kind == FIELD_STRS) {
        return unpack_texts(u, field, wire, at);
    }
    if (field->kind == FIELD_LIST) {
        return unpack_list(u, field, wire, at);
    }
    if (field->kind == FIELD_RAW) {
        return unpack_raw(u, field, wire, at);
    }
    if (field->kind != FIELD_REC) {
        return unpack_scalar(u, field, wire, at);
    }
    void *nested = arena_alloc(u->arena, field->record->size);
    enum err e = unpack_map(u, field->record, wire, nested);
    if (e == ERR_NONE) {
        memcpy(at, &nested, sizeof nested);
    }
    return e;
}

/* The field called name; the one at *hint first, because senders write in table order. */
static const struct field *field_expected(const struct record *record, struct text name, uint32_t *hint)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        uint32_t at = (*hint + i) % record->field_count;
        if (text_equal(name, field_name(&record->fields[at]))) {
            *hint = at + 1;
            return &record->fields[at];
        }
    }
    return NULL;
}

/* Where the unpacking of one map stands. */
struct map_state {
    uint32_t hint; /* index of the field that is likely next */
    uint64_t seen; /* by index; unlike the presence bits also those that were nil */
};

static enum err unpack_entry(struct unpack *u, const struct record *record, struct wire *wire, struct map_state *state,
                             void *out)
{
    struct text key;
    if (!wire_read_text(wire, &key)) {
        return malformed(u, "has a key that is not a text");
    }
    const struct field *field = field_expected(record, key, &state->hint);
    if (!field) {
        return wire_skip(wire, RECORD_MAX_DEPTH - u->depth) ? ERR_NONE : malformed(u, "has a malformed value");
    }
    uint32_t index = (uint32_t)(field - record->fields);
    path_enter(&u->path, field->name, 0);
    if (state->seen >> index & 1) {
        return malformed(u, "is given twice");
    }
    state->seen |= UINT64_C(1) << index;
    if (wire_peek(wire) == WIRE_NIL && !(field->flags & REQ) && field->kind != FIELD_RAW) {
        path_leave(&u->path);
        return wire_read_nil(wire) ? ERR_NONE : ERR_INTERNAL;
    }
    enum err e = unpack_value(u, field, wire, field_at(field, out));
    if (e == ERR_NONE) {
        record_set_has(out, index);
        path_leave(&u->path);
    }
    return e;
}

static enum err unpack_map(struct unpack *u, const struct record *record, struct wire *wire, void *out)
{
    uint32_t count;
    struct map_state state = {0};
    if (!wire_read_map(wire, &count)) {
        return malformed(u, "is not a map");
    }
    if (++u->depth > RECORD_MAX_DEPTH) {
        return malformed(u, "is too deep");
    }
    for (uint32_t i = 0; i < count; i++) {
        enum err e = unpack_entry(u, record, wire, &state, out);
        if (e != ERR_NONE) {
            return e;
        }
    }
    for (uint32_t i = 0; i < record->field_count; i++) {
        if ((record->fields[i].flags & REQ) && !record_has(out, i)) {
            path_enter(&u->path, record->fields[i].name, 0);
            return malformed(u, "is required");
        }
    }
    u->depth--;
    return ERR_NONE;
}

enum err record_unpack(const struct record *record, struct text bytes, struct arena *arena, struct fault *fault,
                       void *out)
{
    struct unpack u;
    u.arena = arena;
    u.fault = fault;
    u.path.count = 0;
    u.depth = 0;
    struct wire wire = wire_of(bytes);
    void *decoded = arena_alloc(arena, record->size);
    enum err e = unpack_map(&u, record, &wire, decoded);
    if (e == ERR_NONE && wire_peek(&wire) != WIRE_END) {
        e = malformed(&u, "is followed by bytes that do not belong to it");
    }
    if (e == ERR_NONE) {
        memcpy(out, decoded, record->size);
    }
    return e;
}
