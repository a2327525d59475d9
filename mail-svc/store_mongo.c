/* Mails in MongoDB:
 *
 *     mails       {_id, due_at, mail: {...}}     due_at only until it has ended
 *     log_readers {_id: "mail", position, since}
 *
 * Each verb is one act on one document. Mails are named after their events, so that a page of the log that is taken
 * twice makes none twice; the position is stored after what follows from the page. */
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/mongo.h"
#include "mail-svc/store.h"

static const char mails[] = "mails";
static const char log_readers[] = "log_readers";
static const char reader_id[] = "mail";

static const struct mongo_index indexes[] = {
    {mails, "due", {"due_at"}, false, true},
    {mails, "age", {"mail.event_at"}, false, false},
};
const struct mongo_schema mail_mongo_schema = {"mail", 1, indexes, ARRAY_COUNT(indexes)};

struct mongo_mail_store {
    struct mail_store base; /* first: the two are cast into each other */
    struct mongo_db *db;    /* owned */
};

static struct mongo_db *db_of(struct mail_store *self)
{
    return ((struct mongo_mail_store *)self)->db;
}

static enum err rows_read(struct mail_store *self, const struct mongo_query *query, struct arena *arena,
                          struct fault *fault, struct mail_rows *out)
{
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    struct mail_rows found = {.items = arena_alloc(arena, (size_t)query->limit * sizeof *found.items)};
    mongo_find(db_of(self), query, &rows);
    while (bad == ERR_NONE && found.count < query->limit && mongo_next(&rows, &document)) {
        bad = bson_read_record_at(document, "mail", &mail_record, arena, fault, &found.items[found.count++]);
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? fault : NULL);
    if (bad == ERR_NONE && e == ERR_NONE) {
        *out = found;
    }
    return bad == ERR_NONE ? e : bad;
}

/* ---- the log ---- */

static enum err store_position(struct mail_store *self, struct fault *fault, int64_t *out, int64_t *out_since_ms)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(arena_release) struct arena arena = {0};
    bson_t document;
    bool found = false;
    int64_t position, since_ms;
    bson_put_text(&filter, "_id", text_of(reader_id));
    const struct mongo_query query = {.collection = log_readers, .filter = &filter};
    enum err e = mongo_find_one(db_of(self), &query, &arena, fault, &document, &found);
    if (e != ERR_NONE) {
        return e;
    }
    if (!found || !bson_get_int(&document, "position", &position) || !bson_get_int(&document, "since", &since_ms)) {
        fault_cause(fault, "the position in the log cannot be read");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = position;
    *out_since_ms = since_ms;
    return ERR_NONE;
}

static enum err store_position_set(struct mail_store *self, int64_t position, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found;
    bson_put_text(&filter, "_id", text_of(reader_id));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "position", position);
    ASSERT(bson_append_document_end(&update, &set));
    return mongo_update(db_of(self), log_readers, &filter, &update, fault, &found);
}

/* The first start decides since when. */
static enum err reader_begin(struct mail_store *self, int64_t now_ms, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", text_of(reader_id));
    bson_put_int(&document, "position", 0);
    bson_put_int(&document, "since", now_ms);
    enum err e = mongo_insert(db_of(self), log_readers, &document, fault);
    return e == ERR_CONFLICT ? ERR_NONE : e;
}

/* ---- mails ---- */

static enum err store_add(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", mail->id);
    if (has(mail, mail, next_at)) {
        bson_put_int(&document, "due_at", mail->next_at);
    }
    bson_put_record(&document, "mail", &mail_record, mail);
    enum err e = mongo_insert(db_of(self), mails, &document, fault);
    return e == ERR_CONFLICT ? ERR_NONE : e;
}

/* Whoever moves due_at first has it. */
static enum err claim_one(struct mail_store *self, struct mail *mail, int64_t until_ms, struct fault *fault,
                          bool *out_claimed)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bson_put_text(&filter, "_id", mail->id);
    bson_put_int(&filter, "due_at", mail->next_at);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "due_at", until_ms);
    bson_put_int(&set, "mail.next_at", until_ms);
    ASSERT(bson_append_document_end(&update, &set));
    mail->next_at = until_ms;
    return mongo_update(db_of(self), mails, &filter, &update, fault, out_claimed);
}

