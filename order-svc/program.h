/* order-svc: its program, its settings, and what each of its loops works with. */
#ifndef ZMART_ORDER_PROGRAM_H
#define ZMART_ORDER_PROGRAM_H

#include "lib/bus/service.h"
#include "lib/store/url.h"

#define ORDER_CONFIG(X)                                                                                                \
    X(NUMBER, order_settle_ms, "order-settle-ms", "500", 10, 60000,                                                    \
      "how often product-svc is told which holds are confirmed, released or shipped")                                  \
    X(NUMBER, order_void_hours, "order-void-hours", "48", 48, 8760,                                                    \
      "how long refused and given-up orders are remembered")
CONFIG_DECLARE(order_config, ORDER_CONFIG);

struct order_settings {
    struct process_config process;
    struct bus_config bus;
    struct service_config service;
    struct store_config store;
    struct order_config order;
};

extern const struct program order_program;

#endif
