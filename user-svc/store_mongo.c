/* Accounts on MongoDB: collection users. An edit reads the document, decides, and replaces what it changes if version
 * is still the same; so the event tells the version that was really written. */
#include "user-svc/store_mongo.h"

#include "lib/base/invariant.h"

static const char users[] = "users";
static const char founder_place[] = "founder"; /* everybody else's place is the own id: the index needs no exceptions */

static const struct mongo_index indexes[] = {
    {"users", "email", {"email_folded"}, true, false},
    {"users", "place", {"place"}, true, false},
    {"users", "age", {"-created_at", "-_id"}, false, false},
    {"users", "role", {"role", "-created_at", "-_id"}, false, false},
    {"users", "denial", {"denial_ends"}, false, false},
    {"sessions", "use", {"used_at"}, false, false},
    {"sessions", "end", {"ended_at"}, false, false},
    {"sessions", "denial", {"denial_ends"}, false, false},
    {"tickets", "end", {"expires_at"}, false, false},
    {"attempts", "age", {"last_at"}, false, false},
    {"answers", "age", {"at"}, false, false},
    OUTBOX_MONGO_INDEX("users"),
    OUTBOX_MONGO_INDEX("sessions"),
};

const struct mongo_schema user_mongo_schema = {
    .service = "user", .version = 1, .indexes = indexes, .index_count = ARRAY_COUNT(indexes)};

struct mongo_db *user_mongo(struct user_store *self)
{
    return ((struct user_store_mongo *)self)->db;
}

enum err user_document(struct user_store *self, const char *collection, struct text id, struct arena *arena,
                       struct fault *fault, bson_t *out, bool *out_found)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_put_text(&filter, "_id", id);
    const struct mongo_query query = {.collection = collection, .filter = &filter, .limit = 1};
    return mongo_find_one(user_mongo(self), &query, arena, fault, out, out_found);
}

