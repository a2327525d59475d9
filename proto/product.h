/* The catalogue and the stock: what product-svc answers. */
#ifndef ZMART_PROTO_PRODUCT_H
#define ZMART_PROTO_PRODUCT_H

#include "proto/money.h"
#include "proto/record.h"

enum { STOCK_MAX = 1000000000, PAGE_MAX = 100, ORDER_MAX_LINES = 100, QUANTITY_MAX = 100000, SETTLE_MAX = 256 };

#define PRODUCT_FIELDS(F, R)                                                                              \
    F(R, TEXT,  id,          REQ, 1, 40,           none, "prd_ and 26 characters")                       \
    F(R, TEXT,  name,        REQ, 1, 200,          none, "the product's name")                           \
    F(R, TEXT,  description, REQ, 0, 10000,        none, "plain text")                                   \
    F(R, TEXT,  sku,         REQ, 1, 64,           none, "stock keeping unit, unique in the shop")       \
    F(R, MONEY, price,       REQ, 0, MONEY_MAX,    none, "price of one piece, in the currency's major unit") \
    F(R, TEXT,  currency,    REQ, 3, 3,            none, "ISO 4217 code")                                \
    F(R, INT,   stock,       REQ, 0, STOCK_MAX,    none, "pieces that can be sold now; held ones are not in it") \
    F(R, STRS,  categories,  REQ, 1, 64,           16,   "names of categories")                          \
    F(R, STRS,  images,      REQ, 1, 2000,         16,   "URLs of images")                               \
    F(R, BOOL,  active,      REQ, 0, 0,            none, "whether customers see it and can order it")    \
    F(R, INT,   version,     REQ, 1, INT64_MAX,    none, "counts edits, not sales")                      \
    F(R, TIME,  created_at,  REQ, 0, INT64_MAX,    none, "when it was made")                             \
    F(R, TIME,  updated_at,  REQ, 0, INT64_MAX,    none, "when it was last edited")
RECORD_DECLARE(product, PRODUCT_FIELDS);

#define PRODUCT_NEW_FIELDS(F, R)                                                                          \
    F(R, TEXT,    name,        REQ | LINE, 1, 200,  none, "the product's name")                          \
    F(R, TEXT,    description, OPT, 0, 10000,       none, "plain text; empty if absent")                 \
    F(R, TEXT,    sku,         OPT | LINE, 1, 64,   none, "unique in the shop; made from the id if absent") \
    F(R, DECIMAL, price,       REQ, 0, DECIMAL_MAX, none, "price of one piece, in major units, e.g. 29.99") \
    F(R, TEXT,    currency,    OPT | LINE, 3, 3,    none, "ISO 4217 code; the shop's currency if absent") \
    F(R, INT,     stock,       REQ, 0, STOCK_MAX,   none, "pieces that can be sold")                     \
    F(R, STRS,    categories,  OPT | LINE, 1, 64,   16,   "names of categories")                         \
    F(R, STRS,    images,      OPT | LINE, 1, 2000, 16,   "http or https URLs")                          \
    F(R, BOOL,    active,      OPT, 0, 0,           none, "true if absent")
RECORD_DECLARE(product_new, PRODUCT_NEW_FIELDS);

#define PRODUCT_EDIT_FIELDS(F, R)                                                                         \
    F(R, TEXT,    id,          REQ | LINE, 1, 40,   none, "the product")                                 \
    F(R, TEXT,    name,        OPT | NOT_NULL | LINE, 1, 200,  none, "the product's name")                          \
    F(R, TEXT,    description, OPT | NOT_NULL, 0, 10000,       none, "plain text")                                  \
    F(R, TEXT,    sku,         OPT | NOT_NULL | LINE, 1, 64,   none, "unique in the shop")                          \
    F(R, DECIMAL, price,       OPT | NOT_NULL, 0, DECIMAL_MAX, none, "price of one piece, in major units")          \
    F(R, TEXT,    currency,    OPT | NOT_NULL | LINE, 3, 3,    none, "ISO 4217 code")                               \
    F(R, INT,     stock,       OPT | NOT_NULL, 0, STOCK_MAX,   none, "sets what can be sold now; not together with stock_delta") \
    F(R, INT,     stock_delta, OPT | NOT_NULL, -STOCK_MAX, STOCK_MAX, none, "adds to what can be sold now")         \
    F(R, STRS,    categories,  OPT | NOT_NULL | LINE, 1, 64,   16,   "names of categories")                         \
    F(R, STRS,    images,      OPT | NOT_NULL | LINE, 1, 2000, 16,   "http or https URLs")                          \
    F(R, BOOL,    active,      OPT | NOT_NULL, 0, 0,           none, "whether customers see it and can order it")
RECORD_DECLARE(product_edit, PRODUCT_EDIT_FIELDS);

#define PRODUCT_REF_FIELDS(F, R) \
    F(R, TEXT, id, REQ | LINE, 1, 40, none, "the product")
RECORD_DECLARE(product_ref, PRODUCT_REF_FIELDS);

