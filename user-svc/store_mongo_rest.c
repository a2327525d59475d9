/* Tickets, signing keys, secrets and the sweeping on MongoDB. A ticket's id is its hash in hex, as ids are texts. */
#include "user-svc/store_mongo.h"

#include <sodium.h>

#include "lib/base/invariant.h"

enum { HEX_SIZE = 2 * 64 + 1 }; /* of a hash or a request id */

static const char tickets[] = "tickets";

/* ---- tickets ---- */

static struct text hex_of(struct text bytes, char out[HEX_SIZE])
{
    ASSERT(bytes.size <= (HEX_SIZE - 1) / 2);
    sodium_bin2hex(out, HEX_SIZE, (const unsigned char *)bytes.data, bytes.size);
    return text_of(out);
}

enum err mongo_ticket_add(struct user_store *self, const struct ticket *in, struct fault *fault, bool *out)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    char hex[HEX_SIZE];
    bson_put_text(&document, "_id", hex_of(in->hash, hex));
    bson_put_record(&document, "identity", &identity_record, &in->identity);
    bson_put_int(&document, "expires_at", in->expires_ms);
    bson_put_text(&document, "spent_by", TEXT(""));
    enum err e = mongo_insert(user_mongo(self), tickets, &document, fault);
    if (e == ERR_NONE || e == ERR_CONFLICT) {
        *out = e == ERR_NONE;
        return ERR_NONE;
    }
    return e;
}

/* Spent first, looked at afterwards: nobody else can spend it, and a session that has ended by then gets nothing for
 * it. */
enum err mongo_ticket_spend(struct user_store *self, const struct ticket_use *in, struct arena *arena,
                            struct fault *fault, struct identity *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    char hash[HEX_SIZE], request[HEX_SIZE];
    const struct text spenders[] = {TEXT(""), hex_of(in->request_id, request)};
    struct identity identity;
    bson_t set, document;
    bool spent = false, found = false, good = false;
    bson_put_text(&filter, "_id", hex_of(in->hash, hash));
    mongo_put_in(&filter, "spent_by", spenders, ARRAY_COUNT(spenders));
    mongo_put_compare(&filter, "expires_at", "$gt", in->now_ms);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_text(&set, "spent_by", spenders[1]);
    ASSERT(bson_append_document_end(&update, &set));
    enum err e = mongo_update(user_mongo(self), tickets, &filter, &update, fault, &spent);
    if (e == ERR_NONE && spent) {
        e = user_document(self, tickets, text_of(hash), arena, fault, &document, &found);
    }
    if (e != ERR_NONE || !found) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    e = bson_read_record_at(&document, "identity", &identity_record, arena, fault, &identity);
    if (e != ERR_NONE) {
        return e;
    }
    struct token_check check = {
        .session_id = identity.session_id, .user_id = identity.user_id, .issued_at = identity.issued_at};
    e = mongo_token_good(self, &check, fault, &good);
    if (e == ERR_NONE && good) {
        *out = identity;
    }
    return e == ERR_NONE && !good ? ERR_NOT_FOUND : e;
}

/* ---- keys and secrets: the id decides who was first ---- */

enum err mongo_key_add(struct user_store *self, const struct key_row *in, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_int(&document, "_id", in->generation);
    bson_put_record(&document, "shown", &signing_key_record, &in->shown);
    bson_put_text(&document, "private_pem", in->private_pem);
    bson_put_int(&document, "created_at", in->created_ms);
    enum err e = mongo_insert(user_mongo(self), "signing_keys", &document, fault);
    return e == ERR_CONFLICT ? ERR_NONE : e;
}