enum err user_contended(struct fault *fault, int try_count)
{
    fault_cause(fault, "others changed the same document first, %d times", try_count);
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

/* ---- documents ---- */

static void account_document(const struct account *account, enum role role, struct text place, bson_t *out)
{
    struct user user = account->user;
    user.role = role;
    bson_put_text(out, "_id", user.id);
    bson_put_fields(out, &user_record, &user);
    bson_put_text(out, "email_folded", account->email_folded);
    bson_put_text(out, "password_hash", account->password_hash);
    bson_put_bytes(out, "changed_by", account->changed_by);
    bson_put_text(out, "place", place);
    bson_put_int(out, "generation", 0);
    bson_put_text(out, "kept_session", TEXT(""));
    bson_put_int(out, "denied_until", 0);
    bson_put_int(out, "denied_all", 0);
    bson_put_int(out, "denial_ends", 0);
    bson_put_int(out, "role_change", 0);
}

static enum err account_read(const bson_t *document, struct arena *arena, struct fault *fault, struct account *out,
                             int64_t *out_role_change)
{
    struct account account = {0};
    enum err e = bson_read_record(document, &user_record, arena, fault, &account.user);
    if (e != ERR_NONE) {
        return e;
    }
    if (!bson_get_text(document, "email_folded", arena, &account.email_folded) ||
        !bson_get_text(document, "password_hash", arena, &account.password_hash) ||
        !bson_get_bytes(document, "changed_by", arena, &account.changed_by) ||
        !bson_get_text(document, "kept_session", arena, &account.kept_session) ||
        !bson_get_int(document, "generation", &account.generation) ||
        !bson_get_int(document, "denied_until", &account.denied_until_ms) ||
        !bson_get_int(document, "denied_all", &account.denied_all_ms) ||
        !bson_get_int(document, "role_change", out_role_change)) {
        fault_cause(fault, "an account's document is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = account;
    return ERR_NONE;
}

enum err user_account_load(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                           struct account *out, int64_t *out_role_change, bool *out_found)
{
    bson_t document;
    bool found = false;
    enum err e = user_document(self, users, id, arena, fault, &document, &found);
    if (e == ERR_NONE && found) {
        e = account_read(&document, arena, fault, out, out_role_change);
    }
    if (e == ERR_NONE) {
        *out_found = found;
    }
    return e;
}

void user_events_push(bson_t *update, const struct event_new *first, const struct event_new *second)
{
    const struct event_new *events[] = {first, second};
    if (!first && !second) {
        return;
    }
    outbox_mongo_push_all(update, events, ARRAY_COUNT(events));
}

void account_deny(struct account *account, const struct denial *denial, bool new_password)
{
    bool all = !has(denial, denial, except_session_id);
    if (denial->before > account->denied_until_ms) {
        account->denied_until_ms = denial->before;
    }
    if (all && denial->before > account->denied_all_ms) {
        account->denied_all_ms = denial->before;
    }
    if (new_password) {
        account->generation++;
        account->kept_session = all ? TEXT("") : denial->except_session_id;
    }
}

void user_put_denial(bson_t *set, const struct account *account, int64_t ends_ms)
{
    bson_put_int(set, "denied_until", account->denied_until_ms);
    bson_put_int(set, "denied_all", account->denied_all_ms);
    bson_put_int(set, "denial_ends", ends_ms); /* the newest denial's: it lasts as long as any before */
    bson_put_int(set, "generation", account->generation);
    bson_put_text(set, "kept_session", account->kept_session);
}

/* ---- writing accounts ---- */

static enum err exists(struct user_store *self, const char *field, struct text value, struct fault *fault, bool *out)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    bson_t document;
    bson_put_text(&filter, field, value);
    bson_put_int(&projection, "_id", 1);
    const struct mongo_query query = {.collection = users, .filter = &filter, .projection = &projection, .limit = 1};
    return mongo_find_one(user_mongo(self), &query, &arena, fault, &document, out);
}

/* Inserts as the founder or as somebody later. CONFLICT: one of the unique indexes says no. */
static enum err insert_as(struct user_store *self, const struct account_new *in, bool founder, struct arena *arena,
                          struct fault *fault, enum role *out)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    const struct user *user = &in->account.user;
    struct user_event data = {
        .user_id = user->id, .role = founder ? in->first_role : user->role, .version = user->version};
    struct event_new created;
    account_document(&in->account, data.role, founder ? TEXT(founder_place) : user->id, &document);
    if (in->created) {
        created = user_event_complete(in->created, &data, arena);
        outbox_mongo_put(&document, &created);
        outbox_mongo_wrote(self->outbox, users, user->id);
    }
    enum err e = mongo_insert(user_mongo(self), users, &document, fault);
    if (e == ERR_NONE) {
        *out = data.role;
    }
    return e;
}

/* What the account's id or address is taken by; NONE: neither. */
static enum err insert_refused(struct user_store *self, const struct account *account, struct fault *fault)
{
    bool same_id = false, same_email = false;
    enum err e = exists(self, "_id", account->user.id, fault, &same_id);
    if (e == ERR_NONE && !same_id) {
        e = exists(self, "email_folded", account->email_folded, fault, &same_email);
    }
    return e != ERR_NONE ? e : same_id ? ERR_CONFLICT : same_email ? ERR_EMAIL_TAKEN : ERR_NONE;
}

static enum err account_insert(struct user_store *self, const struct account_new *in, struct arena *arena,
                               struct fault *fault, enum role *out)
{
    struct user_store_mongo *store = (struct user_store_mongo *)self;
    if (!store->founded) {
        enum err e = insert_as(self, in, true, arena, fault, out);
        e = e == ERR_CONFLICT ? insert_refused(self, &in->account, fault) : e;
        if (e != ERR_NONE) {
            return e;
        }
        store->founded = true; /* by this one or by another: see below */
        bool mine = false;
        e = exists(self, "_id", in->account.user.id, fault, &mine);
        if (e != ERR_NONE || mine) {
            return e;
        }
    }
    enum err e = insert_as(self, in, false, arena, fault, out);
    if (e == ERR_CONFLICT) {
        e = insert_refused(self, &in->account, fault);
        e = e == ERR_NONE ? user_contended(fault, 1) : e;
    }
    return e;
}

/* What the edit makes of the account. */
static void edit_apply(const struct account_edit *in, struct account *account)
{
    const struct user_edit *edit = in->edit;
    struct user *user = &account->user;
    user->email = has(user_edit, edit, email) ? edit->email : user->email;
    account->email_folded = has(user_edit, edit, email) ? in->email_folded : account->email_folded;
    user->name = has(user_edit, edit, name) ? edit->name : user->name;
    if (has(user_edit, edit, addresses)) {
        user->addresses.items = edit->addresses.items;
        user->addresses.count = edit->addresses.count;
    }
    user->updated_at = in->now_ms > user->updated_at ? in->now_ms : user->updated_at;
    user->version++;
    if (in->denial) {
        account_deny(account, in->denial, true);
    }
}

/* One try. *out_done false: the account has changed since it was read. */
static enum err edit_try(struct user_store *self, const struct account_edit *in, struct account *account,
                         struct arena *arena, struct fault *fault, bool *out_done)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct event_new updated;
    bson_t set;
    bson_put_text(&filter, "_id", account->user.id);
    bson_put_int(&filter, "version", account->user.version);
    if (in->verified_hash.size > 0) {
        bson_put_text(&filter, "password_hash", in->verified_hash);
    }
    edit_apply(in, account);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_fields(&set, &user_record, &account->user);
    bson_put_text(&set, "email_folded", account->email_folded);
    bson_put_bytes(&set, "changed_by", in->request_id);
    if (in->password_hash.size > 0) {
        bson_put_text(&set, "password_hash", in->password_hash);
    }
    if (in->denial) {
        user_put_denial(&set, account, in->denial->expires_at);
    }
    ASSERT(bson_append_document_end(&update, &set));
    if (in->updated) {
        struct user_event data = {
            .user_id = account->user.id, .role = account->user.role, .version = account->user.version};
        updated = user_event_complete(in->updated, &data, arena);
    }
    user_events_push(&update, in->updated ? &updated : NULL, in->ended);
    if (in->updated || in->ended) {
        outbox_mongo_wrote(self->outbox, users, account->user.id);
    }
    enum err e = mongo_update(user_mongo(self), users, &filter, &update, fault, out_done);
    return e == ERR_CONFLICT ? ERR_EMAIL_TAKEN : e; /* the only index that an edit can break */
}

