/* A metrics registry as the record metric_list: what a worker sends along with PING, and a broker puts first in its
 * report. */
#ifndef ZMART_PROTO_REPORT_H
#define ZMART_PROTO_REPORT_H

#include "lib/base/buffer.h"
#include "lib/base/metrics.h"

/* Appends the packed metric_list of all series; instance of 1 to 60 characters. False only when out's maximum is
 * reached. */
MUST_USE bool metric_list_pack(struct metrics *metrics, const char *instance, struct buffer *out);

#endif
