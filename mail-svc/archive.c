/* Mails, and how far the log was read, as rows. */
#include "mail-svc/archive.h"

#include "mail-svc/store.h"

extern const struct sqlite_schema mail_sqlite_schema;

static const struct archive_field id_field[] = {{"id", "_id", ARCHIVE_TEXT}, {0}};
static const struct archive_field reader_fields[] = {
    {"position", "position", ARCHIVE_INT}, {"since", "since", ARCHIVE_INT}, {0}};

static enum err mail_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    row->count = 0; /* the record's id is the document's, too */
    return archive_take_record(document, "mail", &mail_record, arena, fault, row);
}

static enum err mail_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    int64_t due_at;
    if (archive_get_int(row, "next_at", &due_at)) {
        bson_put_int(document, "due_at", due_at);
    }
    return archive_give_record(row, "mail", &mail_record, arena, fault, document);
}

static enum err reader_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    (void)row;
    (void)arena;
    (void)fault;
    bson_put_text(document, "_id", TEXT("mail"));
    return ERR_NONE;
}

static const struct archive_kind kinds[] = {
    {.name = "mails",
     .select = "SELECT * FROM mail ORDER BY id",
     .inserts = {"INSERT INTO mail(id, type, user_id, event_at, tries, next_at, data)"
                 " VALUES(:id, :type, :user_id, :event_at, :tries, :next_at, :data)"},
     .collection = "mails", .fields = id_field, .from_document = mail_from, .to_document = mail_to},
    {.name = "reader",
     .select = "SELECT position, since FROM reader",
     .inserts = {"INSERT OR REPLACE INTO reader(one, position, since) VALUES(1, :position, :since)"},
     .collection = "log_readers", .id = "mail", .fields = reader_fields, .to_document = reader_to, .is_made = true},
};

const struct archive_part mail_archive = {"mail", &mail_sqlite_schema, &mail_mongo_schema, kinds, ARRAY_COUNT(kinds)};
