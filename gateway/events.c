#include "gateway/events.h"

#include "gateway/event_json.h"
#include "gateway/event_source.h"
#include "gateway/event_types.h"
#include "gateway/gateway.h"
#include "gateway/live.h"
#include "gateway/query.h"
#include "lib/base/clock.h"

enum { PAGE_DEFAULT = 100 };

/* Own events for customers, all for administrators. */
static struct text whose(const struct exchange *x)
{
    return x->who.role == ROLE_ADMIN ? (struct text){0} : x->who.user_id;
}

/* Without a choice all that the account may see. */
static enum err types_read(struct exchange *x, struct text list, bool given, uint64_t *out)
{
    *out = event_types_of(x->who.role);
    return given ? event_types_read(list, x->who.role, &x->fault, out) : ERR_NONE;
}

/* ---- pages ---- */

/* Asks until there is something, or until there is no time or no place to wait any more. */
static enum err page_wait(struct exchange *x, const struct event_ask *ask, int64_t wait_ms, struct event_list *out)
{
    struct long_polls *polls = x->gateway->polls;
    int64_t until_ms = clock_now_ms() + wait_ms;
    struct long_poll poll = {
        .user_id = x->who.user_id, .everybody = x->who.role == ROLE_ADMIN, .types = ask->types};
    bool waits = wait_ms > 0 && long_polls_enter(polls, &poll), last = !waits;
    enum err e;
    for (;;) {
        struct event_list page = {0};
        e = event_source_page(x->gateway->client, NULL, ask, &x->arena, &x->fault, &page);
        *out = page;
        if (e != ERR_NONE || page.data.count > 0 || last) {
            break;
        }
        /* One more look at the end: what wakes is not what is relied on. */
        last = !long_polls_wait(polls, &poll, until_ms - clock_now_ms());
        if (auth_is_denied(x->gateway->auth, x->who.user_id, x->who.session_id, x->who.issued_at)) {
            e = fault_set(&x->fault, ERR_UNAUTHENTICATED, "The session has ended.");
            break;
        }
    }
    if (waits) {
        long_polls_leave(polls, &poll);
    }
    return e;
}

enum err events_handle(struct exchange *x)
{
    struct event_query query = {0};
    struct event_ask ask = {.limit = PAGE_DEFAULT};
    struct event_list list = {0};
    enum err e = api_admit(x, OP_SIGNED_IN);
    if (e == ERR_NONE) {
        e = query_read(&event_query_record, x->request.query, 0, &x->arena, &x->fault, &query);
    }
    if (e == ERR_NONE) {
        e = types_read(x, query.types, has(event_query, &query, types), &ask.types);
    }
    if (e != ERR_NONE) {
        return e;
    }
    ask.after = query.after; /* 0 if absent */
    ask.limit = has(event_query, &query, limit) ? query.limit : ask.limit;
    ask.user_id = whose(x);
    e = page_wait(x, &ask, query.wait * 1000, &list);
    if (e != ERR_NONE) {
        return e;
    }
    x->reply.status = 200;
    x->reply.media_type = "application/json";
    return event_json_list_write(&list, &x->reply.body) ? ERR_NONE
                                                                 : fault_set(&x->fault, ERR_INTERNAL, NULL);
}

/* ---- streams ---- */

/* A client that comes back says what it has seen in the field, and still has the old URL. */
static enum err position_read(struct exchange *x, const struct event_stream_query *query, struct reply_stream *stream)
{
    struct text last = x->request.headers[HEADER_LAST_EVENT_ID];
    stream->resume = last.data || has(event_stream_query, query, after);
    stream->after = query->after;
    if (last.data && (!text_to_int(last, &stream->after) || stream->after < 0)) {
        fault_add(&x->fault, "/Last-Event-ID", "wrong_type", -1,
                  "takes the seq of an event, or 0 for all from the start");
        return fault_set(&x->fault, ERR_INVALID_PARAMETER, NULL);
    }
    return ERR_NONE;
}

enum err events_stream_handle(struct exchange *x)
{
    struct event_stream_query query = {0};
    struct reply_stream stream = {.on = true, .checked_ms = clock_now_ms()};
    struct live *live = atomic_load(&x->gateway->live);
    enum err e = api_admit(x, OP_SIGNED_IN);
    if (e == ERR_NONE) {
        e = query_read(&event_stream_query_record, x->request.query, 0, &x->arena, &x->fault, &query);
    }
    if (e == ERR_NONE) {
        e = types_read(x, query.types, has(event_stream_query, &query, types), &stream.types);
    }
    if (e == ERR_NONE) {
        e = position_read(x, &query, &stream);
    }
    if (e == ERR_NONE) {
        e = live ? live_position_check(live, stream.resume, stream.after, &x->fault)
                 : fault_set(&x->fault, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    if (e != ERR_NONE) {
        return e;
    }
    x->reply.stream = stream;
    x->reply.status = 200;
    x->reply.media_type = "text/event-stream";
    x->reply.close = true; /* the connection is not civetweb's any more */
    reply_add_field(&x->reply, "X-Accel-Buffering", TEXT("no"));
    return ERR_NONE;
}
