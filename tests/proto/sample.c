#include "tests/proto/sample.h"

#include "proto/fault.h"
#include "proto/mmi.h"
#include "proto/ops.h"
#include "proto/pack.h"

const struct record *const sample_records[] = {
#define OP(service, name, method, path, role, key, access, priority, budget_ms, request, reply, status)                \
    &request##_record, &reply##_record,
#include "proto/ops/all.def"
#define EVENT(name, type, payload, private_payload) &payload##_record, &private_payload##_record,
#include "proto/events.def"
    &event_meta_record,    &stream_head_record, &hello_record, &welcome_record, &call_meta_record, &reply_meta_record,
    &metric_report_record, &problem_record,     &mmi_service_ref_record, &mmi_service_record, &mmi_worker_list_record,
    &mmi_queue_list_record, &mmi_dlq_record,    &mmi_dead_letters_record, NULL,
};

uint64_t sample_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int64_t between(uint64_t *seed, int64_t min, int64_t max)
{
    uint64_t span = (uint64_t)max - (uint64_t)min;
    switch (sample_random(seed) % 4) {
    case 0: return min;
    case 1: return max;
    case 2:
        return span < 300 ? min + (int64_t)(sample_random(seed) % (span + 1))
                          : min + (int64_t)(sample_random(seed) % 300);
    default:
        return span == UINT64_MAX ? (int64_t)sample_random(seed)
                                  : (int64_t)((uint64_t)min + sample_random(seed) % (span + 1));
    }
}

/* Counts and lengths: near the least, seldom the most. */
static uint32_t amount(uint64_t *seed, int64_t min, int64_t max, int64_t most)
{
    int64_t top = max < most ? max : most;
    if (sample_random(seed) % 50 == 0 && max <= 300) {
        return (uint32_t)max;
    }
    return (uint32_t)(top <= min ? min : min + (int64_t)(sample_random(seed) % (uint64_t)(top - min + 1)));
}

static struct text text_fill(const struct field *field, uint64_t *seed, struct arena *arena)
{
    static const char *const points[] = {
        "a", "Z", "0", "\"", "\\", "/", "~", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9b\x92", "\n", "\x01", "\x7f"};
    uint32_t length = amount(seed, field->min, field->max, 40), used = 0;
    char *data = arena_alloc(arena, length * 4 + 1);
    for (uint32_t i = 0; i < length; i++) {
        const char *point = points[sample_random(seed) % (field->flags & LINE ? 10 : 13)];
        memcpy(data + used, point, strlen(point));
        used += (uint32_t)strlen(point);
    }
    return (struct text){data, used};
}

static struct text raw_fill(const struct field *field, uint64_t *seed, struct arena *arena)
{
    AUTO(buffer_release) struct buffer value;
    buffer_init(&value, (size_t)field->max);
    if (sample_random(seed) % 2 && field->max > 100) {
        (void)(pack_map(&value, 1) && pack_text(&value, TEXT("k")) && pack_array(&value, 2) && pack_nil(&value) &&
               pack_bool(&value, true));
    } else {
        (void)pack_int(&value, (int64_t)sample_random(seed));
    }
    return (struct text){arena_copy(arena, value.data, value.size), (uint32_t)value.size};
}

static void list_fill(const struct field *field, uint64_t *seed, struct arena *arena, void *at)
{
    uint32_t count = amount(seed, field->min, field->max, 3);
    char *items = arena_alloc(arena, count * field->record->size);
    for (uint32_t i = 0; i < count; i++) {
        sample_fill(field->record, seed, arena, items + i * field->record->size);
    }
    memcpy(at, &items, sizeof items);
    memcpy((char *)at + sizeof items, &count, sizeof count);
}

void sample_value_fill(const struct field *field, uint64_t *seed, struct arena *arena, void *at)
{
    struct text text;
    struct text_list texts;
    void *nested;
    bool flag = sample_random(seed) % 2;
    int value = field->names ? (int)(sample_random(seed) % (uint64_t)field->names->count) : 0;
    int64_t number;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_RAW:
        text = field->kind == FIELD_RAW ? raw_fill(field, seed, arena) : text_fill(field, seed, arena);
        memcpy(at, &text, sizeof text);
        break;
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL:
        number = between(seed, field->min, field->max);
        memcpy(at, &number, sizeof number);
        break;
    case FIELD_BOOL: memcpy(at, &flag, sizeof flag); break;
    case FIELD_ENUM: memcpy(at, &value, sizeof value); break;
    case FIELD_STRS:
        texts.count = amount(seed, 0, field->count_max, 4);
        texts.items = arena_alloc(arena, texts.count * sizeof *texts.items);
        for (uint32_t i = 0; i < texts.count; i++) {
            texts.items[i] = text_fill(field, seed, arena);
        }
        memcpy(at, &texts, sizeof texts);
        break;
    case FIELD_LIST: list_fill(field, seed, arena, at); break;
    case FIELD_REC:
        nested = arena_alloc(arena, field->record->size);
        sample_fill(field->record, seed, arena, nested);
        memcpy(at, &nested, sizeof nested);
        break;
    }
}

void sample_fill(const struct record *record, uint64_t *seed, struct arena *arena, void *out)
{
    memset(out, 0, record->size);
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((field->flags & REQ) || sample_random(seed) % 2) {
            record_set_has(out, i);
            sample_value_fill(field, seed, arena, field_at(field, out));
        }
    }
}

static bool texts_equal(const void *a, const void *b)
{
    struct text_list left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    bool equal = left.count == right.count;
    for (uint32_t i = 0; equal && i < left.count; i++) {
        equal = text_equal(left.items[i], right.items[i]);
    }
    return equal;
}

static bool lists_equal(const struct field *field, const void *a, const void *b)
{
    const char *left, *right;
    uint32_t left_count, right_count;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    memcpy(&left_count, (const char *)a + sizeof left, sizeof left_count);
    memcpy(&right_count, (const char *)b + sizeof right, sizeof right_count);
    bool equal = left_count == right_count;
    for (uint32_t i = 0; equal && i < left_count; i++) {
        equal = sample_equal(field->record, left + i * field->record->size, right + i * field->record->size);
    }
    return equal;
}

static bool values_equal(const struct field *field, const void *a, const void *b)
{
    struct text left, right;
    const void *left_record, *right_record;
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_RAW:
        memcpy(&left, a, sizeof left);
        memcpy(&right, b, sizeof right);
        return text_equal(left, right);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: return memcmp(a, b, sizeof(int64_t)) == 0;
    case FIELD_BOOL: return memcmp(a, b, sizeof(bool)) == 0;
    case FIELD_ENUM: return memcmp(a, b, sizeof(int)) == 0;
    case FIELD_STRS: return texts_equal(a, b);
    case FIELD_LIST: return lists_equal(field, a, b);
    case FIELD_REC:
        memcpy(&left_record, a, sizeof left_record);
        memcpy(&right_record, b, sizeof right_record);
        return sample_equal(field->record, left_record, right_record);
    }
    return false;
}

bool sample_equal(const struct record *record, const void *a, const void *b)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if (record_has(a, i) != record_has(b, i) ||
            (record_has(a, i) && !values_equal(field, field_in(field, a), field_in(field, b)))) {
            return false;
        }
    }
    return true;
}
