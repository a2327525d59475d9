/* Who is an administrator, on MongoDB: collection user_register, one document.
 *
 *     {_id: "roles", version: w, admins: [ids], change: {the change of role that version w decided} or absent}
 *
 * Changes of role are decided one after the other by the compare-and-set of this one document on its version, which
 * refuses the last administrator's, and stores the whole change as an intent. The account follows: whoever meets an intent (its author,
 * the next change, the repeat of the request, the sweeper) applies it to the account and takes it away. No further change is
 * decided before that, so at a decision the list is what the accounts say.
 *
 * An account takes an intent only if its role_change is below the intent's version, in the same write that sets it: a late
 * helper changes nothing. Crashes:
 *   before the compare-and-set    nothing has happened
 *   after it, before the account  the change is decided; the account has its old role until somebody finishes it, which the
 *                                 repeat and the next change do first thing and the sweeper within a minute. Nobody was told
 *                                 of the change, and a shop never has fewer administrators than the list
 *   after the account             the intent is applied again, in vain, and taken away
 *
 * Accounts that begin as administrators (the founder's, --admin-email's) are not in the list at first: each decision adds
 * those that the accounts have and the list lacks, before it decides. It never removes one but by an intent. */
#include "user-svc/store_mongo.h"

#include <sodium.h>

#include "lib/base/invariant.h"

static const char collection[] = "user_register";

/* A change as the register keeps it. */
#define ROLE_INTENT_FIELDS(F, R)                                                       \
    F(R, TEXT, id,         REQ, 1, 40, none, "the account")                           \
    F(R, ENUM, role,       REQ, 0, 0, role, "what it becomes")                        \
    F(R, TIME, now,        REQ, 0, INT64_MAX, none, "when that was decided")          \
    F(R, TEXT, request,    REQ, 0, 64, none, "id of the request, in hex")             \
    F(R, REC,  denial,     REQ, 0, 0, denial, "of the tokens with the old role")      \
    F(R, REC,  changed,    OPT, 0, 0, event_new, "user.role_changed, without payload") \
    F(R, REC,  ended,      OPT, 0, 0, event_new, "session.ended")
RECORD_DECLARE(role_intent, ROLE_INTENT_FIELDS);
RECORD_DEFINE(role_intent, ROLE_INTENT_FIELDS)

/* The register as it was read. */
struct roles {
    int64_t version;
    bson_t document; /* in the arena */
    bool pending;
    struct role_intent intent;
};

static enum err roles_make(struct user_store *self, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", TEXT("roles"));
    bson_put_int(&document, "version", 0);
    bson_put_texts(&document, "admins", NULL, 0);
    enum err e = mongo_insert(user_mongo(self), collection, &document, fault);
    return e == ERR_CONFLICT ? ERR_NONE : e; /* somebody else has */
}

