/* What one loop of user-svc holds. */
#ifndef ZMART_USER_STATE_H
#define ZMART_USER_STATE_H

#include "user-svc/shared.h"

struct user_state {
    const struct user_config *config; /* borrowed */
    const struct log *log;            /* borrowed */
    struct user_shared *shared;       /* borrowed; the pool's threads have it too */
    struct user_store *store;         /* owned, as all below */
    struct outbox *outbox;
    struct password_policy password_policy;
    struct session_policy session_policy;
    char admin_email[EMAIL_FOLDED_SIZE]; /* folded; empty: not pinned */
};

/* For struct service: open and close of one loop. */
enum err user_state_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out);
void user_state_close(struct service_loop *loop, void *state);

/* The service: its handlers and timers (in handlers.c). */
extern const struct service user_service;

#endif
