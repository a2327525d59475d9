#include "tests/gateway/ws_order.h"

#include "proto/order.h"

struct subscriber_event ws_order_event(int64_t seq, const char *user_id, const char *order_id, uint32_t note_size,
                                       struct arena *arena)
{
    struct order_line line = {.product_id = TEXT("prd_1"),
                              .sku = TEXT("SKU-1"),
                              .name = TEXT("Cup"),
                              .price = 2999,
                              .quantity = 2,
                              .total = 5998};
    struct order_move move = {.status = ORDER_PENDING, .at = 1767323045678, .by = text_of(user_id)};
    struct order order = {
        .id = text_of(order_id),
        .number = TEXT("7K3F9-Q2M4X"),
        .user_id = text_of(user_id),
        .lines = {&line, 1},
        .subtotal = 5998,
        .total = 5998,
        .currency = TEXT("EUR"),
        .history = {&move, 1},
        .version = 1,
        .created_at = 1767323045678,
        .updated_at = 1767323045678,
    };
    if (note_size > 0) {
        char *note = arena_alloc(arena, note_size);
        memset(note, 'n', note_size);
        order.note = (struct text){note, note_size};
        set_has(order, &order, note);
    }
    struct event_meta *meta = arena_alloc(arena, sizeof(*meta));
    *meta = (struct event_meta){
        .stream = TEXT("shop"),
        .epoch = 1,
        .seq = seq,
        .tseq = seq,
        .id = TEXT("evt_\"1\""),
        .type = TEXT("order.placed"),
        .source = TEXT("order-svc"),
        .subject = text_of(order_id),
        .time = TEXT("2026-01-02T03:04:05.678Z"),
        .specversion = TEXT("1.0"),
    };
    return (struct subscriber_event){
        .topic = TEXT("order.placed."),
        .meta = meta,
        .private_data = record_pack_in(&order_record, &order, arena),
    };
}