static enum err roles_load(struct user_store *self, struct arena *arena, struct fault *fault, struct roles *out,
                           bool *out_found)
{
    bson_t ignored;
    *out = (struct roles){0};
    enum err e = user_document(self, collection, TEXT("roles"), arena, fault, &out->document, out_found);
    if (e != ERR_NONE || !*out_found) {
        return e;
    }
    if (!bson_get_int(&out->document, "version", &out->version)) {
        fault_cause(fault, "the register of roles is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    out->pending = bson_get_document(&out->document, "change", &ignored);
    return out->pending
               ? bson_read_record_at(&out->document, "change", &role_intent_record, arena, fault, &out->intent)
               : ERR_NONE;
}

/* ---- applying ---- */

static struct text hex_of(struct text bytes, struct arena *arena)
{
    size_t size = 2 * (size_t)bytes.size + 1;
    char *hex = arena_alloc(arena, size);
    sodium_bin2hex(hex, size, (const unsigned char *)bytes.data, bytes.size);
    return text_of(hex);
}

static struct text bytes_of(struct text hex, struct arena *arena)
{
    size_t size = 0;
    unsigned char *bytes = arena_alloc(arena, hex.size / 2 + 1);
    (void)sodium_hex2bin(bytes, hex.size / 2, hex.data, hex.size, NULL, &size, NULL);
    return (struct text){(const char *)bytes, (uint32_t)size};
}

static enum err apply_try(struct user_store *self, int64_t version, const struct role_intent *intent,
                          struct account *account, struct arena *arena, struct fault *fault, bool *out_done)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct event_new changed;
    struct user *user = &account->user;
    bson_t set;
    bson_put_text(&filter, "_id", user->id);
    bson_put_int(&filter, "version", user->version);
    mongo_put_compare(&filter, "role_change", "$lt", version);
    user->role = intent->role;
    user->version++;
    user->updated_at = intent->now > user->updated_at ? intent->now : user->updated_at;
    account_deny(account, intent->denial, false);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_fields(&set, &user_record, user);
    bson_put_int(&set, "role_change", version);
    bson_put_bytes(&set, "changed_by", bytes_of(intent->request, arena));
    user_put_denial(&set, account, intent->denial->expires_at);
    ASSERT(bson_append_document_end(&update, &set));
    if (has(role_intent, intent, changed)) {
        struct user_event data = {.user_id = user->id, .role = user->role, .version = user->version};
        changed = user_event_complete(intent->changed, &data, arena);
    }
    user_events_push(&update, has(role_intent, intent, changed) ? &changed : NULL,
                     has(role_intent, intent, ended) ? intent->ended : NULL);
    outbox_mongo_wrote(self->outbox, "users", user->id);
    return mongo_update(user_mongo(self), "users", &filter, &update, fault, out_done);
}

static enum err apply(struct user_store *self, int64_t version, const struct role_intent *intent, struct arena *arena,
                      struct fault *fault)
{
    for (int i = 0; i < MONGO_TRIES_MAX; i++) {
        struct account account;
        int64_t role_change = 0;
        bool found = false, done = false;
        enum err e = user_account_load(self, intent->id, arena, fault, &account, &role_change, &found);
        if (e != ERR_NONE || !found || role_change >= version) {
            return e;
        }
        e = apply_try(self, version, intent, &account, arena, fault, &done);
        if (e != ERR_NONE || done) {
            return e;
        }
    }
    return user_contended(fault, MONGO_TRIES_MAX);
}

/* Takes the intent away; if that fails, somebody applies it again, in vain, and tries it again. */
static enum err intent_drop(struct user_store *self, int64_t version, struct fault *fault)
{
    static const char *const names[] = {"change", NULL};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bool found;
    bson_put_text(&filter, "_id", TEXT("roles"));
    bson_put_int(&filter, "version", version);
    mongo_put_unset(&update, names);
    return mongo_update(user_mongo(self), collection, &filter, &update, fault, &found);
}

enum err mongo_roles_finish(struct user_store *self, struct arena *arena, struct fault *fault)
{
    struct roles roles;
    bool found = false;
    enum err e = roles_load(self, arena, fault, &roles, &found);
    if (e != ERR_NONE || !found || !roles.pending) {
        return e;
    }
    e = apply(self, roles.version, &roles.intent, arena, fault);
    return e == ERR_NONE ? intent_drop(self, roles.version, fault) : e;
}

/* ---- deciding ---- */

/* The list as it is to be: those in it and those that the accounts add. */
struct admins {
    struct text *ids;
    uint32_t count, room;
};

static bool admins_has(const struct admins *admins, struct text id)
{
    for (uint32_t i = 0; i < admins->count; i++) {
        if (text_equal(admins->ids[i], id)) {
            return true;
        }
    }
    return false;
}

static void admins_add(struct admins *admins, struct text id, struct arena *arena)
{
    if (admins_has(admins, id)) {
        return;
    }
    if (admins->count == admins->room) {
        struct text *old = admins->ids;
        admins->room = admins->room ? 2 * admins->room : 8;
        admins->ids = arena_alloc(arena, admins->room * sizeof *admins->ids);
        for (uint32_t i = 0; i < admins->count; i++) {
            admins->ids[i] = old[i];
        }
    }
    admins->ids[admins->count++] = id;
}

static void admins_remove(struct admins *admins, struct text id)
{
    for (uint32_t i = 0; i < admins->count; i++) {
        if (text_equal(admins->ids[i], id)) {
            admins->ids[i] = admins->ids[--admins->count];
            return;
        }
    }
}

static void admins_listed(const struct roles *roles, struct arena *arena, struct admins *out)
{
    bson_t array;
    bson_iter_t iter;
    *out = (struct admins){0};
    if (bson_get_document(&roles->document, "admins", &array) && bson_iter_init(&iter, &array)) {
        while (bson_iter_next(&iter)) {
            uint32_t size;
            const char *id = bson_iter_utf8(&iter, &size);
            if (id) {
                admins_add(out, (struct text){id, size}, arena);
            }
        }
    }
}

static enum err admins_found(struct user_store *self, struct arena *arena, struct fault *fault, struct admins *admins)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    bson_put_text(&filter, "role", text_of(enum_name(&role_names, ROLE_ADMIN)));
    bson_put_int(&projection, "_id", 1);
    const struct mongo_query query = {.collection = "users", .filter = &filter, .projection = &projection};
    mongo_find(user_mongo(self), &query, &rows);
    while (mongo_next(&rows, &document)) {
        struct text id;
        if (bson_get_text(document, "_id", arena, &id)) {
            admins_add(admins, id, arena);
        }
    }
    return mongo_rows_end(&rows, fault);
}

