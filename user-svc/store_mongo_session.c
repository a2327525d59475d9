/* Sessions and denials on MongoDB: collection sessions, and what the account says. A session is over when it has ended
 * itself, or when its account's generation has passed it by; so a new password ends any number of them in one write. */
#include "user-svc/store_mongo.h"

#include "lib/base/invariant.h"

static const char sessions[] = "sessions";

/* A session with what its account says of it. An account that nobody has heard of says nothing. */
struct standing {
    struct session session;
    struct account account;
    bool known;
};

static enum err session_read(const bson_t *document, struct arena *arena, struct fault *fault, struct session *out)
{
    struct session session = {0};
    if (!bson_get_text(document, "_id", arena, &session.id) ||
        !bson_get_text(document, "user_id", arena, &session.user_id) ||
        !bson_get_bytes(document, "refresh_hash", arena, &session.refresh_hash) ||
        !bson_get_int(document, "generation", &session.generation) ||
        !bson_get_int(document, "created_at", &session.created_ms) ||
        !bson_get_int(document, "used_at", &session.used_ms) ||
        !bson_get_int(document, "ended_at", &session.ended_ms)) {
        fault_cause(fault, "a session's document is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = session;
    return ERR_NONE;
}

/* NOT_FOUND: there is no such session. */
static enum err standing_load(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                              struct standing *out)
{
    bson_t document;
    int64_t role_change;
    bool found = false;
    enum err e = user_document(self, sessions, id, arena, fault, &document, &found);
    if (e != ERR_NONE || !found) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    e = session_read(&document, arena, fault, &out->session);
    if (e == ERR_NONE) {
        e = user_account_load(self, out->session.user_id, arena, fault, &out->account, &role_change, &out->known);
    }
    return e;
}

static bool left_behind(const struct standing *standing)
{
    return standing->known && !account_keeps(&standing->account, &standing->session);
}

enum err mongo_session_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                           struct session *out)
{
    struct standing standing = {0};
    enum err e = standing_load(self, id, arena, fault, &standing);
    if (e != ERR_NONE) {
        return e;
    }
    if (standing.session.ended_ms == 0 && left_behind(&standing)) {
        standing.session.ended_ms = standing.account.denied_until_ms > 0 ? standing.account.denied_until_ms : 1;
    }
    *out = standing.session;
    return ERR_NONE;
}

/* The stored session is this one, still as it began? */
static enum err session_is_same(struct user_store *self, const struct session *in, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct session stored = {0};
    bson_t document;
    bool found = false;
    enum err e = user_document(self, sessions, in->id, &arena, fault, &document, &found);
    if (e == ERR_NONE && found) {
        e = session_read(&document, &arena, fault, &stored);
    }
    if (e != ERR_NONE) {
        return e;
    }
    bool same = found && text_equal(stored.user_id, in->user_id) && text_equal(stored.refresh_hash, in->refresh_hash) &&
                stored.ended_ms == 0;
    return same ? ERR_NONE : ERR_CONFLICT;
}

enum err mongo_session_insert(struct user_store *self, const struct session *in, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", in->id);
    bson_put_text(&document, "user_id", in->user_id);
    bson_put_int(&document, "generation", in->generation);
    bson_put_bytes(&document, "refresh_hash", in->refresh_hash);
    bson_put_int(&document, "created_at", in->created_ms);
    bson_put_int(&document, "used_at", in->used_ms);
    bson_put_int(&document, "ended_at", 0);
    bson_put_int(&document, "denial_ends", 0);
    enum err e = mongo_insert(user_mongo(self), sessions, &document, fault);
    return e == ERR_CONFLICT ? session_is_same(self, in, fault) : e;
}

/* The hash moves first and the account is asked afterwards: so the answer is no for whatever was over by then, and a
 * new password that comes later finds its generation passed by anyway. */
enum err mongo_session_rotate(struct user_store *self, const struct session_move *in, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct standing standing = {0};
    bson_t part;
    bool moved = false;
    bson_put_text(&filter, "_id", in->id);
    bson_put_bytes(&filter, "refresh_hash", in->from_hash);
    bson_put_int(&filter, "ended_at", 0);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part));
    bson_put_bytes(&part, "refresh_hash", in->to_hash);
    ASSERT(bson_append_document_end(&update, &part));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$max", &part));
    bson_put_int(&part, "used_at", in->now_ms);
    ASSERT(bson_append_document_end(&update, &part));
    enum err e = mongo_update(user_mongo(self), sessions, &filter, &update, fault, &moved);
    if (e != ERR_NONE || !moved) {
        return e == ERR_NONE ? ERR_CONFLICT : e;
    }
    e = standing_load(self, in->id, &arena, fault, &standing);
    if (e != ERR_NONE) {
        return e == ERR_NOT_FOUND ? ERR_CONFLICT : e;
    }
    return standing.session.ended_ms != 0 || left_behind(&standing) ? ERR_CONFLICT : ERR_NONE;
}

