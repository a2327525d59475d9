#include "gateway/ws_change.h"

#include <stdio.h>

#include "gateway/codec_json.h"
#include "gateway/event_types.h"
#include "gateway/ws_sight.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/json/json_write.h"
#include "proto/ident.h"

RECORD_DEFINE(ws_topics, WS_TOPICS_FIELDS)
RECORD_DEFINE(ws_command, WS_COMMAND_FIELDS)
RECORD_DEFINE(ws_subscribed, WS_SUBSCRIBED_FIELDS)

enum { ANSWER_MAX_SIZE = 16 * 1024, POINTER_SIZE = 40 };

/* ---- reading ---- */

static void pointer_make(char out[POINTER_SIZE], bool subscribe, const char *list, uint32_t index)
{
    snprintf(out, POINTER_SIZE, "/%ssubscribe/%s/%u", subscribe ? "" : "un", list, index);
}

static enum err types_read(const struct ws_topics *topics, enum role role, struct fault *fault,
                           struct ws_change *change)
{
    enum err e = ERR_NONE;
    for (uint32_t i = 0; i < topics->types.count; i++) {
        char pointer[POINTER_SIZE];
        pointer_make(pointer, change->subscribe, "types", i);
        enum err one = event_types_add(topics->types.items[i], role, pointer, fault, &change->types);
        e = one == ERR_NONE ? e : one == ERR_FORBIDDEN ? one : ERR_INVALID_BODY;
    }
    return e;
}

static enum err orders_read(const struct ws_topics *topics, struct fault *fault, struct ws_change *change)
{
    enum err e = ERR_NONE;
    change->orders.order_ids = topics->orders.count ? mem_alloc_array(topics->orders.count, WS_ID_SIZE) : NULL;
    for (uint32_t i = 0; i < topics->orders.count; i++) {
        char *id = change->orders.order_ids[change->orders.count];
        char pointer[POINTER_SIZE];
        if (!ident_is(topics->orders.items[i], "ord") || !text_to_string(topics->orders.items[i], id, WS_ID_SIZE)) {
            pointer_make(pointer, change->subscribe, "orders", i);
            fault_add(fault, pointer, "format", -1, "is no id of an order");
            e = ERR_INVALID_BODY;
        } else if (!ws_filter_has(&change->orders, id)) {
            change->orders.count++;
        }
    }
    return e;
}

static enum err topics_find(const struct ws_said *said, struct arena *arena, struct fault *fault, bool *subscribe,
                            const struct ws_topics **out)
{
    struct ws_command command = {0};
    if (!said->is_text || !said->is_whole) {
        return fault_set(fault, ERR_INVALID_BODY, "takes one JSON text of at most %d bytes", WS_CHANGE_SIZE);
    }
    enum err e = json_read(&ws_command_record, said->bytes, 0, arena, fault, &command);
    if (e != ERR_NONE) {
        return e;
    }
    *subscribe = has(ws_command, &command, subscribe);
    if (*subscribe == has(ws_command, &command, unsubscribe)) {
        return fault_set(fault, ERR_INVALID_BODY, "takes {\"subscribe\": {...}} or {\"unsubscribe\": {...}}");
    }
    *out = *subscribe ? command.subscribe : command.unsubscribe;
    return ERR_NONE;
}

enum err ws_change_read(const struct ws_said *said, enum role role, struct arena *arena, struct fault *fault,
                        struct ws_change **out)
{
    const struct ws_topics *topics = NULL;
    bool subscribe = false;
    enum err e = topics_find(said, arena, fault, &subscribe, &topics);
    if (e != ERR_NONE) {
        return e;
    }
    struct ws_change *change = mem_alloc(sizeof *change);
    change->subscribe = subscribe;
    e = types_read(topics, role, fault, change);
    enum err orders_e = orders_read(topics, fault, change);
    e = e == ERR_NONE ? orders_e : e;
    if (e != ERR_NONE) {
        ws_change_destroy(&change);
        return fault_set(fault, e, NULL);
    }
    *out = change;
    return ERR_NONE;
}

void ws_change_destroy(struct ws_change **self)
{
    if (*self) {
        mem_free((*self)->orders.order_ids);
        mem_free(*self);
        *self = NULL;
    }
}

/* ---- applying ---- */