static enum err account_edit(struct user_store *self, const struct account_edit *in, struct arena *arena,
                             struct fault *fault)
{
    for (int i = 0; i < MONGO_TRIES_MAX; i++) {
        struct account account;
        int64_t role_change;
        bool found = false, done = false;
        enum err e = user_account_load(self, in->edit->id, arena, fault, &account, &role_change, &found);
        if (e != ERR_NONE) {
            return e;
        }
        if (!found || (in->version != 0 && account.user.version != in->version) ||
            (in->verified_hash.size > 0 && !text_equal(account.password_hash, in->verified_hash))) {
            return ERR_CONFLICT;
        }
        e = edit_try(self, in, &account, arena, fault, &done);
        if (e != ERR_NONE || done) {
            return e;
        }
    }
    return user_contended(fault, MONGO_TRIES_MAX);
}

static enum err account_rehash(struct user_store *self, const struct hash_change *in, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found;
    bson_put_text(&filter, "_id", in->id);
    bson_put_text(&filter, "password_hash", in->from);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_text(&set, "password_hash", in->to);
    ASSERT(bson_append_document_end(&update, &set));
    return mongo_update(user_mongo(self), users, &filter, &update, fault, &found);
}

/* ---- reading accounts ---- */

static enum err account_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct account *out)
{
    int64_t role_change;
    bool found = false;
    enum err e = user_account_load(self, id, arena, fault, out, &role_change, &found);
    return e == ERR_NONE && !found ? ERR_NOT_FOUND : e;
}

static enum err account_find(struct user_store *self, struct text email_folded, struct arena *arena,
                             struct fault *fault, struct account *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_t document;
    int64_t role_change;
    bool found = false;
    bson_put_text(&filter, "email_folded", email_folded);
    const struct mongo_query query = {.collection = users, .filter = &filter, .limit = 1};
    enum err e = mongo_find_one(user_mongo(self), &query, arena, fault, &document, &found);
    if (e != ERR_NONE || !found) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    return account_read(&document, arena, fault, out, &role_change);
}

