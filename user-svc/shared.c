#include "user-svc/shared.h"

#include <sodium.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/share.h"

enum { POOL_THREADS_MAX = 2, DAY_MS = 24 * 3600 * 1000 };

static int pool_thread_count(const struct user_config *config)
{
    if (config->password_threads > 0) {
        return (int)config->password_threads;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > POOL_THREADS_MAX ? POOL_THREADS_MAX : (int)cores;
}

static struct user_shared *shared_new(const struct user_config *config, struct metrics *metrics)
{
    struct user_shared *self = mem_alloc(sizeof *self);
    struct attempt_policy attempts = {config->login_failures, config->login_delay_max_s * 1000};
    self->password_cost = (struct password_cost){config->argon_memory_kib, config->argon_passes};
    self->key_policy = (struct key_policy){.lead_ms = config->key_lead_s * 1000,
                                           .token_ms = config->token_ttl_s * 1000,
                                           .rotate_ms = config->key_rotate_days * DAY_MS};
    password_dummy(&self->password_cost, self->dummy_hash);
    self->throttle = throttle_new(&attempts);
    self->pool = work_pool_new(pool_thread_count(config), (int)config->password_queue);
    self->keyring = keyring_new(&self->key_policy);
    self->hash_time = metrics_get(metrics, METRIC_TIME, "zmart_user_hash_seconds", "", "Time of one password hash.");
    self->sign_ins = metrics_get(metrics, METRIC_COUNTER, "zmart_user_sign_ins_total", "", "Sessions begun.");
    self->refused = metrics_get(metrics, METRIC_COUNTER, "zmart_user_sign_ins_refused_total", "",
                                "Wrong passwords and attempts that came too early.");
    self->keys_made = metrics_get(metrics, METRIC_COUNTER, "zmart_user_keys_made_total", "", "Signing keys made here.");
    return self;
}

enum err user_shared_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    const struct user_settings *settings = config;
    if (!password_start()) {
        return fault_set(fault, ERR_INTERNAL, "libsodium cannot start");
    }
    enum err e = store_share_prepare(&settings->store, &user_mongo_schema, env, fault, out);
    if (e == ERR_NONE) {
        struct user_shared *self = shared_new(&settings->user, env->metrics);
        self->store = out->shared;
        out->shared = self;
    }
    return e;
}

void user_shared_forget(void *shared)
{
    struct user_shared *self = shared;
    work_pool_destroy(&self->pool);
    keyring_destroy(&self->keyring);
    throttle_destroy(&self->throttle);
    store_share_forget(self->store);
    sodium_memzero(self, sizeof *self);
    mem_free(self);
}
