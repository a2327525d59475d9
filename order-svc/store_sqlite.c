/* Orders in one SQLite table. The order itself is one packed document; beside it stand the columns that indexes need.
 */
#include <limits.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/outbox_sqlite.h"
#include "order-svc/store.h"
#include "proto/fault.h"

/* due: the step that product-svc is to be told; NULL: none. The indexes over tombstones and over what is due hold only
 * what waits, so they stay small; the others are as long as the table. */
static const char migration_1[] =
    "CREATE TABLE orders("
    " id TEXT NOT NULL PRIMARY KEY,"
    " kind TEXT NOT NULL CHECK(kind IN ('placed', 'refused', 'void')),"
    " user_id TEXT, status TEXT, version INTEGER,"
    " created_at INTEGER NOT NULL,"
    " fingerprint TEXT,"
    " due TEXT CHECK(due IN ('confirm', 'release', 'commit')),"
    " document BLOB,"
    " CHECK((kind = 'void') = (fingerprint IS NULL)),"
    " CHECK((kind = 'void') = (document IS NULL)),"
    " CHECK((kind = 'placed') = (user_id IS NOT NULL AND status IS NOT NULL AND version IS NOT NULL))"
    ") STRICT;"
    "CREATE INDEX orders_by_time ON orders(created_at, id) WHERE kind = 'placed';"
    "CREATE INDEX orders_by_user ON orders(user_id, created_at, id) WHERE kind = 'placed';"
    "CREATE INDEX orders_by_status ON orders(status, created_at, id) WHERE kind = 'placed';"
    "CREATE INDEX orders_due ON orders(created_at) WHERE due IS NOT NULL;"
    "CREATE INDEX orders_tombstones ON orders(created_at) WHERE kind <> 'placed';" OUTBOX_SQL;

static const char *const migrations[] = {migration_1};
const struct sqlite_schema order_sqlite_schema = {"order.db", migrations, ARRAY_COUNT(migrations)};

struct order_store_sqlite {
    struct order_store base;
    struct sqlite_db *db;
};

static struct sqlite_db *db_of(struct order_store *self)
{
    return ((struct order_store_sqlite *)self)->db;
}

static void bind_due(sqlite3_stmt *statement, int index, enum holds_due due)
{
    if (due == HOLDS_NOTHING_DUE) {
        sqlite_bind_null_at(statement, index);
    } else {
        sqlite_bind_text_at(statement, index, text_of(enum_name(&holds_due_names, (int)due)));
    }
}

static enum err unreadable(struct fault *fault, const char *what)
{
    fault_cause(fault, "an order's row has an unreadable %s", what);
    return fault_set(fault, ERR_INTERNAL, NULL);
}

static enum err document_read(struct text document, struct arena *arena, struct fault *fault, struct order *out)
{
    return record_unpack(&order_record, document, arena, fault, out) == ERR_NONE ? ERR_NONE
                                                                                 : unreadable(fault, "document");
}

/* Columns: kind, due, fingerprint, document. */
static enum err entry_read(sqlite3_stmt *row, struct arena *arena, struct fault *fault, struct order_entry *out)
{
    struct order_entry entry = {.fingerprint = sqlite_text_at(row, 2, arena)};
    int value;
    if (!enum_find(&order_kind_names, sqlite_text_at(row, 0, NULL), &value)) {
        return unreadable(fault, "kind");
    }
    entry.kind = (enum order_kind)value;
    if (!sqlite_is_null_at(row, 1)) {
        if (!enum_find(&holds_due_names, sqlite_text_at(row, 1, NULL), &value)) {
            return unreadable(fault, "step");
        }
        entry.due = (enum holds_due)value;
    }
    struct text document = sqlite_text_at(row, 3, arena);
    if (entry.kind == ORDER_REFUSED) {
        entry.answer = document;
    } else if (entry.kind == ORDER_PLACED) {
        enum err e = document_read(document, arena, fault, &entry.order);
        if (e != ERR_NONE) {
            return e;
        }
    }
    *out = entry;
    return ERR_NONE;
}

