#include "lib/base/metrics.h"

#include <pthread.h>
#include <string.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

const int64_t metric_bucket_us[METRIC_BUCKET_COUNT - 1] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};
const int64_t metric_bucket_amount[METRIC_BUCKET_COUNT - 1] = {1,   2,   4,    8,    16,   32,   64,   128,
                                                              256, 512, 1024, 2048, 4096, 8192, 16384};

struct metrics {
    pthread_mutex_t lock;
    struct metric *list[METRIC_MAX_COUNT];
    int count;
};

struct metrics *metrics_new(void)
{
    struct metrics *self = mem_alloc(sizeof *self);
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    return self;
}

void metrics_destroy(struct metrics **self)
{
    if (!*self) {
        return;
    }
    for (int i = 0; i < (*self)->count; i++) {
        mem_free((*self)->list[i]->labels);
        mem_free((*self)->list[i]);
    }
    pthread_mutex_destroy(&(*self)->lock);
    mem_free(*self);
    *self = NULL;
}

static struct metric *metric_find(struct metrics *metrics, const char *name, const char *labels)
{
    for (int i = 0; i < metrics->count; i++) {
        struct metric *metric = metrics->list[i];
        if (strcmp(metric->name, name) == 0 && strcmp(metric->labels, labels) == 0) {
            return metric;
        }
    }
    return NULL;
}

static struct metric *metric_make(struct metrics *metrics, enum metric_kind kind, const char *name,
                                  const char *labels, const char *help)
{
    struct metric *metric = mem_alloc(sizeof *metric);
    metric->kind = kind;
    metric->name = name;
    metric->help = help;
    metric->labels = mem_copy_string(labels);
    metrics->list[metrics->count++] = metric;
    return metric;
}

struct metric *metrics_get(struct metrics *metrics, enum metric_kind kind, const char *name, const char *labels,
                           const char *help)
{
    labels = labels ? labels : "";
    ASSERT(pthread_mutex_lock(&metrics->lock) == 0);
    struct metric *metric = metric_find(metrics, name, labels);
    if (!metric && metrics->count < METRIC_MAX_COUNT - 1) {
        metric = metric_make(metrics, kind, name, labels, help);
    } else if (!metric) {
        metric = metric_find(metrics, "zmart_metrics_overflow", "");
        metric = metric ? metric
                        : metric_make(metrics, METRIC_GAUGE, "zmart_metrics_overflow", "",
                                      "Written instead of series beyond the registry's limit.");
    }
    ASSERT(pthread_mutex_unlock(&metrics->lock) == 0);
    return metric;
}

void metric_add(struct metric *metric, int64_t by)
{
    atomic_fetch_add_explicit(&metric->value, by, memory_order_relaxed);
}

void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

void metric_observe(struct metric *metric, int64_t amount)
{
    const int64_t *bounds = metric->kind == METRIC_TIME ? metric_bucket_us : metric_bucket_amount;
    int bucket = 0;
    while (bucket < METRIC_BUCKET_COUNT - 1 && amount > bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->value, amount, memory_order_relaxed);
}

int64_t metric_value(struct metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

void metrics_each(struct metrics *metrics, metric_visit *visit, void *user)
{
    struct metric *list[METRIC_MAX_COUNT];
    ASSERT(pthread_mutex_lock(&metrics->lock) == 0);
    int count = metrics->count;
    memcpy(list, metrics->list, (size_t)count * sizeof *list);
    ASSERT(pthread_mutex_unlock(&metrics->lock) == 0);
    for (int i = 0; i < count; i++) {
        bool seen = false;
        for (int j = 0; j < i && !seen; j++) {
            seen = strcmp(list[j]->name, list[i]->name) == 0;
        }
        for (int j = i; j < count && !seen; j++) {
            if (strcmp(list[j]->name, list[i]->name) == 0) {
                visit(list[j], user);
            }
        }
    }
}
