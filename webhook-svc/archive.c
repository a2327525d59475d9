/* Webhooks, their deliveries, and how far the log was read, as rows. */
#include "webhook-svc/archive.h"

#include "webhook-svc/store.h"

extern const struct sqlite_schema webhook_sqlite_schema;

static const struct archive_field id_field[] = {{"id", "_id", ARCHIVE_TEXT}, {0}};
static const struct archive_field reader_fields[] = {{"position", "position", ARCHIVE_INT}, {0}};

/* The record's id is the document's, too. */
static void id_drop(struct archive_row *row)
{
    row->count = 0;
}

static enum err webhook_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    id_drop(row);
    return archive_take_record(document, "webhook", &webhook_kept_record, arena, fault, row);
}

static enum err webhook_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    return archive_give_record(row, "webhook", &webhook_kept_record, arena, fault, document);
}

static enum err delivery_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    id_drop(row);
    return archive_take_record(document, "delivery", &delivery_kept_record, arena, fault, row);
}

static enum err delivery_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    int64_t due_at;
    if (archive_get_int(row, "next_at", &due_at)) {
        bson_put_int(document, "due_at", due_at);
    }
    return archive_give_record(row, "delivery", &delivery_kept_record, arena, fault, document);
}

static enum err reader_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    (void)row;
    (void)arena;
    (void)fault;
    bson_put_text(document, "_id", TEXT("webhook"));
    return ERR_NONE;
}

static const struct archive_kind kinds[] = {
    {.name = "webhooks",
     .select = "SELECT * FROM webhook ORDER BY id",
     .inserts =
         {"INSERT INTO webhook(id, url, types, description, active, stopped, failures, created_at, updated_at, version,"
          " waited, keys, fingerprint, quiet_until) VALUES(:id, :url, :types, :description, :active, :stopped, "
          ":failures,"
          " :created_at, :updated_at, :version, :waited, :keys, :fingerprint, :quiet_until)"},
     .collection = "webhooks",
     .fields = id_field,
     .from_document = webhook_from,
     .to_document = webhook_to},
    {.name = "deliveries",
     .select = "SELECT * FROM delivery ORDER BY id",
     .inserts =
         {"INSERT INTO delivery(id, webhook_id, event_id, type, state, tries, next_at, attempts, created_at, seq, body,"
          " request) VALUES(:id, :webhook_id, :event_id, :type, :state, :tries, :next_at, :attempts, :created_at,"
          " :seq, :body, :request)"},
     .collection = "deliveries",
     .fields = id_field,
     .from_document = delivery_from,
     .to_document = delivery_to},
    {.name = "reader",
     .select = "SELECT position FROM reader",
     .inserts = {"INSERT OR REPLACE INTO reader(one, position) VALUES(1, :position)"},
     .collection = "log_readers",
     .id = "webhook",
     .fields = reader_fields,
     .to_document = reader_to,
     .is_made = true},
};

const struct archive_part webhook_archive = {"webhook", &webhook_sqlite_schema, &webhook_mongo_schema, kinds,
                                             ARRAY_COUNT(kinds)};
