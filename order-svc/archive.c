/* Orders and tombstones as rows. `document` is the packed order, or the packed answer of a refusal; created_at of a
 * tombstone is when it was made. */
#include "order-svc/archive.h"

#include "order-svc/store.h"
#include "proto/order.h"

static const char orders[] = "orders";

static const struct archive_field fields[] = {{"id", "_id", ARCHIVE_TEXT},
                                              {"kind", "kind", ARCHIVE_TEXT},
                                              {"fingerprint", "fingerprint", ARCHIVE_TEXT},
                                              {"due", "due", ARCHIVE_TEXT},
                                              {0}};

static enum err from_document(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    int64_t made_at;
    struct text answer;
    if (bson_get_int(document, "void_at", &made_at)) {
        archive_put_int(row, "created_at", made_at);
        if (bson_get_bytes(document, "answer", NULL, &answer)) {
            archive_put_text(row, "document", ARCHIVE_BYTES, answer);
        }
        return ERR_NONE;
    }
    struct order *order = arena_alloc(arena, sizeof *order);
    enum err e = bson_read_record_at(document, "order", &order_record, arena, fault, order);
    if (e == ERR_NONE) {
        archive_put_text(row, "user_id", ARCHIVE_TEXT, order->user_id);
        archive_put_text(row, "status", ARCHIVE_TEXT, text_of(enum_name(&order_status_names, (int)order->status)));
        archive_put_int(row, "version", order->version);
        archive_put_int(row, "created_at", order->created_at);
        archive_put_text(row, "document", ARCHIVE_BYTES, record_pack_in(&order_record, order, arena));
    }
    return e;
}

static enum err to_document(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    struct text kind = {0}, packed = {0};
    int64_t created_at = 0;
    bool has_packed = archive_get_text(row, "document", &packed);
    if (!archive_get_text(row, "kind", &kind) || !archive_get_int(row, "created_at", &created_at)) {
        fault_cause(fault, "an archived order has no kind or no time");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    if (archive_find(row, "due")) {
        bson_put_int(document, "due_at", created_at);
    }
    if (text_is(kind, "placed")) {
        struct order *order = arena_alloc(arena, sizeof *order);
        if (!has_packed || record_unpack(&order_record, packed, arena, NULL, order) != ERR_NONE) {
            fault_cause(fault, "an archived order cannot be read");
            return fault_set(fault, ERR_INTERNAL, NULL);
        }
        bson_put_record(document, "order", &order_record, order);
        return ERR_NONE;
    }
    bson_put_int(document, "void_at", created_at);
    if (has_packed) {
        bson_put_bytes(document, "answer", packed);
    }
    return ERR_NONE;
}

static const struct archive_kind kinds[] = {
    {.name = "orders",
     .select =
         "SELECT id, kind, user_id, status, version, created_at, fingerprint, due, document FROM orders ORDER BY id",
     .inserts = {"INSERT INTO orders(id, kind, user_id, status, version, created_at, fingerprint, due, document)"
                 " VALUES(:id, :kind, :user_id, :status, :version, :created_at, :fingerprint, :due, :document)"},
     .collection = orders,
     .fields = fields,
     .from_document = from_document,
     .to_document = to_document},
    {.name = "outbox", .select = "SELECT event FROM outbox ORDER BY position", .collection = orders, .is_outbox = true},
};

const struct archive_part order_archive = {"order", &order_sqlite_schema, &order_mongo_schema, kinds,
                                           ARRAY_COUNT(kinds)};

enum err order_archive_settled(struct archive *archive, struct fault *fault, int64_t *out)
{
    struct sqlite_db *db = archive_sqlite(archive, &order_archive);
    if (db) {
        sqlite3_stmt *settle = sqlite_prepare(db, "UPDATE orders SET due = NULL WHERE due IS NOT NULL", fault);
        enum err e = settle ? sqlite_run(db, settle, fault) : ERR_SERVICE_UNAVAILABLE;
        *out = e == ERR_NONE ? sqlite_changes_of(db) : *out;
        return e;
    }
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    static const char *const names[] = {"due", "due_at", NULL};
    mongo_put_compare(&filter, "due_at", "$gte", 0);
    mongo_put_unset(&update, names);
    return mongo_update_all(archive_mongo(archive, &order_archive), orders, &filter, &update, fault, out);
}
