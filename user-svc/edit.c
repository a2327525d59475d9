#include "user-svc/edit.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "user-svc/events.h"
#include "user-svc/guesses.h"

/* One edit on its way through the pool. Lives in the call's arena. */
struct edit {
    struct job job;
    const struct user_edit *in;
    struct account account; /* as it was when the edit began */
    struct text email_folded;
};

static enum err refuse_field(struct call *call, enum err code, const char *pointer, const char *item,
                             const char *message)
{
    fault_add(call_fault(call), pointer, item, -1, "%s", message);
    return fault_set(call_fault(call), code, NULL);
}

static enum err access_check(struct call *call, const struct user_edit *in)
{
    const struct call_meta *meta = call_meta(call);
    bool is_self = has(call_meta, meta, user_id) && text_equal(meta->user_id, in->id);
    enum err e = user_edit_access(in, is_self, call_is_admin(call));
    if (e == ERR_FORBIDDEN) {
        return refuse_field(call, e, has(user_edit, in, password) ? "/password" : "/email", "not_yours",
                            "only the account itself may change it");
    }
    return answer(call, e);
}

static void email_check(struct call *call, struct edit *edit, enum err *error)
{
    char *folded = arena_alloc(call_arena(call), EMAIL_FOLDED_SIZE);
    const char *problem = email_problem(edit->in->email);
    if (!problem && !email_fold(edit->in->email, folded)) {
        problem = "is too long";
    }
    edit->email_folded = text_of(folded);
    if (problem) {
        *error = refuse_field(call, ERR_INVALID_BODY, "/email", "malformed", problem);
    }
}

/* Everything that is wrong with the fields, at once. */
static enum err fields_check(struct call *call, struct edit *edit)
{
    const struct user_state *state = call_state(call);
    const struct user_edit *in = edit->in;
    char message[PASSWORD_MESSAGE_SIZE], pointer[40];
    enum err e = ERR_NONE;
    if (has(user_edit, in, email)) {
        email_check(call, edit, &e);
    }
    if (has(user_edit, in, password)) {
        struct text email = has(user_edit, in, email) ? in->email : edit->account.user.email;
        struct text name = has(user_edit, in, name) ? in->name : edit->account.user.name;
        const char *problem = password_problem(&state->password_policy, in->password, email, name, message);
        if (problem) {
            e = refuse_field(call, ERR_INVALID_BODY, "/password", "too_weak", problem);
        }
    }
    if (user_edit_needs_password(in) && !has(user_edit, in, old_password)) {
        e = refuse_field(call, ERR_INVALID_BODY, "/old_password", "required",
                         "is needed to change the password or the address");
    }
    int bad = user_edit_bad_country(in);
    if (bad >= 0) {
        snprintf(pointer, sizeof pointer, "/addresses/%d/country", bad);
        e = refuse_field(call, ERR_INVALID_BODY, pointer, "unknown", "is no ISO 3166-1 alpha-2 code in capitals");
    }
    return e;
}

/* A new password leaves only the session that asked for it. */
static struct denial others_denied(struct call *call, const struct account *account, int64_t now_ms)
{
    int64_t before_ms = denial_time_ms(now_ms, account->denied_until_ms);
    const struct call_meta *meta = call_meta(call);
    struct denial denial = {
        .user_id = account->user.id, .before = before_ms, .expires_at = denial_ends(call_state(call), before_ms)};
    set_has(denial, &denial, user_id);
    if (has(call_meta, meta, session_id)) {
        denial.except_session_id = meta->session_id;
        set_has(denial, &denial, except_session_id);
    }
    return denial;
}

/* Only a session that goes on may be the one that stays: else a stolen, ended one would come to life again. Whoever
 * ends it from here on changes the password first, and then this edit finds another hash. */
static enum err session_check(struct call *call, struct text user_id, int64_t now_ms)
{
    const struct user_state *state = call_state(call);
    const struct call_meta *meta = call_meta(call);
    bool good = true;
    if (!has(call_meta, meta, session_id)) {
        return ERR_NONE;
    }
    struct token_check check = {.session_id = meta->session_id,
                                .user_id = user_id,
                                .issued_at = has(call_meta, meta, token_at) ? meta->token_at : now_ms};
    enum err e = user_store_token_good(state->store, &check, call_fault(call), &good);
    return e == ERR_NONE && !good ? ERR_UNAUTHENTICATED : e;
}

/* Why the edit found another account than it began with. */
static enum err moved_on(struct call *call, bool if_match)
{
    return fault_set(call_fault(call), if_match ? ERR_PRECONDITION_FAILED : ERR_CONFLICT, NULL);
}

