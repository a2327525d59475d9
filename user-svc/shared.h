/* What the loops of one user-svc share: hashing threads, delays, keys, the server's secret. On MongoDB every loop signs
 * people in; on SQLite loop 0 does, and the others only read. */
#ifndef ZMART_USER_SHARED_H
#define ZMART_USER_SHARED_H

#include "lib/base/metrics.h"
#include "user-svc/keyring.h"
#include "user-svc/opaque.h"
#include "user-svc/password.h"
#include "user-svc/program.h"
#include "user-svc/throttle.h"

struct user_shared {
    void *store; /* of store_share_prepare */
    struct password_cost password_cost;
    struct key_policy key_policy;
    struct work_pool *pool;
    struct throttle *throttle;
    struct keyring *keyring;
    uint8_t secret[SERVER_SECRET_SIZE];  /* read by loop 0 before the others open */
    char dummy_hash[PASSWORD_HASH_SIZE]; /* what an unknown address is checked against */
    struct metric *hash_time, *sign_ins, *refused, *keys_made;
};

/* For struct service: prepare and forget. */
enum err user_shared_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out);
void user_shared_forget(void *shared);

#endif
