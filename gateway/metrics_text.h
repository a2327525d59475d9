/* Prometheus text (exposition format 0.0.4) of several processes' metrics on one page. */
#ifndef ZMART_GATEWAY_METRICS_TEXT_H
#define ZMART_GATEWAY_METRICS_TEXT_H

#include "lib/base/buffer.h"
#include "lib/base/metrics.h"
#include "proto/frame.h"

/* The registry as a process of a report; everything in arena. */
void metrics_list_of(struct metrics *metrics, const char *instance, struct arena *arena, struct metric_list *out);
/* Each name once with HELP and TYPE, a label "instance" on every series, times in seconds, buckets cumulative. Series
 * whose kind differs from the first of their name are left out. Works in arena. */
bool metrics_write(const struct metric_list *processes, uint32_t process_count, struct arena *arena,
                   struct buffer *out);

#endif
