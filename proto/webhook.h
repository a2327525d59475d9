/* Outgoing webhooks: what webhook-svc answers. What it posts is described in webhook-svc/README.md (Standard
 * Webhooks). */
#ifndef ZMART_PROTO_WEBHOOK_H
#define ZMART_PROTO_WEBHOOK_H

#include "proto/product.h"
#include "proto/record.h"

enum { WEBHOOK_MAX = 100, WEBHOOK_MAX_TYPES = 32, WEBHOOK_MAX_ATTEMPTS_KEPT = 16 };

#define WEBHOOK_FIELDS(F, R)                                                                          \
    F(R, TEXT, id,          REQ, 1, 40, none, "whk_ and 26 characters")                              \
    F(R, TEXT, url,         REQ, 1, 2000, none, "where events are posted to")                        \
    F(R, STRS, types,       REQ, 1, 60, WEBHOOK_MAX_TYPES, "types of events; a closing * matches any rest") \
    F(R, TEXT, description, OPT, 0, 200, none, "what it is for")                                     \
    F(R, BOOL, active,      REQ, 0, 0, none, "whether events are posted")                            \
    F(R, TEXT, stopped,     OPT, 1, 200, none, "why it was made inactive, if the shop did that")     \
    F(R, INT,  failures,    REQ, 0, INT64_MAX, none, "deliveries given up since the last good one")  \
    F(R, TIME, quiet_until, OPT, 0, INT64_MAX, none, "nothing is posted before, as it has asked by Retry-After") \
    F(R, TIME, created_at,  REQ, 0, INT64_MAX, none, "since when")                                   \
    F(R, TIME, updated_at,  REQ, 0, INT64_MAX, none, "when it was last changed")                     \
    F(R, INT,  version,     REQ, 1, INT64_MAX, none, "counts changes")
RECORD_DECLARE(webhook, WEBHOOK_FIELDS);

/* The only answers that show the secret. */
#define WEBHOOK_OPENED_FIELDS(F, R) \
    WEBHOOK_FIELDS(F, R)            \
    F(R, TEXT, secret, REQ | SECRET, 1, 120, none, "whsec_ and base64: signs what is posted; shown once")
RECORD_DECLARE(webhook_opened, WEBHOOK_OPENED_FIELDS);

#define WEBHOOK_NEW_FIELDS(F, R)                                                                      \
    F(R, TEXT, url,         REQ | LINE, 1, 2000, none, "https://...; no address of this machine or its networks") \
    F(R, STRS, types,       OPT | NOT_NULL | LINE, 1, 60, WEBHOOK_MAX_TYPES, "such as order.placed or order.*; all if absent") \
    F(R, TEXT, description, OPT | LINE, 0, 200, none, "what it is for")                              \
    F(R, BOOL, active,      OPT | NOT_NULL, 0, 0, none, "true if absent")
RECORD_DECLARE(webhook_new, WEBHOOK_NEW_FIELDS);

#define WEBHOOK_EDIT_FIELDS(F, R)                                                                     \
    F(R, TEXT, id,          REQ | LINE, 1, 40, none, "the webhook")                                  \
    F(R, TEXT, url,         OPT | NOT_NULL | LINE, 1, 2000, none, "another address")                 \
    F(R, STRS, types,       OPT | NOT_NULL | LINE, 1, 60, WEBHOOK_MAX_TYPES, "replaces the list")    \
    F(R, TEXT, description, OPT | NOT_NULL | LINE, 0, 200, none, "what it is for")                   \
    F(R, BOOL, active,      OPT | NOT_NULL, 0, 0, none, "true: also forgets why it was stopped")
RECORD_DECLARE(webhook_edit, WEBHOOK_EDIT_FIELDS);

#define WEBHOOK_REF_FIELDS(F, R) \
    F(R, TEXT, id, REQ | LINE, 1, 40, none, "the webhook")
RECORD_DECLARE(webhook_ref, WEBHOOK_REF_FIELDS);

/* All of them: there are WEBHOOK_MAX at most. */
#define WEBHOOK_LIST_FIELDS(F, R)                                                                     \
    F(R, LIST, data,        REQ, 0, WEBHOOK_MAX, webhook, "newest first")                            \
    F(R, BOOL, has_more,    REQ, 0, 0, none, "false: the page has all")                              \
    F(R, TEXT, next_cursor, OPT, 1, 1000, none, "there is none")
