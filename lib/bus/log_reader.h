/* A durable subscriber within a service: follows the event log and has what follows from each page stored in the
 * same unit of work as the position behind it, so that a crash at any point neither loses an event nor takes one
 * twice.
 *
 * PUB wakes it up (loop 0's service.woken calls log_reader_woken); a timer that runs log_reader_look finds what PUB
 * has lost. The log itself is read by event.replay over the bus, one page at a time. A log whose head lies before
 * our position is another log: it is read from its start, and whoever takes entries knows by their ids which are no
 * news. With the epoch that was read before it is the same log, read from a member that lags behind: it is asked again
 * later. */
#ifndef ZMART_BUS_LOG_READER_H
#define ZMART_BUS_LOG_READER_H

#include "lib/bus/service.h"
#include "proto/event.h"

enum { LOG_READER_MAX_TYPES = 16, LOG_READER_LOOK_MS = 1000, LOG_READER_BUDGET_MS = 5000 };

struct log_page {
    const struct event_entry *entries; /* oldest first */
    uint32_t count;                    /* may be 0 */
    int64_t position;                  /* everything wanted up to here is in this page or in one before */
};

struct log_reader_settings {
    const char *const *types; /* NULL-terminated: patterns such as "order.*"; borrowed */
    /* Of loop 0, in a unit of work: the position that take has stored; 0 before. */
    enum err (*position)(struct call *call, int64_t *out);
    /* Stores the position and what follows from the entries. A failure has the page read again. */
    enum err (*take)(struct call *call, const struct log_page *page);
};

struct log_reader; /* of loop 0; owned by the service's state */

/* NULL: message says why. */
struct log_reader *log_reader_new(struct service_loop *loop, const struct bus_config *bus,
                                  const struct log_reader_settings *settings, char *message, size_t message_size);
void log_reader_destroy(struct log_reader **self);
/* Something was published: looks at once, unless that is under way. */
void log_reader_woken(struct log_reader *self);
/* For a timer of LOG_READER_LOOK_MS: looks when the beacon tells of something newer, or no beacon came. */
void log_reader_look(struct log_reader *self);

#endif
