/* Orders: what order-svc answers. */
#ifndef ZMART_PROTO_ORDER_H
#define ZMART_PROTO_ORDER_H

#include "proto/address.h"
#include "proto/money.h"
#include "proto/product.h"
#include "proto/record.h"

enum { ORDER_MAX_HISTORY = 64 };

#define ORDER_STATUS(X)                  \
    X(ORDER_PENDING, "pending")          \
    X(ORDER_CONFIRMED, "confirmed")      \
    X(ORDER_SHIPPED, "shipped")          \
    X(ORDER_DELIVERED, "delivered")      \
    X(ORDER_CANCELLED, "cancelled")
ENUM_DECLARE(order_status, ORDER_STATUS);

#define PAYMENT_STATUS(X) X(PAYMENT_NONE, "none")
ENUM_DECLARE(payment_status, PAYMENT_STATUS);

#define FULFILLMENT_STATUS(X)                    \
    X(FULFILLMENT_UNFULFILLED, "unfulfilled")    \
    X(FULFILLMENT_FULFILLED, "fulfilled")        \
    X(FULFILLMENT_DELIVERED, "delivered")        \
    X(FULFILLMENT_CANCELLED, "cancelled")
ENUM_DECLARE(fulfillment_status, FULFILLMENT_STATUS);

#define ORDER_LINE_FIELDS(F, R)                                                                   \
    F(R, TEXT,  product_id, REQ, 1, 40,        none, "the product")                              \
    F(R, TEXT,  sku,        REQ, 1, 64,        none, "as it was when ordered")                   \
    F(R, TEXT,  name,       REQ, 1, 200,       none, "as it was when ordered")                   \
    F(R, MONEY, price,      REQ, 0, MONEY_MAX, none, "of one piece, as it was when ordered")     \
    F(R, INT,   quantity,   REQ, 1, INT64_C(100000000), none, "pieces")                          \
    F(R, MONEY, total,      REQ, 0, MONEY_MAX, none, "price times quantity")
RECORD_DECLARE(order_line, ORDER_LINE_FIELDS);

#define ORDER_MOVE_FIELDS(F, R)                                                                   \
    F(R, ENUM, status, REQ, 0, 0, order_status, "the status moved to")                           \
    F(R, TIME, at,     REQ, 0, INT64_MAX, none, "when")                                          \
    F(R, TEXT, by,     REQ, 1, 40, none, "the account that moved it")
RECORD_DECLARE(order_move, ORDER_MOVE_FIELDS);

#define ORDER_FIELDS(F, R)                                                                        \
    F(R, TEXT,  id,                 REQ, 1, 40, none, "ord_ and 26 characters")                  \
    F(R, TEXT,  number,             REQ, 1, 20, none, "short number for people")                 \
    F(R, TEXT,  user_id,            REQ, 1, 40, none, "whose order it is")                       \
    F(R, ENUM,  status,             REQ, 0, 0, order_status, "where the order stands")           \
    F(R, ENUM,  payment_status,     REQ, 0, 0, payment_status, "none until payments exist")      \
    F(R, ENUM,  fulfillment_status, REQ, 0, 0, fulfillment_status, "where the goods are")        \
    F(R, LIST,  lines,              REQ, 1, ORDER_MAX_LINES, order_line, "one line a product")   \
    F(R, MONEY, subtotal,           REQ, 0, MONEY_MAX, none, "sum of the lines")                 \
    F(R, MONEY, total,              REQ, 0, MONEY_MAX, none, "what is to be paid")               \
    F(R, TEXT,  currency,           REQ, 3, 3, none, "ISO 4217 code")                            \
    F(R, REC,   shipping_address,   OPT, 0, 0, address, "where it goes")                         \
    F(R, TEXT,  note,               OPT, 0, 2000, none, "the customer's words")                  \
    F(R, LIST,  history,            REQ, 1, ORDER_MAX_HISTORY, order_move, "every status, oldest first") \
    F(R, INT,   version,            REQ, 1, INT64_MAX, none, "counts changes")                   \
    F(R, TIME,  created_at,         REQ, 0, INT64_MAX, none, "when it was placed")               \
    F(R, TIME,  updated_at,         REQ, 0, INT64_MAX, none, "when it last changed")
