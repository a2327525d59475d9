/* Mails in MongoDB:
 *
 *     mails       {_id, due_at, mail: {...}}     due_at only until it has ended
 *     log_readers {_id: "mail", position, since}
 *
 * Each verb is one act on one document. Mails are named after their events, so that a page of the log that is taken
 * twice makes none twice; the position is stored after what follows from the page. */
#include "lib/base/mem.h"
#include "lib/store/due_mongo.h"
#include "mail-svc/store.h"

static const char mails[] = "mails";
static const char reader[] = "mail";
static const struct due_kind kind = {mails, "mail", &mail_record};

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

static enum err store_position(struct mail_store *self, struct fault *fault, int64_t *out, int64_t *out_since_ms)
{
    return log_reader_position(db_of(self), reader, fault, out, out_since_ms);
}

static enum err store_position_set(struct mail_store *self, int64_t position, struct fault *fault)
{
    return log_reader_position_set(db_of(self), reader, position, fault);
}

static enum err store_add(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    bool is_new;
    return due_add(db_of(self), &kind, mail, fault, &is_new);
}

static enum err store_claim(struct mail_store *self, const struct mail_claim *claim, struct arena *arena,
                            struct fault *fault, struct mail_rows *out)
{
    struct mail_rows rows = {.items = arena_alloc(arena, claim->limit * sizeof *rows.items)};
    const struct due_claim due = {.now_ms = claim->now_ms, .until_ms = claim->until_ms, .limit = claim->limit};
    enum err e = due_claim(db_of(self), &kind, &due, arena, fault, rows.items, &rows.count);
    if (e == ERR_NONE) {
        *out = rows;
    }
    return e;
}

static enum err store_get(struct mail_store *self, struct text id, struct arena *arena, struct fault *fault,
                          struct mail *out)
{
    return mongo_find_record(db_of(self), mails, id, "mail", &mail_record, arena, fault, out);
}

static enum err store_put(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    return due_put(db_of(self), &kind, mail, fault);
}

static enum err store_purge(struct mail_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                            uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    mongo_put_compare(&filter, "mail.event_at", "$lt", before_ms);
    mongo_put_exists(&filter, "due_at", false);
    bson_put_int(&sort, "mail.event_at", 1);
    const struct mongo_query query = {.collection = mails, .filter = &filter, .sort = &sort, .limit = limit};
    return mongo_delete_found(db_of(self), &query, fault, out_count);
}

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
    enum err e = log_reader_begin(store->db, reader, now_ms, fault);
    if (e != ERR_NONE) {
        store_destroy(&store->base);
        return e;
    }
    *out = &store->base;
    return ERR_NONE;
}
