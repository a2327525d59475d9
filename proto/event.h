/* Events: what the log keeps, what PUB sends, what event-svc answers.
 * PUB frames: topic ("order.placed."), meta (event_meta), payload, and towards gateways one more, the private payload.
 * An event whose public payload is empty (0 bytes on the wire) never leaves towards the outside. */
#ifndef ZMART_PROTO_EVENT_H
#define ZMART_PROTO_EVENT_H

#include "proto/order.h"
#include "proto/product.h"
#include "proto/record.h"
#include "proto/user.h"

enum { EVENT_BATCH_MAX = 256, EVENT_PAYLOAD_MAX = 256 * 1024, EVENT_TOPIC_SIZE = 64, EVENT_WAIT_MAX_S = 30, EVENT_TYPE_MAX = 64,
       WS_QUERY_ORDERS_SIZE = 20 * 41 };

#define ORDER_EVENT_LINE_FIELDS(F, R)                                             \
    F(R, TEXT,  product_id, REQ, 1, 40,        none, "the product")              \
    F(R, INT,   quantity,   REQ, 1, INT64_C(100000000), none, "pieces")          \
    F(R, MONEY, price,      REQ, 0, MONEY_MAX, none, "of one piece, in minor units") \
    F(R, MONEY, total,      REQ, 0, MONEY_MAX, none, "in minor units")
RECORD_DECLARE(order_event_line, ORDER_EVENT_LINE_FIELDS);

/* What the outside sees of an order: ids, amounts and statuses; no name, mail, address or note. */
#define ORDER_EVENT_FIELDS(F, R)                                                                       \
    F(R, TEXT,  order_id,           REQ, 1, 40, none, "the order")                                    \
    F(R, TEXT,  number,             REQ, 1, 20, none, "its number for people")                        \
    F(R, TEXT,  user_id,            REQ, 1, 40, none, "whose order it is")                            \
    F(R, ENUM,  status,             REQ, 0, 0, order_status, "where the order stands")                \
    F(R, ENUM,  payment_status,     REQ, 0, 0, payment_status, "none until payments exist")           \
    F(R, ENUM,  fulfillment_status, REQ, 0, 0, fulfillment_status, "where the goods are")             \
    F(R, LIST,  lines,              REQ, 1, ORDER_MAX_LINES, order_event_line, "one line a product")  \
    F(R, MONEY, total,              REQ, 0, MONEY_MAX, none, "in minor units")                        \
    F(R, TEXT,  currency,           REQ, 3, 3, none, "ISO 4217 code")                                 \
    F(R, INT,   version,            REQ, 1, INT64_MAX, none, "the order's version after this event")
RECORD_DECLARE(order_event, ORDER_EVENT_FIELDS);

/* A product in the catalogue: everybody may see it there. */
#define PRODUCT_EVENT_FIELDS(F, R)                                                                     \
    F(R, TEXT,  product_id, REQ, 1, 40,        none, "the product")                                   \
    F(R, TEXT,  sku,        REQ, 1, 64,        none, "stock keeping unit")                            \
    F(R, INT,   stock,      REQ, 0, STOCK_MAX, none, "pieces that can be sold after this event")      \
    F(R, MONEY, price,      REQ, 0, MONEY_MAX, none, "of one piece, in minor units")                  \
    F(R, TEXT,  currency,   REQ, 3, 3,         none, "ISO 4217 code")                                 \
    F(R, BOOL,  active,     REQ, 0, 0,         none, "whether customers see it and can order it")     \
    F(R, INT,   version,    REQ, 1, INT64_MAX, none, "the product's version after this event; counts edits, not sales")
RECORD_DECLARE(product_event, PRODUCT_EVENT_FIELDS);

/* As a service stores it in its outbox, with its cause. */
#define EVENT_NEW_FIELDS(F, R)                                                                         \
    F(R, TEXT, id,          REQ, 1, 40, none, "follows from its cause, so that a repeat has the same") \
    F(R, TEXT, type,        REQ, 1, 60, none, "order.placed, ...")                                    \
    F(R, TEXT, subject,     REQ, 1, 40, none, "the id of what changed")                               \
    F(R, TEXT, source,      REQ, 1, 40, none, "the service that changed it")                          \
    F(R, TIME, time,        REQ, 0, INT64_MAX, none, "when it happened")                              \
    F(R, TEXT, user_id,     OPT, 1, 40, none, "whose it is; absent: administrators only")             \
    F(R, TEXT, traceparent, OPT, 0, 64, none, "W3C trace context of the cause")                       \
    F(R, RAW,  data,        OPT, 0, EVENT_PAYLOAD_MAX, none, "public payload; absent: not for the outside") \
    F(R, RAW,  private_data, OPT, 0, EVENT_PAYLOAD_MAX, none, "what gateways get besides")
RECORD_DECLARE(event_new, EVENT_NEW_FIELDS);

