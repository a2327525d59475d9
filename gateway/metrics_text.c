#include "gateway/metrics_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKETS_TEXT_SIZE = METRIC_BUCKET_COUNT * 21 + 1, NUMBER_SIZE = 40 };

/* ---- from a registry ---- */

struct series_list {
    struct arena *arena;
    struct metric_series *items; /* METRIC_MAX_COUNT */
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

void metrics_list_of(struct metrics *metrics, const char *instance, struct arena *arena, struct metric_list *out)
{
    struct series_list list = {.arena = arena,
                               .items = arena_alloc(arena, METRIC_MAX_COUNT * sizeof(struct metric_series))};
    metrics_each(metrics, series_add, &list);
    *out = (struct metric_list){.instance = text_of(instance)};
    out->series.items = list.items;
    out->series.count = list.count;
}

/* ---- to text ---- */

/* One series of one process. */
struct line {
    struct text instance;
    const struct metric_series *series;
    uint32_t order; /* as it came */
};

static int line_compare(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = text_compare(x->series->name, y->series->name);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static bool label_value_write(struct text value, struct buffer *out)
{
    bool added = true;
    for (uint32_t i = 0; added && i < value.size; i++) {
        char c = value.data[i];
        added = c == '\n'               ? buffer_add_string(out, "\\n")
                : c == '"' || c == '\\' ? buffer_add_char(out, '\\') && buffer_add_char(out, c)
                                        : buffer_add_char(out, c);
    }
    return added;
}

/* name_suffix{instance="...",labels,le="..."} value; le may be NULL. */
static bool sample_write(const struct line *line, const char *suffix, const char *le, const char *value,
                         struct buffer *out)
{
    bool added = buffer_add_text(out, line->series->name) && buffer_add_string(out, suffix) &&
                 buffer_add_string(out, "{instance=\"") && label_value_write(line->instance, out) &&
                 buffer_add_char(out, '"');
    if (line->series->labels.size) {
        added = added && buffer_add_char(out, ',') && buffer_add_text(out, line->series->labels);
    }
    if (le) {
        added = added && buffer_add_string(out, ",le=\"") && buffer_add_string(out, le) && buffer_add_char(out, '"');
    }
    return added && buffer_add_string(out, "} ") && buffer_add_string(out, value) && buffer_add_char(out, '\n');
}

static bool histogram_write(const struct line *line, struct buffer *out)
{
    bool is_time = line->series->kind == METRIC_TIME;
    struct text rest = line->series->buckets;
    struct text one;
    int64_t count, total = 0;
    char le[NUMBER_SIZE], value[NUMBER_SIZE];
    bool added = true;
    for (int i = 0; added && i < METRIC_BUCKET_COUNT; i++) {
        total += text_cut(&rest, ' ', &one) && text_to_int(one, &count) ? count : 0;
        snprintf(value, sizeof value, "%" PRId64, total);
        if (i == METRIC_BUCKET_COUNT - 1) {
            snprintf(le, sizeof le, "+Inf");
        } else if (is_time) {
            snprintf(le, sizeof le, "%g", (double)metric_bucket_us[i] / 1e6);
        } else {
            snprintf(le, sizeof le, "%" PRId64, metric_bucket_amount[i]);
        }
        added = sample_write(line, "_bucket", le, value, out);
    }
    added = added && sample_write(line, "_count", NULL, value, out);
    if (is_time) {
        snprintf(value, sizeof value, "%.6f", (double)line->series->value / 1e6);
    } else {
        snprintf(value, sizeof value, "%" PRId64, line->series->value);
    }
    return added && sample_write(line, "_sum", NULL, value, out);
}

static bool series_write(const struct line *line, struct buffer *out)
{
    char value[NUMBER_SIZE];
    if (line->series->kind == METRIC_TIME || line->series->kind == METRIC_AMOUNT) {
        return histogram_write(line, out);
    }
    snprintf(value, sizeof value, "%" PRId64, line->series->value);
    return sample_write(line, "", NULL, value, out);
}

static bool family_write(const struct metric_series *first, struct buffer *out)
{
    const char *type = first->kind == METRIC_COUNTER ? "counter" : first->kind == METRIC_GAUGE ? "gauge" : "histogram";
    bool added = buffer_add_string(out, "# HELP ") && buffer_add_text(out, first->name) && buffer_add_char(out, ' ');
    for (uint32_t i = 0; added && i < first->help.size; i++) {
        char c = first->help.data[i];
        added = c == '\n'   ? buffer_add_char(out, ' ')
                : c == '\\' ? buffer_add_string(out, "\\\\")
                            : buffer_add_char(out, c);
    }
    return added && buffer_add_string(out, "\n# TYPE ") && buffer_add_text(out, first->name) &&
           buffer_add_char(out, ' ') && buffer_add_string(out, type) && buffer_add_char(out, '\n');
}

bool metrics_write(const struct metric_list *processes, uint32_t process_count, struct arena *arena, struct buffer *out)
{
    uint32_t total = 0, count = 0;
    for (uint32_t i = 0; i < process_count; i++) {
        total += processes[i].series.count;
    }
    struct line *lines = arena_alloc(arena, total * sizeof *lines);
    for (uint32_t i = 0; i < process_count; i++) {
        for (uint32_t j = 0; j < processes[i].series.count; j++, count++) {
            lines[count] = (struct line){processes[i].instance, &processes[i].series.items[j], count};
        }
    }
    qsort(lines, count, sizeof *lines, line_compare);
    bool added = true;
    const struct metric_series *first = NULL;
    for (uint32_t i = 0; added && i < count; i++) {
        const struct metric_series *series = lines[i].series;
        if (!first || !text_equal(first->name, series->name)) {
            first = series;
            added = family_write(first, out);
        }
        if (series->kind == first->kind) {
            added = added && series_write(&lines[i], out);
        }
    }
    return added;
}
