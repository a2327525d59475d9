#include "proto/report.h"

#include "proto/frame.h"

_Static_assert((int)METRIC_MAX_COUNT <= (int)METRIC_SERIES_MAX, "a list holds every series of a registry");

struct report {
    struct arena *arena;
    struct metric_list *list;
};

static struct text buckets_in(struct arena *arena, struct metric *metric)
{
    AUTO(buffer_release) struct buffer text;
    buffer_init(&text, METRIC_BUCKET_COUNT * 21);
    for (int i = 0; i < METRIC_BUCKET_COUNT; i++) {
        long long count = atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        (void)buffer_printf(&text, "%s%lld", i ? " " : "", count);
    }
    return (struct text){arena_copy(arena, text.data, text.size), (uint32_t)text.size};
}

static void series_add(struct metric *metric, void *user)
{
    struct report *report = user;
    struct metric_series *series = &report->list->series.items[report->list->series.count++];
    *series = (struct metric_series){.name = text_of(metric->name),
                                     .labels = text_of(metric->labels),
                                     .help = text_of(metric->help),
                                     .kind = metric->kind,
                                     .value = metric_value(metric)};
    if (metric->kind == METRIC_TIME || metric->kind == METRIC_AMOUNT) {
        series->buckets = buckets_in(report->arena, metric);
        set_has(metric_series, series, buckets);
    }
}

bool metric_list_pack(struct metrics *metrics, const char *instance, struct buffer *out)
{
    struct arena arena = {0};
    struct metric_list list = {.instance = text_of(instance)};
    list.series.items = arena_alloc(&arena, METRIC_MAX_COUNT * sizeof *list.series.items);
    struct report report = {.arena = &arena, .list = &list};
    metrics_each(metrics, series_add, &report);
    bool packed = record_pack(&metric_list_record, &list, out);
    arena_release(&arena);
    return packed;
}
