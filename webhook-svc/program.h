/* webhook-svc: its program and its settings. */
#ifndef ZMART_WEBHOOK_PROGRAM_H
#define ZMART_WEBHOOK_PROGRAM_H

#include "lib/bus/service.h"
#include "lib/store/sqlite.h"

#define WEBHOOK_CONFIG(X)                                                                                              \
    X(NUMBER, timeout_ms, "webhook-timeout-ms", "15000", 100, 60000, "how long an answer to a webhook is waited for")  \
    X(NUMBER, each, "webhook-each", "1", 1, 16,                                                                        \
      "deliveries under way to one webhook at a time; 1: each event's first attempt begins in the log's order")        \
    X(NUMBER, answer_size, "webhook-answer-size", "65536", 0, 1048576, "bytes of an answer that are read; more is a failure") \
    X(NUMBER, retry_permille, "webhook-retry-permille", "1000", 0, 1000,                                               \
      "waits between attempts, in thousandths of 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h")                       \
    X(NUMBER, retry_after_s, "webhook-retry-after-s", "86400", 0, 604800,                                              \
      "longest wait that a receiver may ask for by Retry-After with 429 or 503; 0: that is not listened to")           \
    X(NUMBER, stop_after, "webhook-stop-after", "10", 0, 100000,                                                       \
      "a webhook is made inactive when so many deliveries in a row were given up; 0: never")                           \
    X(NUMBER, overlap_s, "webhook-overlap-s", "86400", 0, 2592000, "how long an old secret signs beside the new one")  \
    X(NUMBER, backlog, "webhook-backlog", "10000", 1, 1000000,                                                         \
      "a webhook is made inactive when so many deliveries wait for it")                                                \
    X(NUMBER, keep_days, "webhook-keep-days", "30", 1, 3650, "how long deliveries are remembered")               \
    X(STRING, ca, "webhook-ca", "", 0, 1000, "file of certificates to trust instead of the system's")                  \
    X(SWITCH, insecure_loopback, "webhook-insecure-loopback", "no", 0, 0,                                              \
      "webhooks may be http:// and on this machine's loopback addresses; for tests")
CONFIG_DECLARE(webhook_config, WEBHOOK_CONFIG);

struct webhook_settings {
    struct process_config process;
    struct bus_config bus;
    struct service_config service;
    struct store_config store;
    struct webhook_config webhook;
};

extern const struct program webhook_program;

#endif
