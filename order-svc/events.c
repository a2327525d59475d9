/* Order events: what the outside may see, and beside it the whole order for gateways. */
#include <inttypes.h>
#include <stdio.h>

#include "order-svc/desk.h"
#include "proto/ident.h"

/* The id follows from the order and its version, so that a repeat of the same change is the same event. */
static struct text event_id(const struct order *order, struct arena *arena)
{
    char step[40], id[IDENT_SIZE];
    uint8_t request_id[ID_SIZE];
    snprintf(step, sizeof step, "event:%" PRId64, order->version);
    request_id_of_step(order->id, text_of(step), request_id);
    ident_make("evt", request_id, 0, id);
    return text_of(arena_copy(arena, id, strlen(id)));
}

static struct text public_payload(const struct order *order, struct arena *arena)
{
    struct order_event event = {.order_id = order->id,
                                .number = order->number,
                                .user_id = order->user_id,
                                .status = order->status,
                                .payment_status = order->payment_status,
                                .fulfillment_status = order->fulfillment_status,
                                .total = order->total,
                                .currency = order->currency,
                                .version = order->version};
    event.lines.count = order->lines.count;
    event.lines.items = arena_alloc(arena, order->lines.count * sizeof *event.lines.items);
    for (uint32_t i = 0; i < order->lines.count; i++) {
        const struct order_line *line = &order->lines.items[i];
        event.lines.items[i] = (struct order_event_line){
            .product_id = line->product_id, .quantity = line->quantity, .price = line->price, .total = line->total};
    }
    return record_pack_in(&order_event_record, &event, arena);
}

struct event_new order_event_make(const struct order *order, enum event_type type, const struct call_meta *meta,
                                  struct arena *arena)
{
    struct event_new event = {.id = event_id(order, arena),
                              .type = text_of(event_info(type)->type),
                              .subject = order->id,
                              .source = TEXT("order-svc"),
                              .time = order->updated_at,
                              .user_id = order->user_id,
                              .data = public_payload(order, arena),
                              .private_data = record_pack_in(&order_record, order, arena)};
    set_has(event_new, &event, user_id);
    set_has(event_new, &event, data);
    set_has(event_new, &event, private_data);
    if (has(call_meta, meta, traceparent)) {
        event.traceparent = meta->traceparent;
        set_has(event_new, &event, traceparent);
    }
    return event;
}