#define EVENT_APPEND_FIELDS(F, R) \
    F(R, LIST, events, REQ, 1, EVENT_BATCH_MAX, event_new, "in order; those the log has already are skipped")
RECORD_DECLARE(event_append, EVENT_APPEND_FIELDS);

#define EVENT_APPENDED_FIELDS(F, R) \
    F(R, INT, head, REQ, 0, INT64_MAX, none, "the log's newest seq")
RECORD_DECLARE(event_appended, EVENT_APPENDED_FIELDS);

/* As the log keeps it. */
#define EVENT_ENTRY_FIELDS(F, R)                                                                       \
    F(R, INT,  seq,         REQ, 1, INT64_MAX, none, "position in the log, without gaps")             \
    F(R, INT,  tseq,        REQ, 1, INT64_MAX, none, "position among the entries of its type")        \
    F(R, TEXT, id,          REQ, 1, 40, none, "unique")                                               \
    F(R, TEXT, type,        REQ, 1, 60, none, "order.placed, ...")                                    \
    F(R, TEXT, subject,     REQ, 1, 40, none, "the id of what changed")                               \
    F(R, TEXT, source,      REQ, 1, 40, none, "the service that changed it")                          \
    F(R, TIME, time,        REQ, 0, INT64_MAX, none, "when it happened")                              \
    F(R, TEXT, user_id,     OPT, 1, 40, none, "whose it is")                                          \
    F(R, TEXT, traceparent, OPT, 0, 64, none, "W3C trace context of the cause")                       \
    F(R, RAW,  data,        OPT, 0, EVENT_PAYLOAD_MAX, none, "public payload")                        \
    F(R, RAW,  private_data, OPT, 0, EVENT_PAYLOAD_MAX, none, "what gateways get besides")
RECORD_DECLARE(event_entry, EVENT_ENTRY_FIELDS);

#define EVENT_REPLAY_FIELDS(F, R)                                                                      \
    F(R, INT,  after,   REQ, 0, INT64_MAX, none, "only what is newer than this seq")                  \
    F(R, INT,  limit,   OPT, 1, EVENT_BATCH_MAX, none, "entries a page; 100 if absent")               \
    F(R, STRS, types,   OPT, 1, 60, EVENT_TYPE_MAX, "only these types; a closing * matches any rest")             \
    F(R, TEXT, user_id, OPT, 1, 40, none, "only this account's")
RECORD_DECLARE(event_replay, EVENT_REPLAY_FIELDS);

#define EVENT_PAGE_FIELDS(F, R)                                                                        \
    F(R, LIST, data,     REQ, 0, EVENT_BATCH_MAX, event_entry, "oldest first")                        \
    F(R, BOOL, has_more, REQ, 0, 0, none, "whether more is there already")                            \
    F(R, INT,  head,     REQ, 0, INT64_MAX, none, "the log's newest seq")                             \
    F(R, INT,  epoch,    REQ, 1, INT64_MAX, none, "changes when the log was restored")
RECORD_DECLARE(event_page, EVENT_PAGE_FIELDS);

/* What clients ask of the log, and what they get: GET /api/events. */
#define EVENT_QUERY_FIELDS(F, R)                                                                       \
    F(R, INT,  after, OPT, 0, INT64_MAX, none, "only what is newer than this seq; from the start if absent") \
    F(R, TEXT, types, OPT | LINE, 1, 400, none, "types separated by commas; a closing * matches any rest") \
    F(R, INT,  limit, OPT, 1, PAGE_MAX, none, "events a page; 100 if absent")                         \
    F(R, INT,  wait,  OPT, 0, EVENT_WAIT_MAX_S, none, "with nothing there, seconds to wait for something")
RECORD_DECLARE(event_query, EVENT_QUERY_FIELDS);

/* GET /ws. */
#define WS_QUERY_FIELDS(F, R)                                                                          \
    F(R, TEXT, ticket, OPT | SECRET | LINE, 1, 100, none, "of POST /api/ws-ticket, instead of the field Authorization") \
    F(R, TEXT, types,  OPT | LINE, 1, 400, none, "types separated by commas; order.* if neither types nor orders are given") \
    F(R, TEXT, orders, OPT | LINE, 1, WS_QUERY_ORDERS_SIZE, none, "orders to follow, at most 20 ids separated by commas; customers: their own") \
    F(R, INT,  after,  OPT, 0, INT64_MAX, none, "first what was missed since this seq; from now on without it")
RECORD_DECLARE(ws_query, WS_QUERY_FIELDS);

/* GET /api/events/stream. */
#define EVENT_STREAM_QUERY_FIELDS(F, R)                                                                \
    F(R, INT,  after, OPT, 0, INT64_MAX, none, "only what is newer than this seq; the field Last-Event-ID wins; from now on without both") \
    F(R, TEXT, types, OPT | LINE, 1, 400, none, "types separated by commas; a closing * matches any rest")
RECORD_DECLARE(event_stream_query, EVENT_STREAM_QUERY_FIELDS);

