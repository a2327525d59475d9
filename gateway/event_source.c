#include "gateway/event_source.h"

#include "gateway/event_types.h"
#include "gateway/problem.h"

void event_source_view(const struct event_entry *entry, struct event_view *out)
{
    const struct event_info *info = event_find(entry->type);
    *out = (struct event_view){
        .id = entry->id, .type = entry->type, .seq = entry->seq, .time = entry->time, .subject = entry->subject};
    if (event_shown(info)) {
        out->data = event_shown_data(info, entry->data, entry->private_data);
        set_has(event_view, out, data);
    }
}

enum err event_source_page(struct bus_client *client, const uint8_t *request_id, const struct event_ask *ask,
                           struct arena *arena, struct fault *fault, struct event_list *out)
{
    struct call_meta meta = {.caller = TEXT("gateway")};
    struct event_replay replay = {.after = ask->after, .limit = ask->limit};
    struct event_page page;
    uint64_t types = ask->types & event_types_all(); /* what is not for clients is not even asked for */
    set_has(call_meta, &meta, caller);
    set_has(event_replay, &replay, limit);
    replay.types = event_types_names(types ? types : event_types_all(), arena);
    set_has(event_replay, &replay, types);
    if (ask->user_id.size) {
        replay.user_id = ask->user_id;
        set_has(event_replay, &replay, user_id);
    }
    enum err e =
        problem_of_call(bus_client_do(client, OP_event_replay, request_id, &meta, &replay, arena, fault, &page), fault);
    if (e != ERR_NONE) {
        return e;
    }
    *out = (struct event_list){.head = page.head};
    if (types) {
        out->has_more = page.has_more;
        out->data.count = page.data.count;
        out->data.items = arena_alloc(arena, page.data.count * sizeof *out->data.items + 1);
    }
    for (uint32_t i = 0; i < out->data.count; i++) {
        event_source_view(&page.data.items[i], &out->data.items[i]);
    }
    return ERR_NONE;
}
