#include "user-svc/state.h"

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"

enum { POOL_THREADS_MAX = 2 };

static const char secret_name[] = "server";

static void state_destroy(struct user_state *state)
{
    if (state->pool) {
        work_pool_destroy(&state->pool);
    }
    token_signer_destroy(&state->signer);
    throttle_destroy(&state->throttle);
    outbox_destroy(&state->outbox);
    user_store_destroy(&state->store);
    sodium_memzero(state, sizeof *state);
    mem_free(state);
}

static enum err settings_read(const struct user_config *config, struct user_state *state, struct fault *fault)
{
    struct text pinned = text_of(config->admin_email);
    state->config = config;
    state->password_policy = (struct password_policy){config->password_min, config->password_strict};
    state->session_policy = (struct session_policy){config->refresh_idle_s * 1000, config->refresh_total_s * 1000};
    state->password_cost = (struct password_cost){config->argon_memory_kib, config->argon_passes};
    if (pinned.size > 0 && (email_problem(pinned) || !email_fold(pinned, state->admin_email))) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "--admin-email is no e-mail address");
    }
    return ERR_NONE;
}

/* The first start of a shop makes its key and its secret; every later one finds them. */
static enum err secrets_settle(struct user_state *state, struct fault *fault)
{
    struct token_key key;
    uint8_t random[SERVER_SECRET_SIZE];
    if (!token_key_make(&key)) {
        fault_cause(fault, "OpenSSL made no P-256 key");
        return fault_set(fault, ERR_INTERNAL, "no signing key could be made");
    }
    struct key_row row = {.generation = 1,
                          .created_ms = clock_wall_ms(),
                          .shown = {.kid = text_of(key.kid),
                                    .public_pem = text_of(key.public_pem),
                                    .x = text_of(key.x),
                                    .y = text_of(key.y)},
                          .private_pem = text_of(key.private_pem)};
    struct secret_row secret = {.name = secret_name, .value = {(const char *)random, sizeof random}};
    randombytes_buf(random, sizeof random);
    enum err e = user_store_key_add(state->store, &row, fault);
    if (e == ERR_NONE) {
        e = user_store_secret_add(state->store, &secret, fault);
    }
    token_key_wipe(&key);
    sodium_memzero(random, sizeof random);
    return e;
}

static enum err secrets_load(struct user_state *state, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct key_rows keys = {0};
    struct text secret = {0};
    enum err e = user_store_key_list(state->store, &arena, fault, &keys);
    if (e == ERR_NONE) {
        e = user_store_secret_get(state->store, secret_name, &arena, fault, &secret);
    }
    if (e == ERR_NONE && keys.count > 0 && secret.size == sizeof state->secret) {
        memcpy(state->secret, secret.data, sizeof state->secret);
        state->signer = token_signer_new(keys.items[0].shown.kid, keys.items[0].private_pem);
    }
    for (uint32_t i = 0; i < keys.count; i++) {
        secret_wipe(keys.items[i].private_pem);
    }
    secret_wipe(secret);
    if (e == ERR_NONE && !state->signer) {
        e = fault_set(fault, ERR_INTERNAL, "the stored signing key or server secret cannot be used");
    }
    return e;
}

static enum err secrets_open(struct user_state *state, struct fault *fault)
{
    const struct unit_of_work *unit = state->store->unit;
    enum err e = unit->begin(state->store->unit_store, true, fault);
    if (e != ERR_NONE) {
        return e;
    }
    e = secrets_settle(state, fault);
    if (e == ERR_NONE) {
        e = unit->commit(state->store->unit_store, fault);
    } else {
        unit->rollback(state->store->unit_store);
    }
    return e == ERR_NONE ? secrets_load(state, fault) : e;
}

static int pool_thread_count(const struct user_config *config)
{
    if (config->password_threads > 0) {
        return (int)config->password_threads;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > POOL_THREADS_MAX ? POOL_THREADS_MAX : (int)cores;
}

static void writer_start(struct user_state *state, struct metrics *metrics)
{
    const struct user_config *config = state->config;
    struct attempt_policy attempts = {config->login_failures, config->login_delay_max_s * 1000};
    password_dummy(&state->password_cost, state->dummy_hash);
    state->throttle = throttle_new(&attempts);
    state->pool = work_pool_new(pool_thread_count(config), (int)config->password_queue);
    state->hash_time = metrics_get(metrics, METRIC_TIME, "zmart_user_hash_seconds", "", "Time of one password hash.");
    state->sign_ins = metrics_get(metrics, METRIC_COUNTER, "zmart_user_sign_ins_total", "", "Sessions begun.");
    state->refused = metrics_get(metrics, METRIC_COUNTER, "zmart_user_sign_ins_refused_total", "",
                                 "Wrong passwords and attempts that came too early.");
}

enum err user_state_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    const struct user_settings *settings = config;
    struct env *env = service_env(loop);
    bool writer = service_loop_index(loop) == 0;
    if (!password_start()) {
        return fault_set(fault, ERR_INTERNAL, "libsodium cannot start");
    }
    struct user_state *state = mem_alloc(sizeof *state);
    state->log = env->log;
    enum err e = settings_read(&settings->user, state, fault);
    if (e == ERR_NONE) {
        e = user_store_open_sqlite(&settings->store, writer, env->metrics, fault, &state->store);
    }
    if (e == ERR_NONE) {
        state->outbox = outbox_new(state->store->outbox);
        e = writer ? secrets_open(state, fault) : ERR_NONE;
    }
    if (e != ERR_NONE) {
        state_destroy(state);
        return e;
    }
    if (writer) {
        writer_start(state, env->metrics);
    }
    *out = (struct loop_store){.state = state, .unit = state->store->unit, .store = state->store->unit_store};
    return ERR_NONE;
}

void user_state_close(struct service_loop *loop, void *state)
{
    (void)loop;
    state_destroy(state);
}
