/* The event log and the dead letters as rows. */
#include "event-svc/archive.h"

#include <stdio.h>

#include "event-svc/store_parts.h"
#include "lib/base/id.h"

extern const struct sqlite_schema event_sqlite_schema;

static const struct archive_field entry_fields[] = {
    {"seq", "_id", ARCHIVE_INT},           {"tseq", "tseq", ARCHIVE_INT},
    {"time", "time", ARCHIVE_INT},         {"id", "id", ARCHIVE_TEXT},
    {"type", "type", ARCHIVE_TEXT},        {"subject", "subject", ARCHIVE_TEXT},
    {"source", "source", ARCHIVE_TEXT},    {"user_id", "user_id", ARCHIVE_TEXT},
    {"traceparent", "traceparent", ARCHIVE_TEXT}, {"data", "data", ARCHIVE_BYTES},
    {"private_data", "private_data", ARCHIVE_BYTES}, {0}};

static const struct archive_field letter_fields[] = {
    {"request_id", "_id", ARCHIVE_TEXT},   {"death", "death", ARCHIVE_INT},
    {"died", "died", ARCHIVE_INT},         {"gone", "gone", ARCHIVE_INT},
    {"route", "route", ARCHIVE_TEXT},      {"reason", "reason", ARCHIVE_TEXT},
    {"attempts", "attempts", ARCHIVE_INT}, {"flags", "flags", ARCHIVE_INT},
    {"priority", "priority", ARCHIVE_INT}, {"bytes", "bytes", ARCHIVE_INT},
    {"meta", "meta", ARCHIVE_BYTES},       {"body", "body", ARCHIVE_BYTES},
    {0}};

/* Nobody has taken it after a restore. */
static enum err letter_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    struct text id = {0};
    (void)arena;
    (void)fault;
    (void)!archive_get_text(row, "request_id", &id);
    bson_put_text(document, "request_id", id);
    bson_put_int(document, "age_ms", 0);
    bson_put_text(document, "taker", TEXT(""));
    bson_put_int(document, "taken_until", 0);
    return ERR_NONE;
}

static const struct archive_field stream_fields[] = {
    {"epoch", "epoch", ARCHIVE_INT}, {"published", "published", ARCHIVE_INT}, {0}};

static enum err topics_each(const bson_t *document, int64_t version, archive_visit *visit, void *user,
                            struct fault *fault)
{
    bson_t topics;
    bson_iter_t at;
    enum err e = ERR_NONE;
    (void)version;
    if (!bson_get_document(document, "topics", &topics) || !bson_iter_init(&at, &topics)) {
        return ERR_NONE;
    }
    while (e == ERR_NONE && bson_iter_next(&at)) {
        struct archive_row row = {0};
        char type[EVENT_TOPIC_SIZE];
        topic_of_key(bson_iter_key(&at), type);
        archive_put_text(&row, "type", ARCHIVE_TEXT, text_of(type));
        archive_put_int(&row, "tseq", bson_iter_as_int64(&at));
        e = visit(user, &row, fault);
    }
    return e;
}

