/* One handler an operation of proto/ops/user.def. Longer ones continue on the loop after the pool has done its job. */
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/store/cursor.h"
#include "user-svc/edit.h"
#include "user-svc/events.h"
#include "user-svc/guesses.h"
#include "user-svc/key_turn.h"
#include "user-svc/refresh.h"

#define BIND_OPS "proto/ops/user.def"
#include "lib/bus/bind_ops.h"

enum { PAGE_DEFAULT = 20 };

/* ---- register ---- */

struct registration {
    struct sign_in sign_in; /* first: the continuations get a struct sign_in */
    struct new_account_roles roles;
};

static enum err registration_check(struct call *call, const struct user_register *in, char folded[EMAIL_FOLDED_SIZE])
{
    const struct user_state *state = call_state(call);
    char message[PASSWORD_MESSAGE_SIZE];
    const char *email = email_problem(in->email);
    if (!email && !email_fold(in->email, folded)) {
        email = "is too long";
    }
    const char *password = password_problem(&state->password_policy, in->password, in->email, in->name, message);
    if (email) {
        fault_add(call_fault(call), "/email", "malformed", -1, "%s", email);
    }
    if (password) {
        fault_add(call_fault(call), "/password", "too_weak", -1, "%s", password);
    }
    return email || password ? fault_set(call_fault(call), ERR_INVALID_BODY, NULL) : ERR_NONE;
}

static enum err signed_in(struct call *call, enum err status, const void *reply, void *argument, void *out);

/* The request was carried out before, but its answer was lost: the same account, if the password is its own. */
static enum err register_again(struct call *call, struct text password, struct sign_in *sign_in)
{
    struct job *job = &sign_in->job;
    job->verify = true;
    job->hash = false;
    job->password = password;
    job->limit_name = sign_in->account.email_folded;
    job->roles[0] = sign_in->account.user.role;
    job->token_count = 1;
    ASSERT(text_to_string(sign_in->account.password_hash, job->known_hash, sizeof job->known_hash));
    session_claims(call, sign_in);
    return job_start(call, job, signed_in, sign_in);
}

/* The same request, sent again while it was carried out elsewhere, has come first. */
static enum err register_second(struct call *call, struct sign_in *sign_in)
{
    const struct user_state *state = call_state(call);
    enum err e = user_store_account_get(state->store, sign_in->account.user.id, call_arena(call), call_fault(call),
                                        &sign_in->account);
    return e == ERR_NONE ? register_again(call, sign_in->job.new_password, sign_in) : answer(call, e);
}

static enum err registered(struct call *call, enum err status, const void *reply, void *argument, void *out)
{
    const struct user_state *state = call_state(call);
    struct registration *registration = argument;
    struct sign_in *sign_in = &registration->sign_in;
    (void)reply;
    if (status != ERR_NONE) {
        return answer(call, status);
    }
    if (sign_in->job.outcome != ERR_NONE) {
        return job_failed(call, &sign_in->job);
    }
    struct event_new created = user_event_make(call, EVENT_USER_CREATED, sign_in->account.user.id);
    struct account_new new = {
        .account = sign_in->account, .first_role = registration->roles.first, .created = &created};
    new.account.password_hash = text_of(sign_in->job.fresh_hash);
    new.account.user.role = registration->roles.later;
    enum role role;
    enum err e = user_store_account_insert(state->store, &new, call_arena(call), call_fault(call), &role);
    if (e != ERR_NONE) {
        return e == ERR_CONFLICT ? register_second(call, sign_in) : answer(call, e);
    }
    sign_in->account.user.role = role;
    for (int i = 0; i < sign_in->job.token_count; i++) {
        if (sign_in->job.roles[i] == role) {
            if (role == ROLE_ADMIN) {
                log_info(state->log, "user.administrator", KV_TEXT("user", sign_in->account.user.id),
                         KV("why", state->admin_email[0] ? "--admin-email" : "the shop's first account"));
            }
            return session_begin(call, sign_in, i, out);
        }
    }
    return fault_set(call_fault(call), ERR_INTERNAL, NULL);
}

static void account_prepare(struct call *call, const struct user_register *in, const char *folded, struct account *out)
{
    int64_t now_ms = clock_wall_ms();
    char id[IDENT_SIZE];
    ident_make("usr", call_request_id(call), 0, id);
    *out = (struct account){
        .user = {.id = text_of(arena_copy(call_arena(call), id, strlen(id))),
                 .email = in->email,
                 .name = in->name,
                 .created_at = now_ms,
                 .updated_at = now_ms,
                 .version = 1},
        .email_folded = text_of(arena_copy(call_arena(call), folded, strlen(folded))),
        .changed_by = {(const char *)call_request_id(call), ID_SIZE}};
}