/* Rows after (created_at, id), newest first: created_at is bounded for the index, the rest decides among equals. */
static void put_after(bson_t *filter, const struct account_page *page)
{
    bson_t either, older, equal;
    mongo_put_compare(filter, "created_at", "$lte", page->created_at);
    ASSERT(BSON_APPEND_ARRAY_BEGIN(filter, "$or", &either));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&either, "0", &older));
    mongo_put_compare(&older, "created_at", "$lt", page->created_at);
    ASSERT(bson_append_document_end(&either, &older));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&either, "1", &equal));
    bson_t below;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&equal, "_id", &below));
    bson_put_text(&below, "$lt", page->id);
    ASSERT(bson_append_document_end(&equal, &below));
    ASSERT(bson_append_document_end(&either, &equal));
    ASSERT(bson_append_array_end(filter, &either));
}

static void list_filter(const struct account_page *page, bson_t *out)
{
    if (page->email_folded.size > 0) {
        bson_put_text(out, "email_folded", page->email_folded);
    }
    if (has(user_query, page->query, role)) {
        bson_put_text(out, "role", text_of(enum_name(&role_names, (int)page->query->role)));
    }
    if (page->id.size > 0) {
        put_after(out, page);
    }
}

static enum err account_list(struct user_store *self, const struct account_page *page, struct arena *arena,
                             struct fault *fault, struct user_rows *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    int64_t limit = page->query->limit;
    struct user_rows list = {.items = arena_alloc(arena, (size_t)limit * sizeof *list.items)};
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    list_filter(page, &filter);
    bson_put_int(&sort, "created_at", -1);
    bson_put_int(&sort, "_id", -1);
    const struct mongo_query query = {.collection = users,
                                      .filter = &filter,
                                      .sort = &sort,
                                      .limit = limit + 1}; /* one more tells whether others follow */
    mongo_find(user_mongo(self), &query, &rows);
    while (bad == ERR_NONE && !list.more && mongo_next(&rows, &document)) {
        list.more = list.count == limit;
        if (!list.more) {
            bad = bson_read_record(document, &user_record, arena, fault, &list.items[list.count]);
            list.count += bad == ERR_NONE;
        }
    }
    if (bad != ERR_NONE) {
        (void)!mongo_rows_end(&rows, NULL);
        return bad;
    }
    enum err e = mongo_rows_end(&rows, fault);
    if (e == ERR_NONE) {
        *out = list;
    }
    return e;
}

static enum err shop_is_founded(struct user_store *self, struct fault *fault, bool *out)
{
    struct user_store_mongo *store = (struct user_store_mongo *)self;
    enum err e = store->founded ? ERR_NONE : exists(self, "place", TEXT(founder_place), fault, &store->founded);
    if (e == ERR_NONE) {
        *out = store->founded;
    }
    return e;
}

/* ---- opening ---- */

static void store_destroy(struct user_store **self)
{
    struct user_store_mongo *store = (struct user_store_mongo *)*self;
    outbox_source_destroy(&store->store.outbox);
    mongo_db_destroy(&store->db);
    mem_free(store);
    *self = NULL;
}

static const struct user_store_ops mongo_ops = {
    .account_insert = account_insert,
    .account_get = account_get,
    .account_find = account_find,
    .account_list = account_list,
    .account_edit = account_edit,
    .account_set_role = mongo_account_set_role,
    .account_rehash = account_rehash,
    .shop_is_founded = shop_is_founded,
    .session_insert = mongo_session_insert,
    .session_get = mongo_session_get,
    .session_rotate = mongo_session_rotate,
    .session_end = mongo_session_end,
    .token_good = mongo_token_good,
    .denial_list = mongo_denial_list,
    .ticket_add = mongo_ticket_add,
    .ticket_spend = mongo_ticket_spend,
    .attempts_get = mongo_attempts_get,
    .attempts_put = mongo_attempts_put,
    .key_add = mongo_key_add,
    .key_list = mongo_key_list,
    .key_drop = mongo_key_drop,
    .key_distrust = mongo_key_distrust,
    .answer_add = mongo_answer_add,
    .answer_get = mongo_answer_get,
    .secret_add = mongo_secret_add,
    .secret_get = mongo_secret_get,
    .sweep = mongo_user_sweep,
    .destroy = store_destroy,
};

struct user_store *user_store_new_mongo(struct mongo_pool *pool)
{
    static const char *const with_outbox[] = {"users", "sessions", NULL};
    struct user_store_mongo *store = mem_alloc(sizeof *store);
    store->db = mongo_db_new(pool);
    store->store = (struct user_store){.ops = &mongo_ops, .outbox = outbox_mongo_new(store->db, with_outbox)};
    return &store->store;
}
