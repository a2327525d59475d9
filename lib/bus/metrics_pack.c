#include <inttypes.h>
#include <stdio.h>

#include "lib/bus/service_parts.h"

enum { METRICS_PACKED_MAX_SIZE = 512 * 1024, BUCKETS_TEXT_SIZE = 16 * 21 + 1 };

struct series_list {
    struct arena *arena;
    struct metric_series items[METRIC_MAX_COUNT];
    uint32_t count;
};

static struct text buckets_text(struct metric *metric, struct arena *arena)
{
    char text[BUCKETS_TEXT_SIZE];
    size_t size = 0;
    for (int i = 0; i < METRIC_BUCKET_COUNT; i++) {
        long long count = atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%lld", i ? " " : "", count);
    }
    return (struct text){arena_copy(arena, text, size), (uint32_t)size};
}

static void series_add(struct metric *metric, void *user)
{
    struct series_list *list = user;
    struct metric_series *series = &list->items[list->count++];
    *series = (struct metric_series){.name = text_of(metric->name),
                                     .labels = text_of(metric->labels),
                                     .help = text_of(metric->help),
                                     .kind = (int64_t)metric->kind,
                                     .value = metric_value(metric)};
    if (metric->kind == METRIC_TIME || metric->kind == METRIC_AMOUNT) {
        series->buckets = buckets_text(metric, list->arena);
        set_has(metric_series, series, buckets);
    }
}

struct text metrics_pack(struct metrics *metrics, const char *instance, struct arena *arena)
{
    struct series_list *list = arena_alloc(arena, sizeof *list);
    list->arena = arena;
    metrics_each(metrics, series_add, list);
    struct metric_list record = {.instance = text_of(instance)};
    record.series.items = list->items;
    record.series.count = list->count;
    AUTO(buffer_release) struct buffer packed;
    buffer_init(&packed, METRICS_PACKED_MAX_SIZE);
    if (!record_pack(&metric_list_record, &record, &packed)) {
        return (struct text){0};
    }
    return (struct text){arena_copy(arena, packed.data, packed.size), (uint32_t)packed.size};
}