static enum err user_register(struct call *call, const struct user_register *in, struct user_session *out)
{
    const struct user_state *state = call_state(call);
    struct fault *fault = call_fault(call);
    struct registration *registration = arena_alloc(call_arena(call), sizeof *registration);
    struct sign_in *sign_in = &registration->sign_in;
    struct account found;
    char folded[EMAIL_FOLDED_SIZE];
    bool founded = false;
    (void)out;
    enum err e = registration_check(call, in, folded);
    if (e != ERR_NONE) {
        return e;
    }
    account_prepare(call, in, folded, &sign_in->account);
    session_id_make(call_request_id(call), sign_in->session_id);
    e = user_store_account_get(state->store, sign_in->account.user.id, call_arena(call), fault, &found);
    if (e == ERR_NONE) {
        sign_in->account = found;
        return register_again(call, in->password, sign_in);
    }
    if (e == ERR_NOT_FOUND) {
        e = user_store_account_find(state->store, sign_in->account.email_folded, call_arena(call), fault, &found);
        e = e == ERR_NONE ? ERR_EMAIL_TAKEN : e;
    }
    if (e == ERR_NOT_FOUND) {
        e = user_store_shop_is_founded(state->store, fault, &founded);
    }
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    struct job *job = &sign_in->job;
    registration->roles = new_account_roles(sign_in->account.email_folded, text_of(state->admin_email));
    job->hash = true;
    job->new_password = in->password;
    job->roles[job->token_count++] = registration->roles.later;
    if (!founded && registration->roles.first != registration->roles.later) {
        job->roles[job->token_count++] = registration->roles.first; /* which it is shows when the account is stored */
    }
    session_claims(call, sign_in);
    return job_start(call, job, registered, registration);
}

/* ---- login ---- */

static enum err login_start(struct call *call, struct sign_in *sign_in);

static enum err signed_in(struct call *call, enum err status, const void *reply, void *argument, void *out)
{
    const struct user_state *state = call_state(call);
    struct sign_in *sign_in = argument;
    struct job *job = &sign_in->job;
    struct account now;
    (void)reply;
    if (status != ERR_NONE) {
        return answer(call, status);
    }
    enum err e = job->outcome == ERR_BAD_CREDENTIALS ? guesses_failed(call, job) : ERR_NONE;
    if (e != ERR_NONE || job->outcome != ERR_NONE) {
        return e != ERR_NONE ? answer(call, e) : job_failed(call, job);
    }
    e = guesses_forget(call, job);
    e = e != ERR_NONE
            ? e
            : user_store_account_get(state->store, sign_in->account.user.id, call_arena(call), call_fault(call), &now);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    if (!text_equal(now.password_hash, sign_in->account.password_hash) || now.user.role != sign_in->account.user.role) {
        sign_in->account = now; /* changed while the pool worked: what was verified or signed is no longer true */
        return login_start(call, sign_in);
    }
    sign_in->account = now;
    if (job->fresh_hash[0]) {
        struct hash_change change = {now.user.id, now.password_hash, text_of(job->fresh_hash)};
        e = user_store_account_rehash(state->store, &change, call_fault(call));
    }
    return e == ERR_NONE ? session_begin(call, sign_in, 0, out) : answer(call, e);
}

static enum err login_start(struct call *call, struct sign_in *sign_in)
{
    struct job *job = &sign_in->job;
    if (sign_in->account.user.id.size > 0) {
        ASSERT(text_to_string(sign_in->account.password_hash, job->known_hash, sizeof job->known_hash));
        job->roles[0] = sign_in->account.user.role;
        job->token_count = 1;
        session_claims(call, sign_in);
    }
    return job_start(call, job, signed_in, sign_in);
}

static enum err user_login(struct call *call, const struct user_login *in, struct user_session *out)
{
    const struct user_state *state = call_state(call);
    struct sign_in *sign_in = arena_alloc(call_arena(call), sizeof *sign_in);
    char *folded = arena_alloc(call_arena(call), EMAIL_FOLDED_SIZE);
    enum err e = ERR_NOT_FOUND;
    (void)out;
    if (email_fold(in->email, folded)) {
        e = user_store_account_find(state->store, text_of(folded), call_arena(call), call_fault(call),
                                    &sign_in->account);
    }
    if (e != ERR_NONE && e != ERR_NOT_FOUND) {
        return answer(call, e);
    }
    sign_in->job.verify = true;
    sign_in->job.password = in->password;
    sign_in->job.limit_name = text_of(folded);
    session_id_make(call_request_id(call), sign_in->session_id);
    return login_start(call, sign_in);
}

/* ---- accounts ---- */

