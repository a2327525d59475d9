#include "tests/proto/bounds.h"

#include <string.h>

#include "tests/proto/sample.h"

enum { RAW_HEAD_SIZE = 5, EDGES = 4 };

struct walk {
    bound_visit *visit;
    void *user;
    int count;
    int depth;
};

/* length code points of two bytes each. */
static struct text letters(struct arena *arena, int64_t length)
{
    char *data = arena_alloc(arena, (size_t)length * 2 + 1);
    for (int64_t i = 0; i < length; i++) {
        memcpy(data + 2 * i, "\xc3\xa9", 2);
    }
    return (struct text){data, (uint32_t)length * 2};
}

/* One msgpack value of so many bytes, a text where that can be. */
static struct text raw_of(struct arena *arena, int64_t size)
{
    char *data = arena_alloc(arena, (size_t)size + 1);
    uint32_t length = (uint32_t)(size - RAW_HEAD_SIZE);
    const char head[RAW_HEAD_SIZE] = {(char)0xdb, (char)(length >> 24), (char)(length >> 16), (char)(length >> 8),
                                      (char)length};
    memset(data, size < RAW_HEAD_SIZE ? 0 : 'a', (size_t)size);
    if (size >= RAW_HEAD_SIZE) {
        memcpy(data, head, sizeof head);
    } else if (size > 1) {
        data[0] = (char)(0xa0 | (size - 1)); /* a short text */
    }
    return (struct text){data, (uint32_t)size};
}

static struct text_list texts_of(struct arena *arena, uint32_t count, int64_t length)
{
    struct text_list list = {arena_alloc(arena, (count + 1) * sizeof(struct text)), count};
    for (uint32_t i = 0; i < count; i++) {
        list.items[i] = letters(arena, length);
    }
    return list;
}

static void edge_store(const struct field *field, struct arena *arena, int64_t edge, void *at)
{
    uint64_t seed = 1;
    struct text text;
    char *items;
    uint32_t count = (uint32_t)edge;
    if (field->kind == FIELD_TEXT || field->kind == FIELD_RAW) {
        text = field->kind == FIELD_TEXT ? letters(arena, edge) : raw_of(arena, edge);
        memcpy(at, &text, sizeof text);
    } else if (field->kind == FIELD_LIST) {
        items = arena_alloc(arena, (count + 1) * field->record->size);
        for (uint32_t i = 0; i < count; i++) {
            sample_fill(field->record, &seed, arena, items + i * field->record->size);
        }
        memcpy(at, &items, sizeof items);
        memcpy((char *)at + sizeof items, &count, sizeof count);
    } else {
        memcpy(at, &edge, sizeof edge);
    }
}

static bool has_bounds(const struct field *field)
{
    return field->kind != FIELD_BOOL && field->kind != FIELD_ENUM && field->kind != FIELD_REC;
}

/* min - 1, min, max, max + 1, where they can be written. */
static int edges_of(const struct field *field, int64_t out[EDGES])
{
    bool number = field->kind == FIELD_INT || field->kind == FIELD_TIME || field->kind == FIELD_MONEY ||
                  field->kind == FIELD_DECIMAL;
    int64_t least = number ? INT64_MIN : field->kind == FIELD_RAW ? 1 : 0;
    int count = 0;
    if (field->min > least) {
        out[count++] = field->min - 1;
    }
    out[count++] = field->min < least ? least : field->min;
    out[count++] = field->max;
    if (field->max < INT64_MAX) {
        out[count++] = field->max + 1;
    }
    return count;
}

/* Good, and with all that must not be null. */
static void *good_value(const struct record *record, struct arena *arena)
{
    void *value = arena_alloc(arena, record->size);
    uint64_t seed = 7;
    sample_fill(record, &seed, arena, value);
    for (uint32_t i = 0; i < record->field_count; i++) {
        if ((record->fields[i].flags & NOT_NULL) && !record_has(value, i)) {
            record_set_has(value, i);
            sample_value_fill(&record->fields[i], &seed, arena, field_at(&record->fields[i], value));
        }
    }
    return value;
}

static void case_tell(struct walk *walk, const struct record *record, uint32_t at, int64_t edge, bool of_count)
{
    AUTO(arena_release) struct arena arena = {0};
    struct field *fields = arena_alloc(&arena, record->field_count * sizeof *fields);
    memcpy(fields, record->fields, record->field_count * sizeof *fields);
    fields[at].min =
        fields[at].kind == FIELD_TEXT || fields[at].kind == FIELD_STRS || fields[at].kind == FIELD_RAW ? 0 : INT64_MIN;
    fields[at].max = INT64_MAX;
    fields[at].count_max = UINT32_MAX;
    struct record wide = *record;
    wide.fields = fields;
    const struct field *field = &record->fields[at];
    void *value = good_value(record, &arena);
    record_set_has(value, at);
    if (field->kind == FIELD_STRS) {
        struct text_list list = texts_of(&arena, of_count ? (uint32_t)edge : 1, of_count ? field->max : edge);
        memcpy(field_at(field, value), &list, sizeof list);
    } else {
        edge_store(field, &arena, edge, field_at(field, value));
    }
    struct bound_case found = {.record = record, .wide = &wide, .field = field, .value = value, .arena = &arena};
    found.within = of_count ? edge <= field->count_max : edge >= field->min && edge <= field->max;
    walk->visit(&found, walk->user);
    walk->count++;
}

static void record_walk(struct walk *walk, const struct record *record)
{
    for (uint32_t at = 0; at < record->field_count; at++) {
        const struct field *field = &record->fields[at];
        int64_t edges[EDGES];
        for (int i = has_bounds(field) ? edges_of(field, edges) : 0; i-- > 0;) {
            case_tell(walk, record, at, edges[i], false);
        }
        for (uint32_t more = 0; field->kind == FIELD_STRS && more <= 1; more++) {
            case_tell(walk, record, at, field->count_max + more, true);
        }
        if (field->record && walk->depth < RECORD_MAX_DEPTH) {
            walk->depth++;
            record_walk(walk, field->record);
            walk->depth--;
        }
    }
}

int bounds_walk(const struct record *record, bound_visit *visit, void *user)
{
    struct walk walk = {.visit = visit, .user = user};
    record_walk(&walk, record);
    return walk.count;
}