static enum err key_read(const bson_t *document, struct arena *arena, struct fault *fault, struct key_row *out)
{
    if (!bson_get_int(document, "_id", &out->generation) || !bson_get_int(document, "created_at", &out->created_ms) ||
        !bson_get_text(document, "private_pem", arena, &out->private_pem)) {
        fault_cause(fault, "a signing key's document is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return bson_read_record_at(document, "shown", &signing_key_record, arena, fault, &out->shown);
}

enum err mongo_key_list(struct user_store *self, struct arena *arena, struct fault *fault, struct key_rows *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct key_rows keys = {.items = arena_alloc(arena, SIGNING_KEYS_MAX * sizeof *keys.items)};
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    bson_put_int(&sort, "_id", -1);
    const struct mongo_query query = {
        .collection = "signing_keys", .filter = &filter, .sort = &sort, .limit = SIGNING_KEYS_MAX};
    mongo_find(user_mongo(self), &query, &rows);
    while (bad == ERR_NONE && keys.count < SIGNING_KEYS_MAX && mongo_next(&rows, &document)) {
        bad = key_read(document, arena, fault, &keys.items[keys.count]);
        keys.count += bad == ERR_NONE;
    }
    if (bad != ERR_NONE) {
        (void)!mongo_rows_end(&rows, NULL);
        return bad;
    }
    enum err e = mongo_rows_end(&rows, fault);
    if (e == ERR_NONE) {
        *out = keys;
    }
    return e;
}

enum err mongo_key_drop(struct user_store *self, int64_t below_generation, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    int64_t count;
    mongo_put_compare(&filter, "_id", "$lt", below_generation);
    return mongo_delete_all(user_mongo(self), "signing_keys", &filter, fault, &count);
}

enum err mongo_secret_add(struct user_store *self, const struct secret_row *in, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", text_of(in->name));
    bson_put_bytes(&document, "value", in->value);
    enum err e = mongo_insert(user_mongo(self), "secrets", &document, fault);
    return e == ERR_CONFLICT ? ERR_NONE : e;
}

enum err mongo_secret_get(struct user_store *self, const char *name, struct arena *arena, struct fault *fault,
                          struct text *out)
{
    bson_t document;
    bool found = false;
    enum err e = user_document(self, "secrets", text_of(name), arena, fault, &document, &found);
    if (e != ERR_NONE || !found) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    if (!bson_get_bytes(&document, "value", arena, out)) {
        fault_cause(fault, "the secret \"%s\" has no value", name);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return ERR_NONE;
}

/* ---- what time has made useless ---- */

/* field: {$gt: 0, $lt: below} */
static void put_between(bson_t *filter, const char *field, int64_t below_ms)
{
    bson_t range;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(filter, field, &range));
    bson_put_int(&range, "$gt", 0);
    bson_put_int(&range, "$lt", below_ms);
    ASSERT(bson_append_document_end(filter, &range));
}

/* Removes so many documents at most whose time lies below; one that has events to hand over stays until it has. */
static enum err sweep_some(struct user_store *self, const char *collection, const char *field, int64_t below_ms,
                           int64_t row_count, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct text *ids = arena_alloc(&arena, (size_t)row_count * sizeof *ids);
    struct mongo_rows rows;
    const bson_t *document;
    uint32_t id_count = 0;
    int64_t count;
    put_between(&filter, field, below_ms);
    mongo_put_exists(&filter, "outbox", false);
    bson_put_int(&projection, "_id", 1);
    const struct mongo_query query = {
        .collection = collection, .filter = &filter, .projection = &projection, .limit = row_count};
    mongo_find(user_mongo(self), &query, &rows);
    while (id_count < row_count && mongo_next(&rows, &document)) {
        id_count += bson_get_text(document, "_id", &arena, &ids[id_count]);
    }
    enum err e = mongo_rows_end(&rows, fault);
    if (e != ERR_NONE || id_count == 0) {
        return e;
    }
    mongo_put_in(&filter, "_id", ids, id_count); /* beside its time: it may have been used meanwhile */
    return mongo_delete_all(user_mongo(self), collection, &filter, fault, &count);
}

enum err mongo_user_sweep(struct user_store *self, const struct user_sweep *in, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    enum err e = mongo_roles_finish(self, &arena, fault);
    if (e == ERR_NONE) {
        e = sweep_some(self, "attempts", "last_at", in->attempts_before_ms, in->row_count, fault);
    }
    if (e == ERR_NONE) {
        e = sweep_some(self, "answers", "at", in->answers_before_ms, in->row_count, fault);
    }
    if (e == ERR_NONE) {
        e = sweep_some(self, tickets, "expires_at", in->now_ms + 1, in->row_count, fault);
    }
    if (e == ERR_NONE) {
        e = sweep_some(self, "sessions", "used_at", in->sessions_before_ms, in->row_count, fault);
    }
    return e == ERR_NONE ? sweep_some(self, "sessions", "ended_at", in->ended_before_ms, in->row_count, fault) : e;
}
