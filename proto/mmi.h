/* What a broker answers about itself: records of the operations mmi.* (see README.md). */
#ifndef ZMART_PROTO_MMI_H
#define ZMART_PROTO_MMI_H

#include "proto/record.h"

enum { MMI_MAX_WORKERS = 1000, MMI_MAX_SERVICES = 100, MMI_MAX_LETTERS = 100 };

#define MMI_SERVICE_REF_FIELDS(F, R) \
    F(R, TEXT, name, REQ | LINE, 1, 40, none, "a service, such as product")
RECORD_DECLARE(mmi_service_ref, MMI_SERVICE_REF_FIELDS);

#define MMI_SERVICE_FIELDS(F, R)                                                                   \
    F(R, TEXT, name,      REQ, 1, 40, none, "the service")                                        \
    F(R, INT,  workers,   REQ, 0, INT32_MAX, none, "that take requests now")                      \
    F(R, INT,  credit,    REQ, 0, INT32_MAX, none, "requests that they take at a time")           \
    F(R, INT,  in_flight, REQ, 0, INT32_MAX, none, "requests that they have now")
RECORD_DECLARE(mmi_service, MMI_SERVICE_FIELDS);

#define MMI_WORKER_FIELDS(F, R)                                                                    \
    F(R, TEXT, instance,  REQ, 1, 60, none, "the process's name")                                 \
    F(R, TEXT, version,   REQ, 1, 40, none, "of its software")                                    \
    F(R, INT,  epoch,     REQ, 1, UINT32_MAX, none, "of its session")                             \
    F(R, INT,  silent_ms, REQ, 0, INT64_MAX, none, "since something was heard")                   \
    F(R, BOOL, draining,  REQ, 0, 0, none, "whether it takes nothing more")                       \
    F(R, LIST, services,  REQ, 0, 16, mmi_service, "what it serves; workers is 1 in each")
RECORD_DECLARE(mmi_worker, MMI_WORKER_FIELDS);

#define MMI_WORKER_LIST_FIELDS(F, R)                                                               \
    F(R, LIST, workers, REQ, 0, MMI_MAX_WORKERS, mmi_worker, "in no order")                       \
    F(R, INT,  clients, REQ, 0, INT32_MAX, none, "sessions of gateways, services and operators")
RECORD_DECLARE(mmi_worker_list, MMI_WORKER_LIST_FIELDS);

#define MMI_QUEUE_FIELDS(F, R)                                                                     \
    F(R, TEXT, service,   REQ, 1, 40, none, "whose queue it is")                                  \
    F(R, INT,  length,    REQ, 0, INT32_MAX, none, "requests that wait")                          \
    F(R, INT,  bytes,     REQ, 0, INT64_MAX, none, "of theirs")                                   \
    F(R, INT,  oldest_ms, REQ, 0, INT64_MAX, none, "how long the first one has waited")           \
    F(R, INT,  in_flight, REQ, 0, INT32_MAX, none, "requests that workers have")                  \
    F(R, INT,  workers,   REQ, 0, INT32_MAX, none, "that take requests now")                      \
    F(R, INT,  credit,    REQ, 0, INT32_MAX, none, "requests that they take at a time")
RECORD_DECLARE(mmi_queue, MMI_QUEUE_FIELDS);

#define MMI_QUEUE_LIST_FIELDS(F, R)                                                                \
    F(R, LIST, queues,    REQ, 0, MMI_MAX_SERVICES, mmi_queue, "one a service")                   \
    F(R, INT,  accepted,  REQ, 0, INT64_MAX, none, "requests since the broker started")           \
    F(R, INT,  replied,   REQ, 0, INT64_MAX, none, "of them answered by a worker or the broker")  \
    F(R, INT,  nacked,    REQ, 0, INT64_MAX, none, "of them refused, expired or lost")            \
    F(R, INT,  in_flight, REQ, 0, INT64_MAX, none, "of them queued or with a worker")
RECORD_DECLARE(mmi_queue_list, MMI_QUEUE_LIST_FIELDS);

#define MMI_DLQ_ACTION_LIST(X)          \
    X(MMI_DLQ_LIST, "list")             \
    X(MMI_DLQ_DROP, "drop")             \
    X(MMI_DLQ_REQUEUE, "requeue")
ENUM_DECLARE(mmi_dlq_action, MMI_DLQ_ACTION_LIST);

#define MMI_DLQ_FIELDS(F, R)                                                                       \
    F(R, ENUM, action,     OPT, 0, 0, mmi_dlq_action, "list if absent")                           \
    F(R, TEXT, request_id, OPT | LINE, 32, 32, none, "hexadecimal; needed to drop and to requeue") \
    F(R, INT,  budget_ms,  OPT, 1, 600000, none, "of the request when requeued; 30 s if absent")
RECORD_DECLARE(mmi_dlq, MMI_DLQ_FIELDS);

#define MMI_DEAD_LETTER_FIELDS(F, R)                                                               \
    F(R, TEXT, request_id, REQ, 32, 32, none, "hexadecimal")                                      \
    F(R, TEXT, route,      REQ, 1, 120, none, "where it was to go")                               \
    F(R, INT,  attempts,   REQ, 1, 255, none, "workers that died over it, or lost it")            \
    F(R, INT,  age_ms,     REQ, 0, INT64_MAX, none, "since it was given up")                      \
    F(R, INT,  bytes,      REQ, 0, INT64_MAX, none, "kept of it")                                 \
    F(R, BOOL, secret,     REQ, 0, 0, none, "its body was not kept: it cannot be requeued")       \
    F(R, BOOL, stored,     OPT, 0, 0, none, "it survives the broker")                             \
    F(R, TEXT, reason,     OPT, 1, 200, none, "why it was given up")
RECORD_DECLARE(mmi_dead_letter, MMI_DEAD_LETTER_FIELDS);

#define MMI_DEAD_LETTERS_FIELDS(F, R)                                                              \
    F(R, INT,  count,   REQ, 0, INT32_MAX, none, "that are kept")                                 \
    F(R, LIST, letters, REQ, 0, MMI_MAX_LETTERS, mmi_dead_letter, "the newest ones")              \
    F(R, BOOL, partial, OPT, 0, 0, none, "those in the store could not be asked for")
RECORD_DECLARE(mmi_dead_letters, MMI_DEAD_LETTERS_FIELDS);

#endif