static enum err edit_apply(struct call *call, struct edit *edit, struct user *out)
{
    const struct user_state *state = call_state(call);
    struct text user_id = edit->account.user.id;
    bool if_match = has(call_meta, call_meta(call), if_match);
    bool verified = edit->job.verify, new_password = edit->job.hash;
    int64_t now_ms = clock_wall_ms();
    struct denial denial = others_denied(call, &edit->account, now_ms);
    struct event_new updated = user_event_make(call, EVENT_USER_UPDATED, user_id);
    struct event_new ended = session_ended_make(call, &denial, user_id);
    struct account now;
    enum err e = new_password ? session_check(call, user_id, now_ms) : ERR_NONE;
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    struct account_edit change = {
        .edit = edit->in,
        .email_folded = edit->email_folded,
        .password_hash = new_password ? text_of(edit->job.fresh_hash) : (struct text){0},
        .verified_hash = verified ? edit->account.password_hash : (struct text){0},
        .version = if_match ? edit->account.user.version : 0,
        .now_ms = now_ms,
        .request_id = {(const char *)call_request_id(call), ID_SIZE},
        .denial = new_password ? &denial : NULL,
        .updated = &updated,
        .ended = new_password ? &ended : NULL};
    e = user_store_account_edit(state->store, &change, call_arena(call), call_fault(call));
    bool conflict = e == ERR_CONFLICT;
    if (e == ERR_NONE || conflict) {
        e = user_store_account_get(state->store, user_id, call_arena(call), call_fault(call), &now);
    }
    if (e == ERR_NONE && conflict && !text_equal(now.changed_by, change.request_id)) {
        return moved_on(call, if_match); /* not by this same request, sent again while it was carried out elsewhere */
    }
    if (e == ERR_NONE) {
        *out = now.user;
    }
    return answer(call, e);
}

static enum err edit_verified(struct call *call, enum err status, const void *reply, void *argument, void *out)
{
    struct edit *edit = argument;
    (void)reply;
    if (status != ERR_NONE) {
        return answer(call, status);
    }
    enum err e = edit->job.outcome == ERR_BAD_CREDENTIALS ? guesses_failed(call, &edit->job)
                 : edit->job.outcome == ERR_NONE            ? guesses_forget(call, &edit->job)
                                                            : ERR_NONE;
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    if (edit->job.outcome == ERR_BAD_CREDENTIALS) {
        return refuse_field(call, ERR_FORBIDDEN, "/old_password", "wrong", "is not the account's password");
    }
    return edit->job.outcome == ERR_NONE ? edit_apply(call, edit, out) : job_failed(call, &edit->job);
}

static bool edit_is_empty(const struct user_edit *in)
{
    return !has(user_edit, in, name) && !has(user_edit, in, addresses) && !user_edit_needs_password(in);
}

enum err edit_begin(struct call *call, const struct user_edit *in, struct user *out)
{
    const struct user_state *state = call_state(call);
    const struct call_meta *meta = call_meta(call);
    struct edit *edit = arena_alloc(call_arena(call), sizeof *edit);
    edit->in = in;
    enum err e = access_check(call, in);
    if (e != ERR_NONE) {
        return e;
    }
    e = user_store_account_get(state->store, in->id, call_arena(call), call_fault(call), &edit->account);
    if (e != ERR_NONE) {
        return answer(call, e);
    }
    struct text request_id = {(const char *)call_request_id(call), ID_SIZE};
    if (text_equal(edit->account.changed_by, request_id)) {
        *out = edit->account.user; /* carried out before, but its answer was lost */
        return ERR_NONE;
    }
    e = fields_check(call, edit);
    if (e != ERR_NONE) {
        return e;
    }
    if (has(call_meta, meta, if_match) && !user_version_matches(meta->if_match, edit->account.user.version)) {
        return answer(call, ERR_PRECONDITION_FAILED);
    }
    if (edit_is_empty(in)) {
        *out = edit->account.user;
        return ERR_NONE;
    }
    if (!user_edit_needs_password(in)) {
        return edit_apply(call, edit, out);
    }
    edit->job.verify = true;
    edit->job.hash = has(user_edit, in, password);
    edit->job.password = in->old_password;
    edit->job.new_password = in->password;
    edit->job.limit_name = edit->account.email_folded;
    ASSERT(text_to_string(edit->account.password_hash, edit->job.known_hash, sizeof edit->job.known_hash));
    return job_start(call, &edit->job, edit_verified, edit);
}

/* ---- roles ---- */

static enum err role_apply(struct call *call, const struct account *account, enum role role)
{
    const struct user_state *state = call_state(call);
    int64_t now_ms = clock_wall_ms();
    int64_t before_ms = denial_time_ms(now_ms, account->denied_until_ms);
    struct text user_id = account->user.id;
    struct denial denial = {.user_id = user_id, .before = before_ms, .expires_at = denial_ends(state, before_ms)};
    set_has(denial, &denial, user_id);
    struct event_new changed = user_event_make(call, EVENT_USER_ROLE_CHANGED, user_id);
    struct event_new ended = session_ended_make(call, &denial, user_id);
    struct role_change change = {.id = user_id,
                                 .role = role,
                                 .now_ms = now_ms,
                                 .request_id = {(const char *)call_request_id(call), ID_SIZE},
                                 .denial = &denial,
                                 .changed = &changed,
                                 .ended = &ended};
    return user_store_account_set_role(state->store, &change, call_arena(call), call_fault(call));
}

enum err role_set(struct call *call, const struct user_role_set *in, struct user *out)
{
    const struct user_state *state = call_state(call);
    struct account account;
    if (!call_is_admin(call)) {
        return answer(call, ERR_FORBIDDEN);
    }
    const struct call_meta *meta = call_meta(call);
    enum err e = user_store_account_get(state->store, in->id, call_arena(call), call_fault(call), &account);
    if (e == ERR_NONE && account.user.role != in->role) {
        if (has(call_meta, meta, if_match) && !user_version_matches(meta->if_match, account.user.version)) {
            return answer(call, ERR_PRECONDITION_FAILED);
        }
        e = role_apply(call, &account, in->role);
        if (e == ERR_NONE) {
            e = user_store_account_get(state->store, in->id, call_arena(call), call_fault(call), &account);
        }
    }
    if (e == ERR_NONE) {
        *out = account.user;
    }
    return answer(call, e);
}