static enum err user_get(struct call *call, const struct user_ref *in, struct user *out)
{
    const struct user_state *state = call_state(call);
    struct account account;
    if (!call_may_act_for(call, in->id)) {
        return answer(call, ERR_NOT_FOUND);
    }
    enum err e = user_store_account_get(state->store, in->id, call_arena(call), call_fault(call), &account);
    if (e == ERR_NONE) {
        *out = account.user;
    }
    return answer(call, e);
}

static enum err user_contact(struct call *call, const struct user_ref *in, struct user_contact *out)
{
    const struct user_state *state = call_state(call);
    struct account account;
    enum err e = user_store_account_get(state->store, in->id, call_arena(call), call_fault(call), &account);
    if (e == ERR_NONE) {
        out->email = account.user.email;
        out->name = account.user.name;
    }
    return answer(call, e);
}

static enum err page_read(struct call *call, const struct user_query *in, struct user_query *query,
                          struct account_page *out)
{
    struct cursor_key keys[2];
    *query = *in;
    query->limit = has(user_query, in, limit) ? in->limit : PAGE_DEFAULT;
    *out = (struct account_page){.query = query};
    if (has(user_query, in, email)) {
        char *folded = arena_alloc(call_arena(call), EMAIL_FOLDED_SIZE);
        if (!email_fold(in->email, folded)) {
            fault_add(call_fault(call), "/email", "malformed", -1, "is no e-mail address");
            return fault_set(call_fault(call), ERR_INVALID_PARAMETER, NULL);
        }
        out->email_folded = text_of(folded);
    }
    if (!has(user_query, in, cursor)) {
        return ERR_NONE;
    }
    enum err e = cursor_read(&user_query_record, in, in->cursor, "it", call_arena(call), call_fault(call), keys);
    if (e == ERR_NONE) {
        out->created_at = keys[0].number;
        out->id = keys[1].text;
    }
    return e;
}

static enum err user_list(struct call *call, const struct user_query *in, struct user_list *out)
{
    const struct user_state *state = call_state(call);
    struct user_query query;
    struct account_page page;
    struct user_rows rows;
    if (!call_is_admin(call)) {
        return answer(call, ERR_FORBIDDEN);
    }
    enum err e = page_read(call, in, &query, &page);
    if (e == ERR_NONE) {
        e = user_store_account_list(state->store, &page, call_arena(call), call_fault(call), &rows);
    }
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    out->data.items = rows.items;
    out->data.count = records_fit(&user_record, rows.items, rows.count);
    out->has_more = rows.more || out->data.count < rows.count;
    if (out->has_more) {
        const struct user *last = &rows.items[out->data.count - 1];
        struct cursor_key keys[] = {{.number = last->created_at}, {.is_text = true, .text = last->id}};
        out->next_cursor = cursor_make(&user_query_record, in, keys, (int)ARRAY_COUNT(keys), call_arena(call));
        set_has(user_list, out, next_cursor);
    }
    return ERR_NONE;
}

static enum err user_update(struct call *call, const struct user_edit *in, struct user *out)
{
    return edit_begin(call, in, out);
}

static enum err user_set_role(struct call *call, const struct user_role_set *in, struct user *out)
{
    return role_set(call, in, out);
}

/* ---- refresh and logout ---- */

static enum err user_refresh(struct call *call, const struct user_refresh *in, struct user_session *out)
{
    return refresh_begin(call, in, out);
}

static enum err user_logout(struct call *call, const struct nothing *in, struct nothing *out)
{
    const struct call_meta *meta = call_meta(call);
    (void)in;
    (void)out;
    if (!has(call_meta, meta, session_id) || !has(call_meta, meta, user_id)) {
        return answer(call, ERR_UNAUTHENTICATED);
    }
    return session_finish(call, meta->session_id, meta->user_id);
}

/* ---- tickets ---- */

static enum err user_ticket(struct call *call, const struct nothing *in, struct ws_ticket *out)
{
    const struct user_state *state = call_state(call);
    const struct call_meta *meta = call_meta(call);
    char *text = arena_alloc(call_arena(call), OPAQUE_SIZE);
    uint8_t hash[OPAQUE_HASH_SIZE];
    bool good = false, fresh = false;
    (void)in;
    if (!has(call_meta, meta, session_id) || !has(call_meta, meta, user_id) || !has(call_meta, meta, role)) {
        return answer(call, ERR_UNAUTHENTICATED);
    }
    int64_t now_ms = clock_wall_ms();
    struct identity identity = {.user_id = meta->user_id,
                                .role = meta->role,
                                .session_id = meta->session_id,
                                .issued_at = has(call_meta, meta, token_at) ? meta->token_at : now_ms};
    struct token_check check = {
        .session_id = identity.session_id, .user_id = identity.user_id, .issued_at = identity.issued_at};
    enum err e = user_store_token_good(state->store, &check, call_fault(call), &good);
    if (e != ERR_NONE || !good) {
        return answer(call, e == ERR_NONE ? ERR_UNAUTHENTICATED : e);
    }
    ticket_make(state->shared->secret, call_request_id(call), meta->session_id, text);
    opaque_hash(text_of(text), hash);
    struct ticket ticket = {.hash = {(const char *)hash, sizeof hash},
                            .identity = identity,
                            .expires_ms = now_ms + state->config->ticket_ttl_s * 1000};
    e = user_store_ticket_add(state->store, &ticket, call_fault(call), &fresh);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    if (!fresh) {
        call_mark_replayed(call);
    }
    out->ticket = text_of(text);
    out->expires_in = state->config->ticket_ttl_s;
    return ERR_NONE;
}

