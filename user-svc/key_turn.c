#include "user-svc/key_turn.h"

#include "lib/base/clock.h"
#include "user-svc/events.h"
#include "user-svc/session.h"

enum err key_turn_show(struct call *call, struct signing_keys *out)
{
    const struct user_state *state = call_state(call);
    struct key_rows rows;
    enum err e = user_store_key_list(state->store, call_arena(call), call_fault(call), &rows);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    out->keys.items = arena_alloc(call_arena(call), rows.count * sizeof *out->keys.items);
    out->keys.count = rows.count;
    for (uint32_t i = 0; i < rows.count; i++) {
        out->keys.items[i] = rows.items[i].shown;
    }
    key_rows_wipe(&rows);
    out->issuer = text_of(state->config->issuer);
    return ERR_NONE;
}

/* Makes the successor of the newest key. Several processes may do so at once: the store keeps the first one's. */
static enum err successor_make(struct call *call, const struct key_rows *rows, const char *why)
{
    const struct user_state *state = call_state(call);
    struct key_row row;
    enum err e = keyring_make(rows->items[0].generation + 1, clock_wall_ms(), call_arena(call), call_fault(call), &row);
    if (e != ERR_NONE) {
        return e;
    }
    e = user_store_key_add(state->store, &row, call_fault(call));
    secret_wipe(row.private_pem);
    if (e == ERR_NONE) {
        metric_add(state->shared->keys_made, 1);
        log_info(state->log, "user.key_made", KV_TEXT("kid", row.shown.kid), KV_INT("generation", row.generation),
                 KV("why", why));
    }
    return e;
}

/* Index of the key that signs, of rows that are not empty. */
static int signing_of(const struct key_policy *policy, const struct key_rows *rows, int64_t now_ms)
{
    int64_t created_ms[SIGNING_KEYS_MAX];
    for (uint32_t i = 0; i < rows->count; i++) {
        created_ms[i] = rows->items[i].created_ms;
    }
    return key_that_signs(policy, created_ms, (int)rows->count, now_ms);
}

/* The store's keys; INTERNAL if it has none. The caller wipes them. */
static enum err rows_read(struct call *call, struct key_rows *out)
{
    const struct user_state *state = call_state(call);
    enum err e = user_store_key_list(state->store, call_arena(call), call_fault(call), out);
    if (e == ERR_NONE && out->count == 0) {
        return fault_set(call_fault(call), ERR_INTERNAL, "there is no signing key in the store");
    }
    return e;
}

static enum err rotate(struct call *call, struct key_rows *rows)
{
    const struct key_policy *policy = &((const struct user_state *)call_state(call))->shared->key_policy;
    bool waiting = signing_of(policy, rows, clock_wall_ms()) > 0;
    if (waiting) {
        return ERR_NONE;
    }
    if (rows->count == SIGNING_KEYS_MAX) {
        return fault_set(call_fault(call), ERR_CONFLICT, "tokens of %d keys may still be good; more would be too many",
                         (int)SIGNING_KEYS_MAX);
    }
    enum err e = successor_make(call, rows, "asked for");
    if (e == ERR_NONE) {
        key_rows_wipe(rows);
        e = rows_read(call, rows);
    }
    return e;
}

/* All keys up to now are out: a new one is the only one, and so signs at once. Of two who ask at once the store keeps
 * one key. */
static enum err distrust(struct call *call, struct key_rows *rows)
{
    const struct user_state *state = call_state(call);
    int64_t now_ms = clock_wall_ms();
    struct text user_id = call_meta(call)->user_id;
    struct denial everybody = {.before = now_ms, .expires_at = denial_ends(state, now_ms)};
    struct event_new ended = session_ended_make(call, &everybody, user_id);
    enum err e = successor_make(call, rows, "the others are not trusted any more");
    if (e != ERR_NONE) {
        return e;
    }
    key_rows_wipe(rows);
    e = rows_read(call, rows);
    if (e != ERR_NONE) {
        return e;
    }
    struct key_distrust change = {.below_generation = rows->items[0].generation, .user_id = user_id, .ended = &ended};
    e = user_store_key_distrust(state->store, &change, call_arena(call), call_fault(call));
    if (e == ERR_NONE) {
        log_warn(state->log, "user.keys_distrusted", KV_TEXT("user", user_id), KV_TEXT("kid", rows->items[0].shown.kid),
                 KV_INT("count", (int64_t)rows->count - 1));
        struct key_rows newest = {.items = rows->items, .count = 1};
        e = keyring_take(state->shared->keyring, &newest, now_ms, call_fault(call));
    }
    return e;
}

