#include "gateway/ws_sight.h"

bool ws_filter_has(const struct ws_filter *filter, const char *order_id)
{
    for (uint32_t i = 0; i < filter->count; i++) {
        if (strcmp(filter->order_ids[i], order_id) == 0) {
            return true;
        }
    }
    return false;
}

bool ws_settings_show(const struct ws_peer_settings *settings, const struct ws_message *event)
{
    const struct ws_identity *identity = &settings->identity;
    if (identity->role != ROLE_ADMIN && (event->user_id[0] == '\0' || strcmp(identity->user_id, event->user_id) != 0)) {
        return false;
    }
    return (settings->types & event->types) || ws_filter_has(&settings->filter, event->order_id);
}

bool ws_identity_is_denied(const struct ws_identity *identity, const struct denial *denial)
{
    if (has(denial, denial, session_id) && text_is(denial->session_id, identity->session_id)) {
        return true;
    }
    if (!has(denial, denial, session_id) && !has(denial, denial, user_id)) {
        return identity->issued_at_ms <= denial->before; /* everybody */
    }
    return has(denial, denial, user_id) && text_is(denial->user_id, identity->user_id) &&
           identity->issued_at_ms <= denial->before &&
           !(has(denial, denial, except_session_id) && text_is(denial->except_session_id, identity->session_id));
}