static enum err topic_put(struct mongo_db *db, const struct archive_row *row, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    char path[TOPIC_PATH_SIZE];
    struct text type = {0};
    int64_t tseq = 0;
    bson_t part;
    bool put;
    if (!archive_get_text(row, "type", &type) || !archive_get_int(row, "tseq", &tseq)) {
        fault_cause(fault, "an archived type of events has no name or no number");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    stream_filter(&filter);
    mongo_put_exists(&filter, topic_path(type, path), false);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$inc", &part);
    bson_put_int(&part, "topic_count", 1);
    bson_append_document_end(&update, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_int(&part, path, tseq);
    bson_append_document_end(&update, &part);
    enum err e = stream_make(db, 1, fault);
    return e == ERR_NONE ? mongo_update(db, event_stream_collection, &filter, &update, fault, &put) : e;
}

/* Each type, with the tseq below which entries were dropped, if any were. */
static const char topic_select[] = "SELECT type, CASE WHEN EXISTS(SELECT 1 FROM entry e WHERE e.type = t.type) THEN 0 "
                                   "ELSE tseq END AS tseq FROM topic t"
                                   " ORDER BY type";

static const char topic_insert[] = "INSERT INTO topic(type, tseq) VALUES(:type, :tseq)"
                                   " ON CONFLICT(type) DO UPDATE SET tseq = max(tseq, excluded.tseq)";

static const struct archive_kind kinds[] = {
    {.name = "stream",
     .select = "SELECT epoch, published FROM stream",
     .collection = "event_stream",
     .id = "stream",
     .fields = stream_fields,
     .is_told = true},
    {.name = "entries",
     .select = "SELECT seq, tseq, time, id, type, subject, source, user_id, traceparent, data, private_data FROM entry"
               " ORDER BY seq",
     .inserts =
         {"INSERT INTO entry(seq, tseq, time, id, type, subject, source, user_id, traceparent, data, private_data)"
          " VALUES(:seq, :tseq, :time, :id, :type, :subject, :source, :user_id, :traceparent, :data, :private_data)",
          topic_insert},
     .collection = "event_log",
     .fields = entry_fields},
    {.name = "topics",
     .select = topic_select,
     .inserts = {topic_insert},
     .collection = "event_stream",
     .id = "stream",
     .each = topics_each,
     .put_document = topic_put},
    {.name = "letters",
     .select =
         "SELECT request_id, death, died, gone, route, reason, attempts, flags, priority, bytes, meta, body FROM letter"
         " ORDER BY request_id",
     .inserts =
         {"INSERT INTO letter(request_id, death, died, gone, route, reason, attempts, flags, priority, bytes, meta, "
          "body)"
          " VALUES(:request_id, :death, :died, :gone, :route, :reason, :attempts, :flags, :priority, :bytes, :meta,"
          " :body)"},
     .collection = "event_letters",
     .fields = letter_fields,
     .to_document = letter_to},
};

const struct archive_part event_archive = {"event", &event_sqlite_schema, &event_mongo_schema, kinds,
                                           ARRAY_COUNT(kinds)};

static const struct archive_kind *kind_named(const char *name)
{
    const struct archive_kind *kind = kinds;
    while (!text_is(text_of(kind->name), name)) {
        kind++;
    }
    return kind;
}

/* ---- going on as another log ---- */

static enum err stream_restart(struct archive *archive, int64_t epoch, int64_t published, struct fault *fault)
{
    struct sqlite_db *db = archive_sqlite(archive, &event_archive);
    if (db) {
        sqlite3_stmt *replace =
            sqlite_prepare(db, "INSERT OR REPLACE INTO stream(one, epoch, published) VALUES(1, ?1, ?2)", fault);
        if (!replace) {
            return ERR_SERVICE_UNAVAILABLE;
        }
        sqlite_bind_int_at(replace, 1, epoch);
        sqlite_bind_int_at(replace, 2, published);
        return sqlite_run(db, replace, fault);
    }
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool found;
    stream_filter(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    bson_put_int(&set, "epoch", epoch);
    bson_put_int(&set, "published", published);
    bson_append_document_end(&update, &set);
    enum err e = stream_make(archive_mongo(archive, &event_archive), epoch, fault);
    return e == ERR_NONE ? mongo_update(archive_mongo(archive, &event_archive), event_stream_collection, &filter,
                                        &update, fault, &found)
                         : e;
}

enum err event_archive_restart(struct archive *archive, const struct event_restart *restart, struct fault *fault)
{
    struct archive_row entry = {0}, topic = {0};
    uint8_t id[ID_SIZE];
    char name[ID_BASE32_SIZE], event_id[ID_BASE32_SIZE + 4];
    int64_t seq = restart->last_seq + EVENT_RESTORE_GAP;
    id_new(id);
    id_to_base32(id, name);
    snprintf(event_id, sizeof event_id, "evt_%s", name);
    archive_put_int(&entry, "seq", seq);
    archive_put_int(&entry, "tseq", restart->last_tseq + 1);
    archive_put_int(&entry, "time", restart->now_ms);
    archive_put_text(&entry, "id", ARCHIVE_TEXT, text_of(event_id));
    archive_put_text(&entry, "type", ARCHIVE_TEXT, TEXT(EVENT_RESTORED_TYPE));
    archive_put_text(&entry, "subject", ARCHIVE_TEXT, TEXT("shop"));
    archive_put_text(&entry, "source", ARCHIVE_TEXT, TEXT("zmart"));
    archive_put_text(&topic, "type", ARCHIVE_TEXT, TEXT(EVENT_RESTORED_TYPE));
    archive_put_int(&topic, "tseq", 0);
    enum err e = archive_put(archive, &event_archive, kind_named("topics"), &topic, fault);
    if (e == ERR_NONE) {
        e = archive_put(archive, &event_archive, kind_named("entries"), &entry, fault);
    }
    return e == ERR_NONE ? stream_restart(archive, restart->now_ms, seq, fault) : e;
}