static enum err store_claim(struct mail_store *self, const struct mail_claim *claim, struct arena *arena,
                            struct fault *fault, struct mail_rows *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct mail_rows due = {0};
    struct mail_rows claimed = {.items = arena_alloc(arena, claim->limit * sizeof *claimed.items)};
    mongo_put_compare(&filter, "due_at", "$lte", claim->now_ms);
    bson_put_int(&sort, "due_at", 1);
    const struct mongo_query query = {.collection = mails, .filter = &filter, .sort = &sort, .limit = claim->limit};
    enum err e = rows_read(self, &query, arena, fault, &due);
    for (uint32_t i = 0; e == ERR_NONE && i < due.count; i++) {
        bool got = false;
        e = claim_one(self, &due.items[i], claim->until_ms, fault, &got);
        if (got) {
            claimed.items[claimed.count++] = due.items[i];
        }
    }
    if (e == ERR_NONE) {
        *out = claimed;
    }
    return e;
}

static enum err store_get(struct mail_store *self, struct text id, struct arena *arena, struct fault *fault,
                          struct mail *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct mail_rows rows = {0};
    bson_put_text(&filter, "_id", id);
    const struct mongo_query query = {.collection = mails, .filter = &filter, .limit = 1};
    enum err e = rows_read(self, &query, arena, fault, &rows);
    if (e == ERR_NONE && rows.count == 1) {
        *out = rows.items[0];
    }
    return e == ERR_NONE && rows.count == 0 ? ERR_NOT_FOUND : e;
}

static enum err store_put(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    static const char *const due_only[] = {"due_at", NULL};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found = false;
    bson_put_text(&filter, "_id", mail->id);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_record(&set, "mail", &mail_record, mail);
    if (has(mail, mail, next_at)) {
        bson_put_int(&set, "due_at", mail->next_at);
    }
    ASSERT(bson_append_document_end(&update, &set));
    if (!has(mail, mail, next_at)) {
        mongo_put_unset(&update, due_only);
    }
    enum err e = mongo_update(db_of(self), mails, &filter, &update, fault, &found);
    return e == ERR_NONE && !found ? ERR_NOT_FOUND : e;
}

static enum err store_purge(struct mail_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                            uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t these = BSON_INITIALIZER;
    AUTO(arena_release) struct arena arena = {0};
    struct text *ids = arena_alloc(&arena, limit * sizeof *ids);
    struct mail_rows rows = {0};
    int64_t count = 0;
    mongo_put_compare(&filter, "mail.event_at", "$lt", before_ms);
    mongo_put_exists(&filter, "due_at", false);
    bson_put_int(&sort, "mail.event_at", 1);
    const struct mongo_query query = {.collection = mails, .filter = &filter, .sort = &sort, .limit = limit};
    enum err e = rows_read(self, &query, &arena, fault, &rows);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        ids[i] = rows.items[i].id;
    }
    if (e == ERR_NONE && rows.count > 0) {
        mongo_put_in(&these, "_id", ids, rows.count);
        e = mongo_delete_all(db_of(self), mails, &these, fault, &count);
    }
    if (e == ERR_NONE) {
        *out_count = (uint32_t)count;
    }
    return e;
}

/* ---- the store ---- */

static void store_destroy(struct mail_store *self)
{
    struct mongo_mail_store *store = (struct mongo_mail_store *)self;
    mongo_db_destroy(&store->db);
    mem_free(store);
}

static const struct mail_store_ops store_ops = {
    .position = store_position,
    .position_set = store_position_set,
    .add = store_add,
    .claim = store_claim,
    .get = store_get,
    .put = store_put,
    .purge = store_purge,
    .destroy = store_destroy,
};

enum err mail_store_mongo_new(struct mongo_pool *pool, int64_t now_ms, struct fault *fault, struct mail_store **out)
{
    struct mongo_mail_store *store = mem_alloc(sizeof *store);
    *store = (struct mongo_mail_store){{&store_ops, NULL, NULL}, mongo_db_new(pool)};
    enum err e = reader_begin(&store->base, now_ms, fault);
    if (e != ERR_NONE) {
        store_destroy(&store->base);
        return e;
    }
    *out = &store->base;
    return ERR_NONE;
}
