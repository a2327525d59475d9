#include "gateway/ws_ended.h"

static void id_copy(bool given, struct text id, char out[WS_ID_SIZE])
{
    if (!given || !text_to_string(id, out, WS_ID_SIZE)) {
        out[0] = '\0';
    }
}

struct ws_ended ws_ended_of(const struct denial *denial)
{
    struct ws_ended ended = {.present = denial->present, .before = denial->before};
    id_copy(has(denial, denial, session_id), denial->session_id, ended.session_id);
    id_copy(has(denial, denial, user_id), denial->user_id, ended.user_id);
    id_copy(has(denial, denial, except_session_id), denial->except_session_id, ended.except_session_id);
    return ended;
}

struct denial ws_ended_denial(const struct ws_ended *ended)
{
    return (struct denial){.present = ended->present,
                           .before = ended->before,
                           .session_id = text_of(ended->session_id),
                           .user_id = text_of(ended->user_id),
                           .except_session_id = text_of(ended->except_session_id)};
}

void ws_ends_add(struct ws_ends *self, const struct ws_ended *ended, int64_t now_ms)
{
    self->items[self->next] = *ended;
    self->items[self->next].at_ms = now_ms;
    self->next = (self->next + 1) % WS_ENDED_COUNT;
    self->count = self->count < WS_ENDED_COUNT ? self->count + 1 : WS_ENDED_COUNT;
}

bool ws_ends_hit(const struct ws_ends *self, const struct ws_identity *identity)
{
    for (uint32_t i = 0; i < self->count; i++) {
        struct denial denial = ws_ended_denial(&self->items[i]);
        if (self->items[i].at_ms >= identity->checked_ms && ws_identity_is_denied(identity, &denial)) {
            return true;
        }
    }
    return false;
}