RECORD_DECLARE(order, ORDER_FIELDS);

#define ORDER_ITEM_FIELDS(F, R)                                                                   \
    F(R, TEXT, product_id, REQ | LINE, 1, 40, none, "the product")                               \
    F(R, INT,  quantity,   REQ, 1, QUANTITY_MAX, none, "pieces; lines of one product are summed")
RECORD_DECLARE(order_item, ORDER_ITEM_FIELDS);

#define ORDER_NEW_FIELDS(F, R)                                                                    \
    F(R, LIST, items,            REQ, 1, ORDER_MAX_LINES, order_item, "what is ordered")         \
    F(R, REC,  shipping_address, OPT, 0, 0, address, "where it goes")                            \
    F(R, TEXT, note,             OPT, 0, 2000, none, "words to the shop")
RECORD_DECLARE(order_new, ORDER_NEW_FIELDS);

#define ORDER_REF_FIELDS(F, R) \
    F(R, TEXT, id, REQ | LINE, 1, 40, none, "the order")
RECORD_DECLARE(order_ref, ORDER_REF_FIELDS);

#define ORDER_STATUS_SET_FIELDS(F, R)                                                             \
    F(R, TEXT, id,     REQ | LINE, 1, 40, none, "the order")                                     \
    F(R, ENUM, status, REQ, 0, 0, order_status, "the status to move to")
RECORD_DECLARE(order_status_set, ORDER_STATUS_SET_FIELDS);

#define ORDER_QUERY_FIELDS(F, R)                                                                  \
    F(R, INT,  limit,       OPT, 1, PAGE_MAX, none, "rows a page, fewer of large ones; 20 if absent") \
    F(R, TEXT, cursor,      OPT | LINE, 1, 1000, none, "next_cursor of the page before")         \
    F(R, ENUM, status,      OPT, 0, 0, order_status, "only orders that stand there")             \
    F(R, TIME, created_gte, OPT, 0, INT64_MAX, none, "placed at or after")                       \
    F(R, TIME, created_lt,  OPT, 0, INT64_MAX, none, "placed before")                            \
    F(R, TEXT, user_id,     OPT | LINE, 1, 40, none, "whose orders (administrators)")
RECORD_DECLARE(order_query, ORDER_QUERY_FIELDS);

#define ORDER_LIST_FIELDS(F, R)                                                            \
    F(R, LIST, data,        REQ, 0, PAGE_MAX, order, "the page, newest first")            \
    F(R, BOOL, has_more,    REQ, 0, 0,        none,  "whether there is a next page")      \
    F(R, TEXT, next_cursor, OPT, 1, 1000,     none,  "cursor of the next page")
RECORD_DECLARE(order_list, ORDER_LIST_FIELDS);

/* ---- between services ---- */

#define ORDER_OUTCOME(X)                       \
    X(ORDER_OUTCOME_VOID, "void")              \
    X(ORDER_OUTCOME_PLACED, "placed")          \
    X(ORDER_OUTCOME_CANCELLED, "cancelled")    \
    X(ORDER_OUTCOME_SHIPPED, "shipped")
ENUM_DECLARE(order_outcome, ORDER_OUTCOME);

#define ORDER_ARBITRATE_FIELDS(F, R) \
    F(R, STRS, order_ids, REQ | LINE, 1, 40, SETTLE_MAX, "orders whose holds nobody confirmed in time")
RECORD_DECLARE(order_arbitrate, ORDER_ARBITRATE_FIELDS);

#define ORDER_VERDICT_FIELDS(F, R)                                                                \
    F(R, TEXT, order_id,    REQ, 1, 40, none, "the order asked for")                             \
    F(R, ENUM, outcome,     REQ, 0, 0, order_outcome, "void: it can never be placed any more")   \
    F(R, TEXT, fingerprint, OPT, 1, 40, none, "of the request that was placed")
RECORD_DECLARE(order_verdict, ORDER_VERDICT_FIELDS);

#define ORDER_ARBITRATED_FIELDS(F, R) \
    F(R, LIST, verdicts, REQ, 0, SETTLE_MAX, order_verdict, "in the order asked")
RECORD_DECLARE(order_arbitrated, ORDER_ARBITRATED_FIELDS);

#endif
