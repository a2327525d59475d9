#include "user-svc/events.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "proto/ident.h"

struct event_new user_event_make(struct call *call, enum event_type type, struct text user_id)
{
    const struct call_meta *meta = call_meta(call);
    char hex[ID_HEX_SIZE], step[EVENT_TOPIC_SIZE + 1 + ID_HEX_SIZE], name[IDENT_SIZE];
    uint8_t id[ID_SIZE];
    id_to_hex(call_request_id(call), hex);
    snprintf(step, sizeof step, "%s:%s", event_info(type)->type, hex);
    request_id_of_step(user_id, text_of(step), id);
    ident_make("evt", id, 0, name);
    struct event_new event = {.id = text_of(arena_copy(call_arena(call), name, strlen(name))),
                              .type = text_of(event_info(type)->type),
                              .subject = user_id,
                              .source = TEXT("user-svc"),
                              .time = clock_wall_ms()};
    if (has(call_meta, meta, traceparent)) {
        event.traceparent = meta->traceparent;
        set_has(event_new, &event, traceparent);
    }
    return event;
}

struct event_new session_ended_make(struct call *call, const struct denial *denial, struct text user_id)
{
    struct event_new event = user_event_make(call, EVENT_SESSION_ENDED, user_id);
    event.private_data = record_pack_in(&denial_record, denial, call_arena(call));
    set_has(event_new, &event, private_data);
    return event;
}
