#include "user-svc/state.h"

#include <sodium.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

static const char secret_name[] = "server";

static void state_destroy(struct user_state *state)
{
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
    if (pinned.size > 0 && (email_problem(pinned) || !email_fold(pinned, state->admin_email))) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "--admin-email is no e-mail address");
    }
    return ERR_NONE;
}

/* The first start of a shop makes its key and its secret; every later one, and every other process, finds them. */
static enum err secrets_settle(struct user_state *state, struct arena *arena, struct fault *fault)
{
    struct key_row row;
    uint8_t random[SERVER_SECRET_SIZE];
    enum err e = keyring_make(1, clock_wall_ms(), arena, fault, &row);
    if (e != ERR_NONE) {
        return e;
    }
    struct secret_row secret = {.name = secret_name, .value = {(const char *)random, sizeof random}};
    randombytes_buf(random, sizeof random);
    e = user_store_secret_add(state->store, &secret, fault);
    if (e == ERR_NONE) {
        e = user_store_key_add(state->store, &row, fault);
    }
    secret_wipe(row.private_pem);
    sodium_memzero(random, sizeof random);
    return e;
}

static enum err secrets_load(struct user_state *state, struct key_rows *keys, struct arena *arena, struct fault *fault)
{
    struct user_shared *shared = state->shared;
    struct text secret = {0};
    enum err e = user_store_secret_get(state->store, secret_name, arena, fault, &secret);
    if (e == ERR_NOT_FOUND || (e == ERR_NONE && secret.size != sizeof shared->secret)) {
        e = fault_set(fault, ERR_INTERNAL, "the stored server secret cannot be used");
    }
    if (e == ERR_NONE) {
        memcpy(shared->secret, secret.data, sizeof shared->secret);
        e = keyring_take(shared->keyring, keys, clock_wall_ms(), fault);
    }
    secret_wipe(secret);
    return e;
}

static enum err secrets_find(struct user_state *state, struct arena *arena, struct fault *fault)
{
    struct key_rows keys = {0};
    enum err e = user_store_key_list(state->store, arena, fault, &keys);
    if (e == ERR_NONE && keys.count == 0) {
        e = secrets_settle(state, arena, fault);
        e = e == ERR_NONE ? user_store_key_list(state->store, arena, fault, &keys) : e;
    }
    if (e == ERR_NONE) {
        e = secrets_load(state, &keys, arena, fault);
    }
    key_rows_wipe(&keys);
    return e;
}

static enum err secrets_open(struct user_state *state, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    const struct unit_of_work *unit = state->store->unit;
    enum err e = unit ? unit->begin(state->store->unit_store, true, fault) : ERR_NONE;
    if (e != ERR_NONE) {
        return e;
    }
    e = secrets_find(state, &arena, fault);
    if (unit && e == ERR_NONE) {
        return unit->commit(state->store->unit_store, fault);
    }
    if (unit) {
        unit->rollback(state->store->unit_store);
    }
    return e;
}

static enum err store_open(struct service_loop *loop, const struct user_settings *settings, struct user_state *state,
                           struct fault *fault)
{
    if (state->shared->store) {
        state->store = user_store_new_mongo(state->shared->store);
        return ERR_NONE;
    }
    return user_store_open_sqlite(&settings->store, service_loop_writes(loop), service_env(loop)->metrics, fault,
                                  &state->store);
}

enum err user_state_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    const struct user_settings *settings = config;
    struct user_state *state = mem_alloc(sizeof *state);
    state->log = service_env(loop)->log;
    state->shared = service_shared(loop);
    enum err e = settings_read(&settings->user, state, fault);
    if (e == ERR_NONE) {
        e = store_open(loop, settings, state, fault);
    }
    if (e == ERR_NONE) {
        state->outbox = outbox_new(state->store->outbox);
        e = service_loop_index(loop) == 0 ? secrets_open(state, fault) : ERR_NONE;
    }
    if (e != ERR_NONE) {
        state_destroy(state);
        return e;
    }
    *out = (struct loop_store){.state = state, .unit = state->store->unit, .store = state->store->unit_store};
    return ERR_NONE;
}

void user_state_close(struct service_loop *loop, void *state)
{
    (void)loop;
    state_destroy(state);
}
