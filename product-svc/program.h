/* product-svc: its program, its settings, and what each of its loops works with. */
#ifndef ZMART_PRODUCT_PROGRAM_H
#define ZMART_PRODUCT_PROGRAM_H

#include "lib/bus/service.h"
#include "lib/store/sqlite.h"
#include "product-svc/rules.h"

/* Patience is at least 10 budgets of order.create: whoever placed the order has had its chance. */
#define PRODUCT_CONFIG(X)                                                                                   \
    X(STRING, currency, "currency", "USD", 3, 3, "ISO 4217 code of prices that are given without a currency") \
    X(NUMBER, hold_patience_ms, "hold-patience-ms", "60000", 50000, 3600000,                                \
      "how long pieces are held for an order before order-svc is asked what became of it")                  \
    X(NUMBER, low_stock, "low-stock", "5", 0, LOW_STOCK_MAX, \
      "stock that falls to this level or below is an event product.low_stock; 0: there is none") \
    X(NUMBER, stock_news_ms, "stock-news-ms", "250", 10, 60000,                                             \
      "changes of a product's stock within this time are one event product.stock_changed")
CONFIG_DECLARE(product_config, PRODUCT_CONFIG);

struct product_settings {
    struct process_config process;
    struct bus_config bus;
    struct service_config service;
    struct store_config store;
    struct product_config product;
};

extern const struct program product_program;

#endif