struct ws_filter ws_filter_copy(const struct ws_filter *filter)
{
    struct ws_filter copy = {.count = filter->count};
    if (copy.count > 0) {
        copy.order_ids = mem_alloc_array(copy.count, WS_ID_SIZE);
        memcpy(copy.order_ids, filter->order_ids, copy.count * sizeof *copy.order_ids);
    }
    return copy;
}

/* Those of a that are not among b, behind what out has already; out has room for them. */
static void filter_add_others(const struct ws_filter *a, const struct ws_filter *b, struct ws_filter *out)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (!ws_filter_has(b, a->order_ids[i])) {
            memcpy(out->order_ids[out->count++], a->order_ids[i], WS_ID_SIZE);
        }
    }
}

enum err ws_change_apply(const struct ws_change *self, struct ws_peer_settings *peer, struct fault *fault)
{
    struct ws_filter none = {0}, merged = {0};
    merged.order_ids = mem_alloc_array(peer->filter.count + self->orders.count + 1, WS_ID_SIZE);
    filter_add_others(&peer->filter, self->subscribe ? &none : &self->orders, &merged);
    if (self->subscribe) {
        filter_add_others(&self->orders, &peer->filter, &merged);
    }
    if (merged.count > WS_FILTER_MAX) {
        mem_free(merged.order_ids);
        fault_add(fault, "/subscribe/orders", "out_of_range", -1, "would be %u orders; a client follows at most %d",
                  merged.count, WS_FILTER_MAX);
        return fault_set(fault, ERR_INVALID_BODY, NULL);
    }
    uint64_t types = self->subscribe ? peer->types | self->types : peer->types & ~self->types;
    mem_free(peer->filter.order_ids);
    peer->filter = merged;
    types &= ~EVENT_TYPES_NONE;
    peer->types = types ? types : EVENT_TYPES_NONE;
    return ERR_NONE;
}

/* ---- answering ---- */

struct ws_message *ws_change_answer(const struct ws_peer_settings *peer)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer json;
    buffer_init(&json, ANSWER_MAX_SIZE);
    struct ws_topics topics = {.types = event_types_names(peer->types, &arena)};
    topics.orders.items = arena_alloc(&arena, (peer->filter.count + 1) * sizeof *topics.orders.items);
    for (uint32_t i = 0; i < peer->filter.count; i++) {
        topics.orders.items[topics.orders.count++] = text_of(peer->filter.order_ids[i]);
    }
    set_has(ws_topics, &topics, types);
    set_has(ws_topics, &topics, orders);
    bool fits = json_write(&ws_subscribed_record, &(struct ws_subscribed){.subscribed = &topics}, &json);
    ASSERT(fits); /* all of it is bounded */
    return ws_message_of_data(WS_TEXT, buffer_text(&json));
}

static bool item_write(const struct problem_item *item, struct buffer *out)
{
    return buffer_add_string(out, "{\"pointer\":") && buffer_add_json_string(out, item->pointer) &&
           buffer_add_string(out, ",\"code\":") && buffer_add_json_string(out, item->code) &&
           buffer_add_string(out, ",\"message\":") && buffer_add_json_string(out, item->message) &&
           buffer_add_char(out, '}');
}

struct ws_message *ws_change_refusal(const struct fault *fault)
{
    const struct err_info *info = err_info(fault->code);
    AUTO(buffer_release) struct buffer json;
    buffer_init(&json, ANSWER_MAX_SIZE);
    (void)buffer_add_string(&json, "{\"error\":{\"code\":");
    (void)buffer_add_json_string(&json, text_of(info->slug));
    (void)buffer_add_string(&json, ",\"detail\":");
    (void)buffer_add_json_string(&json, text_of(fault->detail[0] ? fault->detail : info->title));
    (void)buffer_add_string(&json, ",\"errors\":[");
    for (uint32_t i = 0; i < fault->item_count && json.size < ANSWER_MAX_SIZE / 2; i++) {
        (void)(i == 0 || buffer_add_char(&json, ','));
        (void)item_write(&fault->items[i], &json); /* at most 1,800 bytes each, so that it fits */
    }
    (void)buffer_add_string(&json, "]}}");
    return ws_message_of_data(WS_TEXT, buffer_text(&json));
}