RECORD_DECLARE(webhook_list, WEBHOOK_LIST_FIELDS);

#define DELIVERY_STATE(X)                      \
    X(DELIVERY_PENDING, "pending")             \
    X(DELIVERY_DELIVERED, "delivered")         \
    X(DELIVERY_FAILED, "failed")
ENUM_DECLARE(delivery_state, DELIVERY_STATE);

#define DELIVERY_ATTEMPT_FIELDS(F, R)                                                                 \
    F(R, TIME, at,          REQ, 0, INT64_MAX, none, "when it began")                                \
    F(R, INT,  status,      OPT, 100, 999, none, "HTTP status of the answer")                        \
    F(R, TEXT, error,       OPT, 1, 200, none, "why there was none, or why it does not count")       \
    F(R, INT,  duration_ms, REQ, 0, INT64_MAX, none, "how long it took")
RECORD_DECLARE(delivery_attempt, DELIVERY_ATTEMPT_FIELDS);

/* One event on its way to one webhook. */
#define WEBHOOK_DELIVERY_FIELDS(F, R)                                                                 \
    F(R, TEXT, id,          REQ, 1, 40, none, "whd_ and 26 characters")                              \
    F(R, TEXT, webhook_id,  REQ, 1, 40, none, "where it goes")                                       \
    F(R, TEXT, event_id,    REQ, 1, 40, none, "the event; it is sent as webhook-id")                 \
    F(R, TEXT, type,        REQ, 1, 60, none, "order.placed, ...")                                   \
    F(R, ENUM, state,       REQ, 0, 0, delivery_state, "failed: given up")                           \
    F(R, INT,  tries,       REQ, 0, INT64_MAX, none, "attempts since it was last asked for")         \
    F(R, TIME, next_at,     OPT, 0, INT64_MAX, none, "of a pending one: when the next attempt is due") \
    F(R, LIST, attempts,    REQ, 0, WEBHOOK_MAX_ATTEMPTS_KEPT, delivery_attempt, "the newest ones, oldest first") \
    F(R, TIME, created_at,  REQ, 0, INT64_MAX, none, "when it was asked for first")
RECORD_DECLARE(webhook_delivery, WEBHOOK_DELIVERY_FIELDS);

#define DELIVERY_QUERY_FIELDS(F, R)                                                                   \
    F(R, TEXT, id,     REQ | LINE, 1, 40, none, "the webhook")                                       \
    F(R, INT,  limit,  OPT, 1, PAGE_MAX, none, "rows a page; 20 if absent")                          \
    F(R, TEXT, cursor, OPT | LINE, 1, 1000, none, "next_cursor of the page before")                  \
    F(R, ENUM, state,  OPT, 0, 0, delivery_state, "only those")
RECORD_DECLARE(delivery_query, DELIVERY_QUERY_FIELDS);

#define DELIVERY_LIST_FIELDS(F, R)                                                                    \
    F(R, LIST, data,        REQ, 0, PAGE_MAX, webhook_delivery, "the page, newest first")            \
    F(R, BOOL, has_more,    REQ, 0, 0, none, "whether there is a next page")                         \
    F(R, TEXT, next_cursor, OPT, 1, 1000, none, "cursor of the next page")
RECORD_DECLARE(delivery_list, DELIVERY_LIST_FIELDS);

#define DELIVERY_REF_FIELDS(F, R)                                                                     \
    F(R, TEXT, id,          REQ | LINE, 1, 40, none, "the webhook")                                  \
    F(R, TEXT, delivery_id, REQ | LINE, 1, 40, none, "the delivery")
RECORD_DECLARE(delivery_ref, DELIVERY_REF_FIELDS);

#define WEBHOOK_TEST_TYPE "webhook.test"

/* What a test posts as data. */
#define WEBHOOK_PING_FIELDS(F, R) \
    F(R, TEXT, webhook_id, REQ, 1, 40, none, "the webhook that is tried")
RECORD_DECLARE(webhook_ping, WEBHOOK_PING_FIELDS);

#endif