static struct text request_id_of(const struct call *call)
{
    return (struct text){(const char *)call_request_id(call), ID_SIZE};
}

/* The answer that this request has had; NOT_FOUND if it is new. */
static enum err answered(struct call *call, struct key_rotated *out)
{
    const struct user_state *state = call_state(call);
    struct text body;
    enum err e = user_store_answer_get(state->store, request_id_of(call), call_arena(call), call_fault(call), &body);
    if (e == ERR_NONE) {
        e = record_unpack(&key_rotated_record, body, call_arena(call), call_fault(call), out);
        call_mark_replayed(call);
    }
    return e;
}

/* Answers with what is kept: by this request, or by the same one that was quicker. */
static enum err answer_keep(struct call *call, struct key_rotated *out)
{
    const struct user_state *state = call_state(call);
    struct kept_answer kept = {.request_id = request_id_of(call),
                               .body = record_pack_in(&key_rotated_record, out, call_arena(call)),
                               .now_ms = clock_wall_ms()};
    bool fresh = false;
    enum err e = user_store_answer_add(state->store, &kept, call_fault(call), &fresh);
    return e == ERR_NONE && !fresh ? answered(call, out) : e;
}

static enum err turn(struct call *call, bool distrusts, struct key_rotated *out)
{
    const struct user_state *state = call_state(call);
    struct key_rows rows = {0};
    enum err e = rows_read(call, &rows);
    if (e == ERR_NONE) {
        e = distrusts ? distrust(call, &rows) : rotate(call, &rows);
    }
    if (e == ERR_NONE) {
        out->kid = rows.items[0].shown.kid;
        out->signs_at = rows.items[0].created_ms + (distrusts ? 0 : state->shared->key_policy.lead_ms);
        e = answer_keep(call, out);
    }
    key_rows_wipe(&rows);
    return e;
}

static enum err ask(struct call *call, bool distrusts, struct key_rotated *out)
{
    if (!call_is_admin(call) || !has(call_meta, call_meta(call), user_id)) {
        return answer(call, ERR_FORBIDDEN);
    }
    enum err e = answered(call, out);
    return answer(call, e == ERR_NOT_FOUND ? turn(call, distrusts, out) : e);
}

enum err key_turn_ask(struct call *call, struct key_rotated *out)
{
    return ask(call, false, out);
}

enum err key_turn_distrust(struct call *call, struct key_rotated *out)
{
    return ask(call, true, out);
}

static enum err look(struct call *call, struct key_rows *rows)
{
    const struct user_state *state = call_state(call);
    const struct key_policy *policy = &state->shared->key_policy;
    int64_t now_ms = clock_wall_ms();
    enum err e = keyring_take(state->shared->keyring, rows, now_ms, call_fault(call));
    if (e != ERR_NONE) {
        return e;
    }
    int signing = signing_of(policy, rows, now_ms);
    const struct key_row *signs = &rows->items[signing];
    if (signing + 1 < (int)rows->count && key_elders_are_over(policy, signs->created_ms, now_ms)) {
        return user_store_key_drop(state->store, signs->generation, call_fault(call));
    }
    if (signing == 0 && key_is_due(policy, signs->created_ms, now_ms)) {
        return successor_make(call, rows, "its predecessor is old");
    }
    return ERR_NONE;
}

enum err key_turn_look(struct call *call, void *argument)
{
    struct key_rows rows = {0};
    (void)argument;
    enum err e = rows_read(call, &rows);
    if (e == ERR_NONE) {
        e = look(call, &rows);
    }
    key_rows_wipe(&rows);
    return answer(call, e);
}
