#include "gateway/ws_event.h"

#include "gateway/codec_json.h"
#include "proto/order.h"

static bool write_json(const struct event_meta *meta, const struct order *order, struct buffer *out)
{
    return buffer_add_string(out, "{\"id\":") && buffer_add_json_string(out, meta->id) &&
           buffer_add_string(out, ",\"type\":") && buffer_add_json_string(out, meta->type) &&
           buffer_add_string(out, ",\"seq\":") && buffer_add_int(out, meta->seq) &&
           buffer_add_string(out, ",\"time\":") && buffer_add_json_string(out, meta->time) &&
           buffer_add_string(out, ",\"order\":") && json_write(&order_record, order, out) && buffer_add_char(out, '}');
}

enum err ws_event_make(const struct subscriber_event *event, struct fault *fault, struct ws_message **out)
{
    const struct event_info *info = event_find(event->meta->type);
    if (!info || info->private_payload != &order_record) {
        *out = NULL;
        return ERR_NONE;
    }
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer json;
    struct order order;
    buffer_init(&json, WS_MESSAGE_MAX);
    enum err code = record_unpack(&order_record, event->private_data, &arena, fault, &order);
    if (code != ERR_NONE) {
        return code;
    }
    if (!write_json(event->meta, &order, &json)) {
        fault_cause(fault, "the order's JSON is over %d bytes", WS_MESSAGE_MAX);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = ws_message_of_event(buffer_text(&json), event->meta->seq, order.user_id, order.id);
    return ERR_NONE;
}
