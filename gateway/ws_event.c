#include "gateway/ws_event.h"

#include "gateway/event_json.h"
#include "gateway/event_types.h"
#include "lib/base/clock.h"
#include "lib/json/json_write.h"
#include "proto/order.h"

/* The form that was promised for orders. */
static bool order_frame_write(const struct event_view *view, const struct order *order, struct buffer *out)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(view->time, time);
    return buffer_add_string(out, "{\"id\":") && buffer_add_json_string(out, view->id) &&
           buffer_add_string(out, ",\"type\":") && buffer_add_json_string(out, view->type) &&
           buffer_add_string(out, ",\"seq\":") && buffer_add_int(out, view->seq) &&
           buffer_add_string(out, ",\"time\":") && buffer_add_json_string(out, text_of(time)) &&
           buffer_add_string(out, ",\"order\":") && json_write(&order_record, order, out) && buffer_add_char(out, '}');
}

/* No line names the event: a browser's onmessage gets only those without a name, and the type is in the data. JSON has
 * no line's end: nothing can break out of its line. */
static bool plain_write(const struct event_view *view, struct buffer *out)
{
    return buffer_add_string(out, "id: ") && buffer_add_int(out, view->seq) && buffer_add_string(out, "\ndata: ") &&
           event_json_write(view, out) && buffer_add_string(out, "\n\n");
}

static enum err message_make(const struct event_view *view, const struct order *order, struct fault *fault,
                             struct ws_message **out)
{
    AUTO(buffer_release) struct buffer frame;
    AUTO(buffer_release) struct buffer plain;
    buffer_init(&frame, WS_MESSAGE_MAX);
    buffer_init(&plain, WS_MESSAGE_MAX);
    if (!(order ? order_frame_write(view, order, &frame) : event_json_write(view, &frame)) ||
        !plain_write(view, &plain)) {
        fault_cause(fault, "the event's JSON is over %d bytes", WS_MESSAGE_MAX);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    struct text nobody = {0};
    *out = ws_message_of_event(buffer_text(&frame), view->seq, order ? order->user_id : nobody,
                               order ? order->id : nobody);
    (*out)->types = event_types_bit(view->type);
    ws_message_set_plain(*out, buffer_text(&plain));
    return ERR_NONE;
}

enum err ws_event_of_view(const struct event_view *view, struct fault *fault, struct ws_message **out)
{
    AUTO(arena_release) struct arena arena = {0};
    const struct record *record = event_shown(event_find(view->type));
    if (!record || !has(event_view, view, data)) {
        fault_cause(fault, "the event has nothing for clients");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    void *data = arena_alloc(&arena, record->size);
    enum err e = record_unpack(record, view->data, &arena, fault, data);
    return e == ERR_NONE ? message_make(view, record == &order_record ? data : NULL, fault, out) : e;
}

enum err ws_event_make(const struct subscriber_event *event, struct fault *fault, struct ws_message **out)
{
    const struct event_meta *meta = event->meta;
    struct event_view view = {.id = meta->id, .type = meta->type, .seq = meta->seq, .subject = meta->subject};
    if (!event_types_bit(meta->type)) {
        *out = NULL;
        return ERR_NONE;
    }
    view.data = event_shown_data(event_find(meta->type), event->data, event->private_data);
    set_has(event_view, &view, data);
    if (!clock_parse(meta->time, &view.time)) {
        fault_cause(fault, "the event's time cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return ws_event_of_view(&view, fault, out);
}
