#include "gateway/ws_event.h"

#include "gateway/codec_json.h"
#include "gateway/event_types.h"
#include "lib/base/clock.h"
#include "proto/order.h"

static bool frame_write(const struct event_view *view, struct buffer *out)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(view->time, time);
    return buffer_add_string(out, "{\"id\":") && buffer_add_json_string(out, view->id) &&
           buffer_add_string(out, ",\"type\":") && buffer_add_json_string(out, view->type) &&
           buffer_add_string(out, ",\"seq\":") && buffer_add_int(out, view->seq) &&
           buffer_add_string(out, ",\"time\":") && buffer_add_json_string(out, text_of(time)) &&
           buffer_add_string(out, ",\"order\":") && json_write(&order_record, view->data, out) &&
           buffer_add_char(out, '}');
}

/* No line names the event: a browser's onmessage gets only those without a name, and the type is in the data. JSON has
 * no line's end: nothing can break out of its line. */
static bool plain_write(const struct event_view *view, struct buffer *out)
{
    return buffer_add_string(out, "id: ") && buffer_add_int(out, view->seq) && buffer_add_string(out, "\ndata: ") &&
           json_write(&event_view_record, view, out) && buffer_add_string(out, "\n\n");
}

enum err ws_event_of_view(const struct event_view *view, struct fault *fault, struct ws_message **out)
{
    AUTO(buffer_release) struct buffer frame;
    AUTO(buffer_release) struct buffer plain;
    buffer_init(&frame, WS_MESSAGE_MAX);
    buffer_init(&plain, WS_MESSAGE_MAX);
    if (!has(event_view, view, data)) {
        fault_cause(fault, "the event has no order");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    if (!frame_write(view, &frame) || !plain_write(view, &plain)) {
        fault_cause(fault, "the order's JSON is over %d bytes", WS_MESSAGE_MAX);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = ws_message_of_event(buffer_text(&frame), view->seq, view->data->user_id, view->data->id);
    (*out)->types = event_types_bit(view->type);
    ws_message_set_plain(*out, buffer_text(&plain));
    return ERR_NONE;
}

enum err ws_event_make(const struct subscriber_event *event, struct fault *fault, struct ws_message **out)
{
    const struct event_meta *meta = event->meta;
    struct order order;
    struct event_view view = {
        .id = meta->id, .type = meta->type, .seq = meta->seq, .subject = meta->subject, .data = &order};
    if (!event_types_bit(meta->type)) {
        *out = NULL;
        return ERR_NONE;
    }
    AUTO(arena_release) struct arena arena = {0};
    set_has(event_view, &view, data);
    enum err code = record_unpack(&order_record, event->private_data, &arena, fault, &order);
    if (code == ERR_NONE && !clock_parse(meta->time, &view.time)) {
        code = fault_set(fault, ERR_INTERNAL, NULL);
    }
    return code == ERR_NONE ? ws_event_of_view(&view, fault, out) : code;
}
