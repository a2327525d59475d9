#include "gateway/event_json.h"

#include "lib/base/clock.h"
#include "lib/json/json_write.h"

/* What a type of today is no more (or a record that was another then) shows as null: the event itself is still told. */
static bool data_write(const struct event_view *view, struct buffer *out)
{
    AUTO(arena_release) struct arena arena = {0};
    const struct record *record = event_shown(event_find(view->type));
    void *data = record ? arena_alloc(&arena, record->size) : NULL;
    bool shown = data && has(event_view, view, data) &&
                 record_unpack(record, view->data, &arena, NULL, data) == ERR_NONE;
    return shown ? json_write(record, data, out) : buffer_add_string(out, "null");
}

bool event_json_write(const struct event_view *view, struct buffer *out)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(view->time, time);
    return buffer_add_string(out, "{\"id\":") && buffer_add_json_string(out, view->id) &&
           buffer_add_string(out, ",\"type\":") && buffer_add_json_string(out, view->type) &&
           buffer_add_string(out, ",\"seq\":") && buffer_add_int(out, view->seq) &&
           buffer_add_string(out, ",\"time\":") && buffer_add_json_string(out, text_of(time)) &&
           buffer_add_string(out, ",\"subject\":") && buffer_add_json_string(out, view->subject) &&
           buffer_add_string(out, ",\"data\":") && data_write(view, out) && buffer_add_char(out, '}');
}

bool event_json_list_write(const struct event_list *list, struct buffer *out)
{
    bool added = buffer_add_string(out, "{\"data\":[");
    for (uint32_t i = 0; added && i < list->data.count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) && event_json_write(&list->data.items[i], out);
    }
    return added && buffer_add_string(out, "],\"has_more\":") &&
           buffer_add_string(out, list->has_more ? "true" : "false") && buffer_add_string(out, ",\"head\":") &&
           buffer_add_int(out, list->head) && buffer_add_char(out, '}');
}
