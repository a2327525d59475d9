/* Pages of the event log as clients see them, asked of event-svc. */
#ifndef ZMART_GATEWAY_EVENT_SOURCE_H
#define ZMART_GATEWAY_EVENT_SOURCE_H

#include "lib/bus/client.h"
#include "proto/event.h"

struct event_ask {
    int64_t after;       /* only what is newer */
    int64_t limit;       /* 1..EVENT_BATCH_MAX */
    uint64_t types;      /* as in event_types.h; with EVENT_TYPES_NONE only the head is found out */
    struct text user_id; /* whose; empty: everybody's */
};

/* Blocks up to the operation's budget. request_id NULL: a fresh one. POSITION_LOST (with fault->head) when the log no
 * longer reaches back. out lives in arena, untouched on failure. */
MUST_USE enum err event_source_page(struct bus_client *client, const uint8_t *request_id, const struct event_ask *ask,
                                    struct arena *arena, struct fault *fault, struct event_list *out);
/* What clients see of one entry; texts are shared. */
void event_source_view(const struct event_entry *entry, struct event_view *out);

#endif