static enum err user_redeem(struct call *call, const struct ticket_ref *in, struct identity *out)
{
    const struct user_state *state = call_state(call);
    uint8_t hash[OPAQUE_HASH_SIZE];
    opaque_hash(in->ticket, hash);
    struct ticket_use use = {.hash = {(const char *)hash, sizeof hash},
                             .request_id = {(const char *)call_request_id(call), ID_SIZE},
                             .now_ms = clock_wall_ms()};
    enum err e = user_store_ticket_spend(state->store, &use, call_arena(call), call_fault(call), out);
    return answer(call, e == ERR_NOT_FOUND ? ERR_UNAUTHENTICATED : e);
}

/* ---- what gateways ask ---- */

static enum err user_keys(struct call *call, const struct nothing *in, struct signing_keys *out)
{
    (void)in;
    return key_turn_show(call, out);
}

static enum err user_rotate_key(struct call *call, const struct nothing *in, struct key_rotated *out)
{
    (void)in;
    return key_turn_ask(call, out);
}

static enum err user_distrust_keys(struct call *call, const struct nothing *in, struct key_rotated *out)
{
    (void)in;
    return key_turn_distrust(call, out);
}

static enum err user_denials(struct call *call, const struct nothing *in, struct denial_list *out)
{
    const struct user_state *state = call_state(call);
    (void)in;
    return answer(call,
                  user_store_denial_list(state->store, clock_wall_ms(), call_arena(call), call_fault(call), out));
}

static enum err user_check(struct call *call, const struct token_check *in, struct token_verdict *out)
{
    const struct user_state *state = call_state(call);
    return answer(call, user_store_token_good(state->store, in, call_fault(call), &out->good));
}

/* ---- the service ---- */

enum { SWEEP_EVERY_MS = 60 * 1000, OUTBOX_EVERY_MS = 1000, TIMER_BUDGET_MS = 5000, SWEEP_ROW_COUNT = 5000 };

static enum err sweep(struct call *call, void *argument)
{
    enum {
        ENDED_KEPT_MS = 24 * 3600 * 1000
    }; /* so that a late repeat still finds that the session has ended, or its answer */
    const struct user_state *state = call_state(call);
    int64_t now_ms = clock_wall_ms();
    struct user_sweep bounds = {.now_ms = now_ms,
                                .sessions_before_ms = now_ms - state->session_policy.idle_ms - ENDED_KEPT_MS,
                                .ended_before_ms = now_ms - ENDED_KEPT_MS,
                                .attempts_before_ms =
                                    now_ms - ATTEMPT_FORGET_MS - state->config->login_delay_max_s * 1000,
                                .answers_before_ms = now_ms - 2 * ENDED_KEPT_MS,
                                .row_count = SWEEP_ROW_COUNT};
    (void)argument;
    return answer(call, user_store_sweep(state->store, &bounds, call_fault(call)));
}

static enum err outbox_look(struct call *call, void *argument)
{
    const struct user_state *state = call_state(call);
    (void)argument;
    outbox_sweep(call_loop(call), state->outbox);
    return ERR_NONE;
}

static void committed(struct service_loop *loop, void *state)
{
    outbox_relay(loop, ((struct user_state *)state)->outbox);
}

static const struct service_timer timers[] = {{"outbox", OUTBOX_EVERY_MS, TIMER_BUDGET_MS, outbox_look},
                                              {"keys", KEY_TURN_EVERY_MS, TIMER_BUDGET_MS, key_turn_look},
                                              {"sweep", SWEEP_EVERY_MS, TIMER_BUDGET_MS, sweep}};

const struct service user_service = {.name = "user",
                                     .handlers = bound_ops,
                                     .handler_count = ARRAY_COUNT(bound_ops),
                                     .timers = timers,
                                     .timer_count = ARRAY_COUNT(timers),
                                     .default_loops = 2,
                                     .prepare = user_shared_prepare,
                                     .forget = user_shared_forget,
                                     .open = user_state_open,
                                     .close = user_state_close,
                                     .committed = committed};