#define PRODUCT_SORT(X)                        \
    X(PRODUCT_BY_NEWEST, "-created_at")        \
    X(PRODUCT_BY_OLDEST, "created_at")         \
    X(PRODUCT_BY_PRICE, "price")               \
    X(PRODUCT_BY_PRICE_FALLING, "-price")      \
    X(PRODUCT_BY_NAME, "name")                 \
    X(PRODUCT_BY_NAME_FALLING, "-name")        \
    X(PRODUCT_BY_RELEVANCE, "relevance")
ENUM_DECLARE(product_sort, PRODUCT_SORT);

#define PRODUCT_QUERY_FIELDS(F, R)                                                                        \
    F(R, INT,     limit,     OPT, 1, PAGE_MAX,         none, "rows a page, fewer of large ones; 20 if absent") \
    F(R, TEXT,    cursor,    OPT | LINE, 1, 1000,      none, "next_cursor of the page before")           \
    F(R, ENUM,    sort,      OPT, 0, 0, product_sort,        "-created_at if absent; relevance if there is q") \
    F(R, TEXT,    category,  OPT | LINE, 1, 64,        none, "only products of this category")           \
    F(R, DECIMAL, price_gte, OPT, 0, DECIMAL_MAX,      none, "least price, in major units")              \
    F(R, DECIMAL, price_lte, OPT, 0, DECIMAL_MAX,      none, "highest price, in major units")            \
    F(R, BOOL,    in_stock,  OPT, 0, 0,                none, "true: only with stock; false: only without") \
    F(R, TEXT,    q,         OPT | LINE, 1, 200,       none, "words; all must occur, by prefix, in name, sku or description")
RECORD_DECLARE(product_query, PRODUCT_QUERY_FIELDS);

#define PRODUCT_LIST_FIELDS(F, R)                                                          \
    F(R, LIST, data,        REQ, 0, PAGE_MAX, product, "the page")                        \
    F(R, BOOL, has_more,    REQ, 0, 0,        none,    "whether there is a next page")    \
    F(R, TEXT, next_cursor, OPT, 1, 1000,     none,    "cursor of the next page")
RECORD_DECLARE(product_list, PRODUCT_LIST_FIELDS);

/* ---- between services: the order saga's steps ---- */

#define RESERVE_LINE_FIELDS(F, R)                                                       \
    F(R, TEXT, product_id, REQ | LINE, 1, 40,      none, "the product")                \
    F(R, INT,  quantity,   REQ, 1, INT64_C(100000000), none, "pieces, summed over the order's lines")
RECORD_DECLARE(reserve_line, RESERVE_LINE_FIELDS);

#define PRODUCT_RESERVE_FIELDS(F, R)                                                                   \
    F(R, TEXT, order_id,    REQ | LINE, 1, 40, none, "names the hold, with the product")             \
    F(R, TEXT, fingerprint, REQ | LINE, 1, 40, none, "of the order's request; a hold of another one refuses") \
    F(R, LIST, lines,       REQ, 1, ORDER_MAX_LINES, reserve_line, "each product once")
RECORD_DECLARE(product_reserve, PRODUCT_RESERVE_FIELDS);

#define RESERVED_LINE_FIELDS(F, R)                                                      \
    F(R, TEXT,  product_id, REQ, 1, 40,        none, "the product")                    \
    F(R, TEXT,  sku,        REQ, 1, 64,        none, "as it is now")                   \
    F(R, TEXT,  name,       REQ, 1, 200,       none, "as it is now")                   \
    F(R, MONEY, price,      REQ, 0, MONEY_MAX, none, "as it is now")                   \
    F(R, TEXT,  currency,   REQ, 3, 3,         none, "as it is now")
RECORD_DECLARE(reserved_line, RESERVED_LINE_FIELDS);

#define PRODUCT_RESERVED_FIELDS(F, R) \
    F(R, LIST, lines, REQ, 0, ORDER_MAX_LINES, reserved_line, "in the order asked")
RECORD_DECLARE(product_reserved, PRODUCT_RESERVED_FIELDS);

/* confirm: a placed order has them. release: they go back on stock. commit: they have left the house. */
#define HOLD_STEP(X)             \
    X(HOLD_CONFIRM, "confirm")   \
    X(HOLD_RELEASE, "release")   \
    X(HOLD_COMMIT, "commit")
ENUM_DECLARE(hold_step, HOLD_STEP);

#define HOLD_ORDER_FIELDS(F, R)                                                                       \
    F(R, TEXT, order_id,    REQ | LINE, 1, 40, none, "whose holds")                                  \
    F(R, TEXT, fingerprint, OPT | LINE, 1, 40, none, "confirm: holds of another fingerprint are released instead") \
    F(R, ENUM, step,        REQ, 0, 0, hold_step, "what happens to them; repeating it changes nothing")
RECORD_DECLARE(hold_order, HOLD_ORDER_FIELDS);

#define PRODUCT_SETTLE_FIELDS(F, R) \
    F(R, LIST, orders, REQ, 1, SETTLE_MAX, hold_order, "one step for each order")
RECORD_DECLARE(product_settle, PRODUCT_SETTLE_FIELDS);

#define NOTHING_FIELDS(F, R) \
    F(R, BOOL, nothing, OPT, 0, 0, none, "a record needs a field; this one is never set")
RECORD_DECLARE(nothing, NOTHING_FIELDS);

#endif
