#include "product-svc/news.h"

#include <inttypes.h>
#include <stdio.h>

#include "proto/ident.h"

enum { CAUSE_SIZE = 80 };

static struct text event_id(const struct product_act *act, struct text product_id, enum event_type type, int64_t number)
{
    char cause[CAUSE_SIZE], id[IDENT_SIZE];
    uint8_t request_id[ID_SIZE];
    snprintf(cause, sizeof cause, "%s:%" PRId64, event_info(type)->type, number);
    request_id_of_step(product_id, text_of(cause), request_id);
    ident_make("evt", request_id, 0, id);
    return text_of(arena_copy(act->arena, id, strlen(id)));
}

static void news_make(const struct product_act *act, enum event_type type, const struct product *product,
                      int64_t number, struct event_new *out)
{
    struct product_event event = {.product_id = product->id,
                                  .sku = product->sku,
                                  .stock = product->stock < STOCK_MAX ? product->stock : STOCK_MAX,
                                  .price = product->price,
                                  .currency = product->currency,
                                  .active = product->active,
                                  .version = product->version};
    *out = (struct event_new){.id = event_id(act, product->id, type, number),
                              .type = text_of(event_info(type)->type),
                              .subject = product->id,
                              .source = TEXT("product-svc"),
                              .time = act->now_ms,
                              .data = record_pack_in(&product_event_record, &event, act->arena)};
    set_has(event_new, out, data);
    if (act->traceparent.size > 0) {
        out->traceparent = act->traceparent;
        set_has(event_new, out, traceparent);
    }
}

void product_news_make(const struct product_act *act, enum event_type type, const struct product *product,
                       struct event_new *out)
{
    news_make(act, type, product, product->version, out);
}

void stock_news_make(const struct product_act *act, enum event_type type, const struct product *product,
                     int64_t change_count, struct event_new *out)
{
    news_make(act, type, product, change_count, out);
}

bool stock_news_due(const struct product_act *act, int64_t before, int64_t after, enum event_type *out)
{
    switch (stock_news_of(before, after, act->low_stock)) {
    case STOCK_RUNS_LOW: *out = EVENT_PRODUCT_LOW_STOCK; return true;
    case STOCK_IS_BACK: *out = EVENT_PRODUCT_BACK_IN_STOCK; return true;
    case STOCK_IS_NO_NEWS: break;
    }
    return false;
}
