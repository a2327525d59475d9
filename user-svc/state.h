/* What one loop of user-svc holds. Loop 0 writes and signs; the others only read. */
#ifndef ZMART_USER_STATE_H
#define ZMART_USER_STATE_H

#include "lib/base/metrics.h"
#include "user-svc/throttle.h"
#include "user-svc/opaque.h"
#include "user-svc/password.h"
#include "user-svc/program.h"
#include "user-svc/rules.h"
#include "user-svc/store.h"
#include "user-svc/token.h"

struct user_state {
    const struct user_config *config; /* borrowed */
    const struct log *log;            /* borrowed */
    struct user_store *store;         /* owned, as all below */
    struct outbox *outbox;
    struct password_policy password_policy;
    struct session_policy session_policy;
    struct password_cost password_cost;
    char admin_email[EMAIL_FOLDED_SIZE]; /* folded; empty: not pinned */
    /* loop 0 only; the pool's threads read them */
    struct work_pool *pool;
    struct throttle *throttle;
    struct token_signer *signer;
    uint8_t secret[SERVER_SECRET_SIZE];
    char dummy_hash[PASSWORD_HASH_SIZE]; /* what an unknown address is checked against */
    struct metric *hash_time;
    struct metric *sign_ins;
    struct metric *refused;
};

/* For struct service: open and close of one loop. */
enum err user_state_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out);
void user_state_close(struct service_loop *loop, void *state);

/* The service: its handlers and timers (in handlers.c). */
extern const struct service user_service;

#endif