#define EVENT_VIEW_FIELDS(F, R)                                                                        \
    F(R, TEXT, id,      REQ, 1, 40, none, "unique; deduplicate by it")                                \
    F(R, TEXT, type,    REQ, 1, 60, none, "order.placed, ...")                                        \
    F(R, INT,  seq,     REQ, 1, INT64_MAX, none, "position in the log; others' events leave holes")   \
    F(R, TIME, time,    REQ, 0, INT64_MAX, none, "when it happened")                                  \
    F(R, TEXT, subject, REQ, 1, 40, none, "the id of what changed")                                   \
    F(R, RAW,  data,    OPT, 0, EVENT_PAYLOAD_MAX, none, "the record of its type (event_shown), which JSON has too")
RECORD_DECLARE(event_view, EVENT_VIEW_FIELDS);

#define EVENT_LIST_FIELDS(F, R)                                                                        \
    F(R, LIST, data,     REQ, 0, EVENT_BATCH_MAX, event_view, "oldest first")                         \
    F(R, BOOL, has_more, REQ, 0, 0, none, "whether more is there already")                            \
    F(R, INT,  head,     REQ, 0, INT64_MAX, none, "the log's newest seq: go on from here when data is empty")
RECORD_DECLARE(event_list, EVENT_LIST_FIELDS);

/* The second frame on PUB: CloudEvents 1.0 attributes in binary mode, and the stream's position. */
#define EVENT_META_FIELDS(F, R)                                                                        \
    F(R, TEXT, stream,      REQ, 1, 40, none, "the log's name")                                       \
    F(R, INT,  epoch,       REQ, 1, INT64_MAX, none, "changes when the log was restored")             \
    F(R, INT,  seq,         REQ, 0, INT64_MAX, none, "position in the log")                           \
    F(R, INT,  tseq,        REQ, 0, INT64_MAX, none, "position among the events of this type")        \
    F(R, TEXT, id,          REQ, 0, 40, none, "unique; deduplicate by it")                            \
    F(R, TEXT, type,        REQ, 1, 60, none, "order.placed, ...")                                    \
    F(R, TEXT, source,      REQ, 0, 40, none, "the service that changed it")                          \
    F(R, TEXT, subject,     REQ, 0, 40, none, "the id of what changed")                               \
    F(R, TEXT, time,        REQ, 1, 40, none, "RFC 3339")                                             \
    F(R, TEXT, specversion, REQ, 1, 8,  none, "CloudEvents: 1.0")                                     \
    F(R, TEXT, datacontenttype, REQ, 1, 60, none, "application/msgpack")                              \
    F(R, TEXT, traceparent, OPT, 0, 64, none, "W3C trace context of the cause")
RECORD_DECLARE(event_meta, EVENT_META_FIELDS);

#define TOPIC_HEAD_FIELDS(F, R)                                                                        \
    F(R, TEXT, topic, REQ, 1, 64, none, "order.placed., ...")                                         \
    F(R, INT,  tseq,  REQ, 0, INT64_MAX, none, "newest position in it")
RECORD_DECLARE(topic_head, TOPIC_HEAD_FIELDS);

/* Payload of the topic _head., each second. */
#define STREAM_HEAD_FIELDS(F, R)                                                                       \
    F(R, TEXT, stream, REQ, 1, 40, none, "the log's name")                                            \
    F(R, INT,  epoch,  REQ, 1, INT64_MAX, none, "changes when the log was restored")                  \
    F(R, INT,  seq,    REQ, 0, INT64_MAX, none, "newest position")                                    \
    F(R, LIST, topics, REQ, 0, 64, topic_head, "newest position by topic")
RECORD_DECLARE(stream_head, STREAM_HEAD_FIELDS);

enum event_type {
#define EVENT(name, type, payload, private_payload) EVENT_##name,
#include "proto/events.def"
    EVENT_COUNT
};

struct event_info {
    const char *type;
    const struct record *payload;         /* of data */
    const struct record *private_payload; /* of private_data */
};
/* Never NULL for a value below EVENT_COUNT. */
const struct event_info *event_info(enum event_type event);
/* NULL for an unknown type. */
const struct event_info *event_find(struct text type);
/* What the shop's own accounts are shown of an event: its private payload, or its public one where there is no private.
 * NULL for events that are for gateways alone (without a public payload), and for NULL. */
const struct record *event_shown(const struct event_info *info);
/* Whether a type that is shown matches (pattern.h): no other is worth waiting for. */
bool event_pattern_shown(struct text pattern);
/* For messages: the types that are shown and begin as the pattern does ("order.placed, order.confirmed, ..."), or if
 * there are none what they begin with ("order.*, user.*, product.*"). only: those that are shown as this record; NULL:
 * all. */
void event_types_tell(struct text pattern, const struct record *only, struct buffer *out);
/* Which of an event's two payloads that is. */
struct text event_shown_data(const struct event_info *info, struct text data, struct text private_data);

#endif
