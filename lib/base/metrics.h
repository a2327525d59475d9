/* Counters, gauges and histograms of one process (or of one room of it), by name and labels.
 * Looking a metric up takes a lock and is done at start or on rare paths; changing one is one atomic add.
 * Names follow Prometheus: zmart_<what>_<unit>, counters end in _total, times are seconds when shown. */
#ifndef ZMART_BASE_METRICS_H
#define ZMART_BASE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"

enum { METRIC_MAX_COUNT = 512, METRIC_BUCKET_COUNT = 16 };
/* Upper bounds of the histograms' buckets; the last one has none. */
extern const int64_t metric_bucket_us[METRIC_BUCKET_COUNT - 1];      /* METRIC_TIME: microseconds */
extern const int64_t metric_bucket_amount[METRIC_BUCKET_COUNT - 1];  /* METRIC_AMOUNT: 1, 2, 4 ... */

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_TIME, METRIC_AMOUNT };

struct metric {
    enum metric_kind kind;
    const char *name;   /* borrowed, a literal */
    const char *help;   /* borrowed, a literal */
    char *labels;       /* owned: 'route="x",status="200"', or empty */
    atomic_llong value; /* counter, gauge; histograms: the sum (microseconds for METRIC_TIME) */
    atomic_llong buckets[METRIC_BUCKET_COUNT]; /* histograms: how many fell into each, not cumulative */
};

struct metrics; /* a registry */

struct metrics *metrics_new(void);
void metrics_destroy(struct metrics **self);
/* Finds or makes; the pointer stays valid as long as the registry. labels is copied; values in it must be
 * escaped already (ours are route templates, numbers and names). Beyond METRIC_MAX_COUNT series a shared
 * one named zmart_metrics_overflow is given out. Thread-safe. */
struct metric *metrics_get(struct metrics *metrics, enum metric_kind kind, const char *name, const char *labels,
                           const char *help);
void metric_add(struct metric *metric, int64_t by);
void metric_set(struct metric *metric, int64_t value);
/* Histograms: counts one observation (microseconds for METRIC_TIME). */
void metric_observe(struct metric *metric, int64_t amount);
int64_t metric_value(struct metric *metric);

typedef void metric_visit(struct metric *metric, void *user);
/* Calls visit for each, names of one kind together, in order of first use. Thread-safe. */
void metrics_each(struct metrics *metrics, metric_visit *visit, void *user);

#endif
