/* event-svc as a program: alone in a process, or one thread of the all-in-one shop. */
#ifndef ZMART_EVENT_PROGRAM_H
#define ZMART_EVENT_PROGRAM_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "lib/bus/service.h"
#include "lib/store/sqlite.h"

#define EVENT_CONFIG(X)                                                                               \
    X(STRING, stream, "stream", "zmart", 1, 40, "the log's name, in every event and beacon")          \
    X(NUMBER, retention_days, "retention-days", "0", 0, 36500, \
      "entries older than this are dropped from the log; 0: all are kept") \
    X(NUMBER, letter_count, "letter-count", "1000", 1, 1000000, "dead letters kept at most; the oldest go first") \
    X(NUMBER, letter_days, "letter-days", "30", 1, 3650, "how long a dead letter is kept at most")
CONFIG_DECLARE(event_config, EVENT_CONFIG);

struct event_settings {
    struct process_config process;
    struct bus_config bus;
    struct service_config service;
    struct store_config store;
    struct event_config event;
};

extern const struct program event_program;
extern const struct service event_service; /* handlers.c */

#endif