/* The compare-and-set. intent NULL: only the list becomes complete. */
static enum err roles_replace(struct user_store *self, int64_t version, const struct admins *admins,
                              const struct role_intent *intent, struct fault *fault, bool *out_done)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bson_put_text(&filter, "_id", TEXT("roles"));
    bson_put_int(&filter, "version", version);
    mongo_put_exists(&filter, "change", false);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "version", version + 1);
    bson_put_texts(&set, "admins", admins->ids, admins->count);
    if (intent) {
        bson_put_record(&set, "change", &role_intent_record, intent);
    }
    ASSERT(bson_append_document_end(&update, &set));
    return mongo_update(user_mongo(self), collection, &filter, &update, fault, out_done);
}

static struct role_intent intent_of(const struct role_change *in, struct denial *denial, struct event_new events[2],
                                    struct arena *arena)
{
    struct role_intent intent = {
        .id = in->id, .role = in->role, .now = in->now_ms, .request = hex_of(in->request_id, arena), .denial = denial};
    *denial = *in->denial;
    if (in->changed) {
        events[0] = *in->changed;
        intent.changed = &events[0];
        set_has(role_intent, &intent, changed);
    }
    if (in->ended) {
        events[1] = *in->ended;
        intent.ended = &events[1];
        set_has(role_intent, &intent, ended);
    }
    return intent;
}

/* One try on a register without an intent. *out_done false: others came first, or the list has only become complete. */
static enum err decide(struct user_store *self, const struct role_change *in, const struct roles *roles,
                       struct arena *arena, struct fault *fault, bool *out_done)
{
    struct denial denial;
    struct event_new events[2];
    struct admins admins;
    bool completed;
    admins_listed(roles, arena, &admins);
    uint32_t listed_count = admins.count;
    enum err e = admins_found(self, arena, fault, &admins);
    if (e != ERR_NONE) {
        return e;
    }
    if (admins.count != listed_count) {
        return roles_replace(self, roles->version, &admins, NULL, fault, &completed);
    }
    if (in->role == ROLE_ADMIN) {
        admins_add(&admins, in->id, arena);
    } else {
        admins_remove(&admins, in->id);
    }
    if (admins.count == 0) {
        return ERR_LAST_ADMIN;
    }
    struct role_intent intent = intent_of(in, &denial, events, arena);
    e = roles_replace(self, roles->version, &admins, &intent, fault, out_done);
    if (e != ERR_NONE || !*out_done) {
        return e;
    }
    e = apply(self, roles->version + 1, &intent, arena, fault);
    if (e == ERR_NONE) {
        struct fault unheard;
        fault_init(&unheard, arena);
        (void)!intent_drop(self, roles->version + 1, &unheard);
    }
    return e;
}

enum err mongo_account_set_role(struct user_store *self, const struct role_change *in, struct arena *arena,
                                struct fault *fault)
{
    for (int i = 0; i < MONGO_ROLE_TRIES_MAX; i++) {
        struct roles roles;
        struct account account;
        int64_t role_change;
        bool have_roles = false, found = false, done = false;
        enum err e = roles_load(self, arena, fault, &roles, &have_roles);
        if (e == ERR_NONE && (!have_roles || roles.pending)) {
            e = have_roles ? mongo_roles_finish(self, arena, fault) : roles_make(self, fault);
            if (e == ERR_NONE) {
                continue;
            }
        }
        if (e == ERR_NONE) {
            e = user_account_load(self, in->id, arena, fault, &account, &role_change, &found);
        }
        if (e != ERR_NONE || !found || account.user.role == in->role) {
            return e == ERR_NONE && !found ? ERR_NOT_FOUND : e;
        }
        e = decide(self, in, &roles, arena, fault, &done);
        if (e != ERR_NONE || done) {
            return e;
        }
    }
    return user_contended(fault, MONGO_ROLE_TRIES_MAX);
}
