/* The gateway's metrics of requests: found once per series, then one atomic add each. */
#ifndef ZMART_GATEWAY_COUNTERS_H
#define ZMART_GATEWAY_COUNTERS_H

#include "gateway/router.h"
#include "lib/base/metrics.h"

struct counters;

/* metrics and router are borrowed. */
struct counters *counters_new(struct metrics *metrics, const struct router *router);
void counters_destroy(struct counters **self);
/* route NULL: none was found. Thread-safe. */
void counters_add(struct counters *self, const struct route *route, enum verb verb, int status, int64_t spent_us);
/* Requests being answered now. */
struct metric *counters_in_flight(struct counters *self);

#endif
