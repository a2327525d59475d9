#include "user-svc/store.h"

#define FORWARD(name, parameters, arguments)  \
    enum err user_store_##name parameters     \
    {                                         \
        return self->ops->name arguments;     \
    }
USER_STORE_VERBS(FORWARD)

struct event_new user_event_complete(const struct event_new *event, const struct user_event *data, struct arena *arena)
{
    struct event_new complete = *event;
    complete.data = record_pack_in(&user_event_record, data, arena);
    set_has(event_new, &complete, data);
    return complete;
}

uint32_t account_denials(const struct account *account, int64_t ends_ms, struct denial out[2])
{
    uint32_t count = 0;
    if (account->denied_all_ms > 0) {
        out[count] =
            (struct denial){.user_id = account->user.id, .before = account->denied_all_ms, .expires_at = ends_ms};
        set_has(denial, &out[count], user_id);
        count++;
    }
    if (account->denied_until_ms > account->denied_all_ms) {
        out[count] = (struct denial){.user_id = account->user.id,
                                     .except_session_id = account->kept_session,
                                     .before = account->denied_until_ms,
                                     .expires_at = ends_ms};
        set_has(denial, &out[count], user_id);
        set_has(denial, &out[count], except_session_id);
        count++;
    }
    return count;
}

bool account_keeps(const struct account *account, const struct session *session)
{
    return session->generation >= account->generation || text_equal(session->id, account->kept_session);
}

bool account_denies(const struct account *account, struct text session_id, int64_t issued_at_ms)
{
    return issued_at_ms <= account->denied_all_ms ||
           (issued_at_ms <= account->denied_until_ms && !text_equal(session_id, account->kept_session));
}

void user_store_destroy(struct user_store **self)
{
    if (*self) {
        (*self)->ops->destroy(self);
    }
}