static enum err sqlite_find(struct order_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct order_entry *out)
{
    struct sqlite_db *db = db_of(self);
    sqlite3_stmt *select =
        sqlite_prepare(db, "SELECT kind, due, fingerprint, document FROM orders WHERE id = ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_text_at(select, 1, id);
    switch (sqlite_step(db, select, fault)) {
    case SQLITE_STEP_ROW: {
        enum err e = entry_read(select, arena, fault, out);
        (void)sqlite3_reset(select);
        return e;
    }
    case SQLITE_STEP_DONE: *out = (struct order_entry){.kind = ORDER_ABSENT}; return ERR_NONE;
    case SQLITE_STEP_CONSTRAINT:
    case SQLITE_STEP_FAILED: break;
    }
    return fault->code;
}

/* An insert that says ON CONFLICT(id) DO NOTHING. */
static enum err insert_run(struct sqlite_db *db, sqlite3_stmt *insert, struct fault *fault, bool *out_taken)
{
    enum err e = sqlite_run(db, insert, fault);
    if (e == ERR_NONE) {
        *out_taken = sqlite_changes_of(db) == 0;
    }
    return e == ERR_CONFLICT ? fault_set(fault, ERR_INTERNAL, NULL) : e;
}

static enum err sqlite_place(struct order_store *self, const struct order *order, struct text fingerprint,
                             const struct event_new *event, struct fault *fault, bool *out_taken)
{
    struct sqlite_db *db = db_of(self);
    AUTO(arena_release) struct arena arena = {0};
    sqlite3_stmt *insert =
        sqlite_prepare(db,
                       "INSERT INTO orders(id, kind, user_id, status, version, created_at, fingerprint, due, document)"
                       " VALUES(?1, 'placed', ?2, ?3, ?4, ?5, ?6, 'confirm', ?7) ON CONFLICT(id) DO NOTHING",
                       fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_text_at(insert, 1, order->id);
    sqlite_bind_text_at(insert, 2, order->user_id);
    sqlite_bind_text_at(insert, 3, text_of(enum_name(&order_status_names, (int)order->status)));
    sqlite_bind_int_at(insert, 4, order->version);
    sqlite_bind_int_at(insert, 5, order->created_at);
    sqlite_bind_text_at(insert, 6, fingerprint);
    sqlite_bind_blob_at(insert, 7, record_pack_in(&order_record, order, &arena));
    bool taken = false;
    enum err e = insert_run(db, insert, fault, &taken);
    if (e == ERR_NONE && !taken) {
        e = outbox_sqlite_add(self->outbox, event, &arena, fault);
    }
    if (e == ERR_NONE) {
        *out_taken = taken;
    }
    return e;
}

static enum err sqlite_refuse(struct order_store *self, struct text id, const struct order_entry *tombstone,
                              int64_t now_ms, struct fault *fault, bool *out_taken)
{
    struct sqlite_db *db = db_of(self);
    ASSERT(tombstone->kind == ORDER_REFUSED || tombstone->kind == ORDER_VOID);
    sqlite3_stmt *insert = sqlite_prepare(db,
                                          "INSERT INTO orders(id, kind, created_at, fingerprint, due, document)"
                                          " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(id) DO NOTHING",
                                          fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_text_at(insert, 1, id);
    sqlite_bind_text_at(insert, 2, text_of(enum_name(&order_kind_names, (int)tombstone->kind)));
    sqlite_bind_int_at(insert, 3, now_ms);
    bind_due(insert, 5, tombstone->due);
    if (tombstone->kind == ORDER_REFUSED) {
        sqlite_bind_text_at(insert, 4, tombstone->fingerprint);
        sqlite_bind_blob_at(insert, 6, tombstone->answer);
    }
    return insert_run(db, insert, fault, out_taken);
}

static enum err sqlite_change(struct order_store *self, const struct order *order, enum holds_due due,
                              const struct event_new *event, struct fault *fault)
{
    struct sqlite_db *db = db_of(self);
    AUTO(arena_release) struct arena arena = {0};
    sqlite3_stmt *update =
        sqlite_prepare(db,
                       "UPDATE orders SET status = ?2, version = ?3, document = ?4, due = coalesce(?5, due)"
                       " WHERE id = ?1 AND kind = 'placed' AND version = ?3 - 1",
                       fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, 1, order->id);
    sqlite_bind_text_at(update, 2, text_of(enum_name(&order_status_names, (int)order->status)));
    sqlite_bind_int_at(update, 3, order->version);
    sqlite_bind_blob_at(update, 4, record_pack_in(&order_record, order, &arena));
    bind_due(update, 5, due);
    enum err e = sqlite_run(db, update, fault);
    if (e != ERR_NONE || sqlite_changes_of(db) == 0) {
        return e == ERR_NONE ? fault_set(fault, ERR_CONFLICT, NULL) : e;
    }
    return outbox_sqlite_add(self->outbox, event, &arena, fault);
}

static enum err sqlite_release(struct order_store *self, struct text id, struct fault *fault)
{
    struct sqlite_db *db = db_of(self);
    sqlite3_stmt *update =
        sqlite_prepare(db, "UPDATE orders SET due = 'release' WHERE id = ?1 AND kind <> 'placed'", fault);
    if (!update) {
        return fault->code;
    }
    sqlite_bind_text_at(update, 1, id);
    return sqlite_run(db, update, fault);
}

/* One text an index, so that each filter walks no more rows than it gives, or an index alone. */
#define PAGE_SQL(filter)                                                                                               \
    "SELECT document FROM orders WHERE kind = 'placed' AND " filter                                                    \
    "created_at >= ?1 AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4"

static const char *page_sql(bool of_user, bool of_status)
{
    if (of_user) {
        return of_status ? PAGE_SQL("user_id = ?5 AND +status = ?6 AND ") : PAGE_SQL("user_id = ?5 AND ");
    }
    return of_status ? PAGE_SQL("status = ?6 AND ") : PAGE_SQL("");
}

static enum err sqlite_page(struct order_store *self, const struct order_page_query *query, struct arena *arena,
                            struct fault *fault, struct order_row_list *out)
{
    struct sqlite_db *db = db_of(self);
    bool of_user = query->user_id.size > 0, of_status = query->status >= 0;
    sqlite3_stmt *select = sqlite_prepare(db, page_sql(of_user, of_status), fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, query->created_gte);
    sqlite_bind_int_at(select, 2, query->before_at);
    sqlite_bind_text_at(select, 3, query->before_id);
    sqlite_bind_int_at(select, 4, query->limit);
    if (of_user) {
        sqlite_bind_text_at(select, 5, query->user_id);
    }
    if (of_status) {
        sqlite_bind_text_at(select, 6, text_of(enum_name(&order_status_names, query->status)));
    }
    struct order_row_list list = {.items = arena_alloc(arena, (size_t)query->limit * sizeof *list.items)};
    enum sqlite_step_result step;
    while ((step = sqlite_step(db, select, fault)) == SQLITE_STEP_ROW) {
        struct text document = sqlite_text_at(select, 0, arena);
        enum err e = document_read(document, arena, fault, &list.items[list.count]);
        if (e != ERR_NONE) {
            (void)sqlite3_reset(select);
            return e;
        }
        list.count++;
    }
    if (step != SQLITE_STEP_DONE) {
        return fault->code;
    }
    *out = list;
    return ERR_NONE;
}

static enum err sqlite_due(struct order_store *self, int limit, struct arena *arena, struct fault *fault,
                           struct due_list *out)
{
    struct sqlite_db *db = db_of(self);
    sqlite3_stmt *select = sqlite_prepare(
        db, "SELECT id, fingerprint, due FROM orders WHERE due IS NOT NULL ORDER BY created_at LIMIT ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, limit);
    struct due_list list = {.items = arena_alloc(arena, (size_t)limit * sizeof *list.items)};
    enum sqlite_step_result step;
    while ((step = sqlite_step(db, select, fault)) == SQLITE_STEP_ROW) {
        int due;
        if (!enum_find(&holds_due_names, sqlite_text_at(select, 2, NULL), &due)) {
            (void)sqlite3_reset(select);
            return unreadable(fault, "step");
        }
        struct hold_order *item = &list.items[list.count++];
        *item = (struct hold_order){.order_id = sqlite_text_at(select, 0, arena),
                                    .step = holds_due_step((enum holds_due)due)};
        if (!sqlite_is_null_at(select, 1)) {
            item->fingerprint = sqlite_text_at(select, 1, arena);
            set_has(hold_order, item, fingerprint);
        }
    }
    if (step != SQLITE_STEP_DONE) {
        return fault->code;
    }
    *out = list;
    return ERR_NONE;
}

static enum err sqlite_settled(struct order_store *self, const struct due_list *list, struct fault *fault)
{
    struct sqlite_db *db = db_of(self);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct hold_order *item = &list->items[i];
        sqlite3_stmt *update = sqlite_prepare(db, "UPDATE orders SET due = NULL WHERE id = ?1 AND due = ?2", fault);
        if (!update) {
            return fault->code;
        }
        sqlite_bind_text_at(update, 1, item->order_id);
        sqlite_bind_text_at(update, 2, text_of(enum_name(&hold_step_names, (int)item->step)));
        enum err e = sqlite_run(db, update, fault);
        if (e != ERR_NONE) {
            return e;
        }
    }
    return ERR_NONE;
}

static enum err sqlite_purge(struct order_store *self, int64_t before_ms, int limit, struct fault *fault,
                             int *out_count)
{
    struct sqlite_db *db = db_of(self);
    sqlite3_stmt *erase = sqlite_prepare(db,
                                         "DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE kind <> 'placed'"
                                         " AND created_at < ?1 AND due IS NULL ORDER BY created_at LIMIT ?2)",
                                         fault);
    if (!erase) {
        return fault->code;
    }
    sqlite_bind_int_at(erase, 1, before_ms);
    sqlite_bind_int_at(erase, 2, limit);
    enum err e = sqlite_run(db, erase, fault);
    if (e == ERR_NONE) {
        *out_count = (int)sqlite_changes_of(db);
    }
    return e;
}

static void sqlite_destroy(struct order_store *self)
{
    outbox_source_destroy(&self->outbox);
    mem_free(self);
}

static const struct order_store_ops sqlite_ops = {sqlite_find,    sqlite_place,  sqlite_refuse, sqlite_change,
                                                  sqlite_release, sqlite_page,   sqlite_due,    sqlite_settled,
                                                  sqlite_purge,   sqlite_destroy};

struct order_store *order_store_sqlite_new(struct sqlite_db *db)
{
    struct order_store_sqlite *self = mem_alloc(sizeof *self);
    self->base = (struct order_store){&sqlite_ops, outbox_sqlite_new(db)};
    self->db = db;
    return &self->base;
}