enum err mongo_session_end(struct user_store *self, const struct session_end *in, struct arena *arena,
                           struct fault *fault, bool *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    (void)arena;
    bson_put_text(&filter, "_id", in->id);
    bson_put_int(&filter, "ended_at", 0);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "ended_at", in->now_ms);
    bson_put_int(&set, "denial_ends", in->denial_ends_ms);
    ASSERT(bson_append_document_end(&update, &set));
    user_events_push(&update, in->ended, NULL);
    if (in->ended) {
        outbox_mongo_wrote(self->outbox, sessions, in->id);
    }
    return mongo_update(user_mongo(self), sessions, &filter, &update, fault, out);
}

enum err mongo_token_good(struct user_store *self, const struct token_check *in, struct fault *fault, bool *out)
{
    AUTO(arena_release) struct arena arena = {0};
    struct standing standing = {0};
    enum err e = standing_load(self, in->session_id, &arena, fault, &standing);
    if (e != ERR_NONE && e != ERR_NOT_FOUND) {
        return e;
    }
    *out = e == ERR_NONE && text_equal(standing.session.user_id, in->user_id) && standing.session.ended_ms == 0 &&
           !left_behind(&standing) &&
           !(standing.known && account_denies(&standing.account, in->session_id, in->issued_at));
    return ERR_NONE;
}

/* ---- denials ---- */

/* A denial with what the list is sorted by. */
struct listed {
    struct denial denials[2];
    uint32_t count;
    int64_t ends_ms, before_ms;
};

static enum err listed_account(const bson_t *document, struct arena *arena, struct fault *fault, struct listed *out)
{
    struct account account = {0};
    if (!bson_get_text(document, "_id", arena, &account.user.id) ||
        !bson_get_text(document, "kept_session", arena, &account.kept_session) ||
        !bson_get_int(document, "denied_until", &account.denied_until_ms) ||
        !bson_get_int(document, "denied_all", &account.denied_all_ms) ||
        !bson_get_int(document, "denial_ends", &out->ends_ms)) {
        fault_cause(fault, "an account's document is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    out->before_ms = account.denied_until_ms;
    out->count = account_denials(&account, out->ends_ms, out->denials);
    return ERR_NONE;
}

static enum err listed_session(const bson_t *document, struct arena *arena, struct fault *fault, struct listed *out)
{
    struct denial *denial = &out->denials[0];
    *denial = (struct denial){0};
    if (!bson_get_text(document, "_id", arena, &denial->session_id) ||
        !bson_get_int(document, "ended_at", &denial->before) ||
        !bson_get_int(document, "denial_ends", &denial->expires_at)) {
        fault_cause(fault, "a session's document is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    set_has(denial, denial, session_id);
    out->count = 1;
    out->ends_ms = denial->expires_at;
    out->before_ms = denial->before;
    return ERR_NONE;
}

typedef enum err listed_read(const bson_t *document, struct arena *arena, struct fault *fault, struct listed *out);

/* Those of one collection that have not expired, newest first; out has room for DENIAL_MAX. */
static enum err listed_find(struct user_store *self, const char *collection, listed_read *read, int64_t now_ms,
                            struct arena *arena, struct fault *fault, struct listed *out, uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    mongo_put_compare(&filter, "denial_ends", "$gt", now_ms > 0 ? now_ms : 0);
    bson_put_int(&sort, "denial_ends", -1);
    const struct mongo_query query = {.collection = collection, .filter = &filter, .sort = &sort, .limit = DENIAL_MAX};
    mongo_find(user_mongo(self), &query, &rows);
    for (*out_count = 0; bad == ERR_NONE && *out_count < DENIAL_MAX && mongo_next(&rows, &document);) {
        bad = read(document, arena, fault, &out[*out_count]);
        *out_count += bad == ERR_NONE;
    }
    if (bad != ERR_NONE) {
        (void)!mongo_rows_end(&rows, NULL);
        return bad;
    }
    return mongo_rows_end(&rows, fault);
}

static bool is_newer(const struct listed *a, const struct listed *b)
{
    return a->ends_ms != b->ends_ms ? a->ends_ms > b->ends_ms : a->before_ms > b->before_ms;
}

enum err mongo_denial_list(struct user_store *self, int64_t now_ms, struct arena *arena, struct fault *fault,
                           struct denial_list *out)
{
    struct listed *of_users = arena_alloc(arena, DENIAL_MAX * sizeof *of_users);
    struct listed *of_sessions = arena_alloc(arena, DENIAL_MAX * sizeof *of_sessions);
    uint32_t user_count = 0, session_count = 0, u = 0, s = 0;
    struct denial_list list = {0};
    enum err e = listed_find(self, "users", listed_account, now_ms, arena, fault, of_users, &user_count);
    if (e == ERR_NONE) {
        e = listed_find(self, sessions, listed_session, now_ms, arena, fault, of_sessions, &session_count);
    }
    if (e != ERR_NONE) {
        return e;
    }
    list.denials.items = arena_alloc(arena, DENIAL_MAX * sizeof *list.denials.items);
    while (u < user_count || s < session_count) {
        bool from_users = s == session_count || (u < user_count && is_newer(&of_users[u], &of_sessions[s]));
        const struct listed *next = from_users ? &of_users[u++] : &of_sessions[s++];
        for (uint32_t i = 0; i < next->count && list.denials.count < DENIAL_MAX; i++) {
            list.denials.items[list.denials.count++] = next->denials[i];
        }
    }
    *out = list;
    return ERR_NONE;
}
