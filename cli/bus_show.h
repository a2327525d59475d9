/* What brokers say about themselves, as tables for people and as JSON for scripts. Pure. */
#ifndef ZMART_CLI_BUS_SHOW_H
#define ZMART_CLI_BUS_SHOW_H

#include "lib/base/buffer.h"
#include "lib/base/mem.h"
#include "proto/mmi.h"

enum bus_topic { BUS_STATUS, BUS_TOPIC_WORKERS, BUS_TOPIC_QUEUES, BUS_TOPIC_DLQ };

/* What one broker answered; what was not asked for is NULL. */
struct bus_view {
    const char *address;
    const char *error; /* why there is no answer, one line; NULL: there is one */
    int64_t answered_us;
    const struct mmi_queue_list *queues;
    const struct mmi_worker_list *workers;
    const struct mmi_dead_letters *letters;
};

/* Appends the tables of all brokers; false only when out's maximum is reached. */
MUST_USE bool bus_show_tables(enum bus_topic topic, const struct bus_view *views, int view_count, struct arena *arena,
                              struct buffer *out);
/* One line: {"brokers":[{"address":...,"answered_us":...,"queues":{...},"workers":{...},"dead_letters":{...}}]}, with
 * "error" instead for one that did not answer. What is inside is as proto/mmi.h names it. */
MUST_USE bool bus_show_json(const struct bus_view *views, int view_count, struct buffer *out);

#endif
