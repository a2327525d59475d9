/* What was answered, by request id, so that a request that comes again is known. */
#include "product-svc/store_sqlite.h"

enum err product_answer_find(struct product_store *self, struct product_act *act, enum product_answer *out,
                             struct text *out_body)
{
    bool row;
    sqlite3_stmt *find =
        product_prepare(self, act, "SELECT fingerprint, kind, body FROM answers WHERE request_id = ?1");
    if (!find) {
        return act->fault->code;
    }
    sqlite_bind_blob_at(find, 1, act->request_id);
    enum err e = product_step(self, act, find, &row);
    if (e != ERR_NONE || !row) {
        *out = ANSWER_NONE;
        return e;
    }
    if (text_equal(sqlite_text_at(find, 0, NULL), act->fingerprint)) {
        *out = (enum product_answer)sqlite_int_at(find, 1);
        *out_body = sqlite_text_at(find, 2, act->arena);
    } else {
        e = fault_set(act->fault, ERR_IDEMPOTENCY_KEY_REUSED, NULL);
    }
    (void)sqlite3_reset(find);
    return e;
}

enum err product_answer_keep(struct product_store *self, struct product_act *act, enum product_answer kind,
                             struct text body)
{
    sqlite3_stmt *keep = product_prepare(
        self, act, "INSERT INTO answers(request_id, fingerprint, kind, body, created_at) VALUES(?1, ?2, ?3, ?4, ?5)");
    if (!keep) {
        return act->fault->code;
    }
    sqlite_bind_blob_at(keep, 1, act->request_id);
    sqlite_bind_text_at(keep, 2, act->fingerprint);
    sqlite_bind_int_at(keep, 3, kind);
    sqlite_bind_blob_at(keep, 4, body);
    sqlite_bind_int_at(keep, 5, act->now_ms);
    return product_run(self, act, keep);
}

static enum err purge_with(struct product_store *self, struct product_act *act, const char *sql, int64_t before_ms,
                           int64_t *count)
{
    sqlite3_stmt *purge = product_prepare(self, act, sql);
    if (!purge) {
        return act->fault->code;
    }
    sqlite_bind_int_at(purge, 1, before_ms);
    sqlite_bind_int_at(purge, 2, PRODUCT_PURGE_MAX);
    enum err e = product_run(self, act, purge);
    *count += e == ERR_NONE ? sqlite_changes_of(((struct product_sqlite *)self)->db) : 0;
    return e;
}

enum err product_sqlite_purge(struct product_store *self, struct product_act *act, int64_t before_ms,
                              int64_t *out_count)
{
    int64_t count = 0;
    enum err e = purge_with(self, act,
                            "DELETE FROM answers WHERE rowid IN"
                            " (SELECT rowid FROM answers WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
                            before_ms, &count);
    if (e == ERR_NONE) {
        e = purge_with(self, act,
                       "DELETE FROM holds WHERE (order_id, product_id) IN"
                       " (SELECT order_id, product_id FROM holds WHERE state >= 2 AND changed_at < ?1"
                       "  ORDER BY changed_at LIMIT ?2)",
                       before_ms, &count);
    }
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}
