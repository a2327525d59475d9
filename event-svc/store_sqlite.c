/* The event log in one SQLite file. seq is the primary key and given by us: last + 1 within the writer's transaction.
 */
#include <stdlib.h>

#include "event-svc/rules.h"
#include "event-svc/store_parts.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

static const char *const migrations[] = {
    "CREATE TABLE stream(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL, published INTEGER NOT NULL)"
    " STRICT;"
    "CREATE TABLE topic(type TEXT PRIMARY KEY, tseq INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE entry(seq INTEGER PRIMARY KEY CHECK(seq > 0), tseq INTEGER NOT NULL, time INTEGER NOT NULL,"
    " id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, subject TEXT NOT NULL, source TEXT NOT NULL, user_id TEXT,"
    " traceparent TEXT, data BLOB, private_data BLOB) STRICT;"
    "CREATE INDEX entry_by_type ON entry(type, seq);"
    "CREATE INDEX entry_by_user ON entry(user_id, seq, type) WHERE user_id IS NOT NULL;",
    letters_sqlite_migration,
};
const struct sqlite_schema event_sqlite_schema = {"event.db", migrations, ARRAY_COUNT(migrations)};

static const char sql_epoch[] = "INSERT INTO stream VALUES(1, ?1, 0) ON CONFLICT DO NOTHING";
static const char sql_stream[] = "SELECT epoch, published, (SELECT COALESCE(MAX(seq), 0) FROM entry),"
                                 " (SELECT COALESCE(MIN(seq), 1) FROM entry) FROM stream";
static const char sql_mark[] = "UPDATE stream SET published = ?1 WHERE published <> ?1";
static const char sql_topics[] = "SELECT type, tseq FROM topic ORDER BY type LIMIT ?1";
static const char sql_topic_count[] = "SELECT COUNT(*) FROM topic";
static const char sql_topic_next[] = "INSERT INTO topic VALUES(?1, 1)"
                                     " ON CONFLICT(type) DO UPDATE SET tseq = tseq + 1 RETURNING tseq";
static const char sql_known[] = "SELECT seq FROM entry WHERE id = ?1";
static const char sql_insert[] =
    "INSERT INTO entry(seq, tseq, id, type, subject, source, time, user_id, traceparent, data, private_data)"
    " VALUES(?1, ?2, :id, :type, :subject, :source, :time, :user_id, :traceparent, :data, :private_data)";
static const char sql_range[] = "SELECT seq FROM entry WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
static const char sql_range_of_type[] =
    "SELECT seq FROM entry WHERE type = ?4 AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
static const char sql_range_of_user[] =
    "SELECT seq, type FROM entry WHERE user_id = ?4 AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
static const char sql_entry[] = "SELECT seq, tseq, id, type, subject, source, time, user_id, traceparent, data,"
                                " private_data FROM entry WHERE seq = ?1";
static const char sql_oldest[] = "SELECT seq, time FROM entry ORDER BY seq LIMIT ?1";
static const char sql_purge[] = "DELETE FROM entry WHERE seq <= ?1";

struct log_store {
    struct event_store base; /* first: the two are cast into each other */
    struct sqlite_db *db;
    struct event_tail tail;
    uint64_t tail_undone; /* sqlite_undone when the tail began */
};

static struct sqlite_db *db_of(struct event_store *self)
{
    return ((struct log_store *)self)->db;
}

static enum err store_failed(const struct fault *fault)
{
    return fault && fault->code != ERR_NONE ? fault->code : ERR_SERVICE_UNAVAILABLE;
}

/* First column of the only row; *out_found is false, and *out stays, when there is no row. */
static enum err number_read(struct sqlite_db *db, sqlite3_stmt *statement, struct fault *fault, bool *out_found,
                            int64_t *out)
{
    int64_t number = 0;
    bool found = false;
    enum sqlite_step_result step;
    while ((step = sqlite_step(db, statement, fault)) == SQLITE_STEP_ROW) {
        number = sqlite_int_at(statement, 0);
        found = true;
    }
    if (step == SQLITE_STEP_FAILED) {
        return store_failed(fault);
    }
    if (step == SQLITE_STEP_CONSTRAINT) {
        return fault_set(fault, ERR_CONFLICT, NULL);
    }
    *out_found = found;
    *out = found ? number : *out;
    return ERR_NONE;
}

static enum err log_stream(struct event_store *self, struct fault *fault, struct event_stream *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_stream, fault);
    struct event_stream stream = {0};
    enum sqlite_step_result step = SQLITE_STEP_FAILED;
    while (statement && (step = sqlite_step(db_of(self), statement, fault)) == SQLITE_STEP_ROW) {
        stream.epoch = sqlite_int_at(statement, 0);
        stream.published = sqlite_int_at(statement, 1);
        stream.head = sqlite_int_at(statement, 2);
        stream.oldest = sqlite_int_at(statement, 3);
    }
    if (step != SQLITE_STEP_DONE) {
        return store_failed(fault);
    }
    *out = stream;
    return ERR_NONE;
}

static enum err log_mark(struct event_store *self, int64_t published, struct fault *fault)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_mark, fault);
    if (!statement) {
        return store_failed(fault);
    }
    sqlite_bind_int_at(statement, 1, published);
    return sqlite_run(db_of(self), statement, fault);
}

static enum err log_topics(struct event_store *self, struct arena *arena, struct fault *fault, struct topic_rows *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db_of(self), sql_topics, fault);
    struct topic_rows rows = {.items = arena_alloc(arena, EVENT_TOPIC_MAX * sizeof *rows.items)};
    enum sqlite_step_result step = SQLITE_STEP_FAILED;
    if (statement) {
        sqlite_bind_int_at(statement, 1, EVENT_TOPIC_MAX);
    }
    while (statement && (step = sqlite_step(db_of(self), statement, fault)) == SQLITE_STEP_ROW) {
        rows.items[rows.count++] = (struct topic_head){.topic = sqlite_text_at(statement, 0, arena),
                                                       .tseq = sqlite_int_at(statement, 1)};
    }
    if (step != SQLITE_STEP_DONE) {
        return store_failed(fault);
    }
    *out = rows;
    return ERR_NONE;
}

/* ---- append ---- */

static enum err topic_next(struct sqlite_db *db, struct text type, struct fault *fault, int64_t *out_tseq)
{
    sqlite3_stmt *next = sqlite_prepare(db, sql_topic_next, fault);
    sqlite3_stmt *count = next ? sqlite_prepare(db, sql_topic_count, fault) : NULL;
    int64_t topic_count = 0;
    bool found;
    if (!count) {
        return store_failed(fault);
    }
    sqlite_bind_text_at(next, 1, type);
    enum err e = number_read(db, next, fault, &found, out_tseq);
    if (e == ERR_NONE && *out_tseq == 1) {
        e = number_read(db, count, fault, &found, &topic_count);
    }
    if (e == ERR_NONE && topic_count > EVENT_TOPIC_MAX) {
        return fault_set(fault, ERR_INVALID_BODY, "a stream has at most %d types of events", EVENT_TOPIC_MAX);
    }
    return e;
}

static void stored_note(struct log_store *log, const struct event_new *event, int64_t seq, int64_t tseq)
{
    uint64_t undone = sqlite_undone(log->db);
    if (log->tail.taken || log->tail.count == 0) {
        log->tail_undone = undone;
    } else if (log->tail_undone != undone) {
        tail_tear(&log->tail);
    }
    tail_add(&log->tail, event, seq, tseq);
}

static void log_fresh(struct event_store *self, struct event_rows *out)
{
    struct log_store *log = (struct log_store *)self;
    if (log->tail_undone != sqlite_undone(log->db)) {
        tail_tear(&log->tail);
    }
    *out = (struct event_rows){.items = log->tail.items, .count = tail_take(&log->tail)};
}

static enum err entry_insert(struct log_store *log, const struct event_new *event, int64_t seq, struct fault *fault)
{
    struct sqlite_db *db = log->db;
    int64_t tseq = 0;
    enum err e = topic_next(db, event->type, fault, &tseq);
    if (e != ERR_NONE) {
        return e;
    }
    sqlite3_stmt *insert = sqlite_prepare(db, sql_insert, fault);
    if (!insert) {
        return store_failed(fault);
    }
    AUTO(arena_release) struct arena arena = {0};
    sqlite_bind_record(insert, &event_new_record, event, &arena);
    sqlite_bind_int_at(insert, 1, seq);
    sqlite_bind_int_at(insert, 2, tseq);
    e = sqlite_run(db, insert, fault);
    if (e == ERR_NONE) {
        stored_note(log, event, seq, tseq);
    }
    return e;
}

static enum err log_append(struct event_store *self, const struct event_append *batch, struct fault *fault,
                           struct event_added *out)
{
    struct sqlite_db *db = db_of(self);
    struct event_stream stream;
    uint32_t new_count = 0;
    enum err e = log_stream(self, fault, &stream);
    for (uint32_t i = 0; e == ERR_NONE && i < batch->events.count; i++) {
        const struct event_new *event = &batch->events.items[i];
        int64_t known_seq = 0;
        bool known = false;
        sqlite3_stmt *statement = sqlite_prepare(db, sql_known, fault);
        if (!statement) {
            return store_failed(fault);
        }
        sqlite_bind_text_at(statement, 1, event->id);
        e = number_read(db, statement, fault, &known, &known_seq);
        if (e == ERR_NONE && !known) {
            e = entry_insert((struct log_store *)self, event, stream.head + ++new_count, fault);
        }
    }
    if (e == ERR_NONE) {
        *out = (struct event_added){new_count, stream.head + new_count};
    }
    return e;
}

/* ---- page ---- */

/* The positions that a page may show, found without touching a payload. */
struct positions {
    int64_t *items;
    uint32_t count;
    uint32_t max_count;
};

static bool type_listed(const struct event_filter *filter, struct text type)
{
    for (uint32_t i = 0; !filter->every_type && i < filter->types->count; i++) {
        if (text_equal(filter->types->items[i], type)) {
            return true;
        }
    }
    return filter->every_type;
}

/* Adds up to limit + 1 positions of one of the three range statements; key is its fourth parameter, if it has one. */
static enum err positions_add(struct sqlite_db *db, const char *sql, const struct event_filter *filter,
                              const struct text *key, struct fault *fault, struct positions *positions)
{
    sqlite3_stmt *statement = sqlite_prepare(db, sql, fault);
    bool of_user = sql == sql_range_of_user;
    uint32_t end = positions->count + filter->limit + 1;
    enum sqlite_step_result step = SQLITE_STEP_ROW;
    if (!statement) {
        return store_failed(fault);
    }
    sqlite_bind_int_at(statement, 1, filter->after);
    sqlite_bind_int_at(statement, 2, filter->last);
    sqlite_bind_int_at(statement, 3, of_user ? -1 : (int64_t)filter->limit + 1);
    if (key) {
        sqlite_bind_text_at(statement, 4, *key);
    }
    while (positions->count < end && (step = sqlite_step(db, statement, fault)) == SQLITE_STEP_ROW) {
        if (!of_user || type_listed(filter, sqlite_text_at(statement, 1, NULL))) {
            ASSERT(positions->count < positions->max_count);
            positions->items[positions->count++] = sqlite_int_at(statement, 0);
        }
    }
    (void)sqlite3_reset(statement);
    return step == SQLITE_STEP_ROW || step == SQLITE_STEP_DONE ? ERR_NONE : store_failed(fault);
}

static int position_order(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static enum err positions_find(struct sqlite_db *db, const struct event_filter *filter, struct arena *arena,
                               struct fault *fault, struct positions *out)
{
    bool by_type = filter->user_id.size == 0 && !filter->every_type;
    uint32_t range_count = by_type ? filter->types->count : 1;
    enum err e = ERR_NONE;
    out->max_count = range_count * (filter->limit + 1);
    out->items = arena_alloc(arena, out->max_count * sizeof *out->items + 1);
    if (filter->user_id.size > 0) {
        return positions_add(db, sql_range_of_user, filter, &filter->user_id, fault, out);
    }
    if (filter->every_type) {
        return positions_add(db, sql_range, filter, NULL, fault, out);
    }
    for (uint32_t i = 0; e == ERR_NONE && i < range_count; i++) {
        e = positions_add(db, sql_range_of_type, filter, &filter->types->items[i], fault, out);
    }
    qsort(out->items, out->count, sizeof *out->items, position_order);
    return e;
}

static enum err entry_read(struct sqlite_db *db, int64_t seq, struct arena *arena, struct fault *fault,
                           struct event_entry *out)
{
    sqlite3_stmt *statement = sqlite_prepare(db, sql_entry, fault);
    if (!statement) {
        return store_failed(fault);
    }
    sqlite_bind_int_at(statement, 1, seq);
    enum sqlite_step_result step = sqlite_step(db, statement, fault);
    if (step != SQLITE_STEP_ROW) {
        fault_cause(fault, "the index names seq %lld, the log has it not", (long long)seq);
        return step == SQLITE_STEP_DONE ? fault_set(fault, ERR_INTERNAL, NULL) : store_failed(fault);
    }
    enum err e = sqlite_read_record(statement, &event_entry_record, arena, fault, out);
    (void)sqlite3_reset(statement);
    return e;
}

static enum err log_page(struct event_store *self, const struct event_filter *filter, struct arena *arena,
                         struct fault *fault, struct event_rows *out)
{
    struct positions positions = {0};
    ASSERT(filter->limit >= 1 && filter->limit <= EVENT_BATCH_MAX);
    ASSERT(filter->every_type || filter->types->count <= EVENT_TOPIC_MAX);
    enum err e = positions_find(db_of(self), filter, arena, fault, &positions);
    if (e != ERR_NONE) {
        return e;
    }
    struct event_rows rows = {.items = arena_alloc(arena, filter->limit * sizeof *rows.items)};
    uint64_t size = 0;
    uint32_t wanted = positions.count < filter->limit ? positions.count : filter->limit;
    while (rows.count < wanted && size < EVENT_PAGE_SIZE_MAX) {
        struct event_entry *entry = &rows.items[rows.count];
        e = entry_read(db_of(self), positions.items[rows.count], arena, fault, entry);
        if (e != ERR_NONE) {
            return e;
        }
        size += entry->data.size + entry->private_data.size;
        rows.count++;
    }
    rows.has_more = rows.count < positions.count;
    *out = rows;
    return ERR_NONE;
}

/* ---- retention ---- */

static enum err log_purge(struct event_store *self, int64_t before_ms, uint32_t max_count, struct fault *fault,
                          uint32_t *out_count)
{
    struct sqlite_db *db = db_of(self);
    struct event_stream stream;
    enum err e = log_stream(self, fault, &stream);
    sqlite3_stmt *oldest = e == ERR_NONE ? sqlite_prepare(db, sql_oldest, fault) : NULL;
    sqlite3_stmt *purge = oldest ? sqlite_prepare(db, sql_purge, fault) : NULL;
    if (!purge) {
        return store_failed(fault);
    }
    int64_t last = 0;
    uint32_t count = 0;
    enum sqlite_step_result step;
    sqlite_bind_int_at(oldest, 1, max_count);
    while ((step = sqlite_step(db, oldest, fault)) == SQLITE_STEP_ROW && sqlite_int_at(oldest, 1) < before_ms &&
           sqlite_int_at(oldest, 0) < stream.head) {
        last = sqlite_int_at(oldest, 0);
        count++;
    }
    (void)sqlite3_reset(oldest);
    if (step != SQLITE_STEP_ROW && step != SQLITE_STEP_DONE) {
        return store_failed(fault);
    }
    if (count > 0) {
        sqlite_bind_int_at(purge, 1, last);
        e = sqlite_run(db, purge, fault);
    }
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}

/* ---- the lease: there is one process, which holds the folder's lock ---- */

static enum err log_lease(struct event_store *self, int64_t now_ms, struct fault *fault, bool *out_held)
{
    (void)self;
    (void)now_ms;
    (void)fault;
    *out_held = true;
    return ERR_NONE;
}

static enum err log_leave(struct event_store *self, struct fault *fault)
{
    (void)self;
    (void)fault;
    return ERR_NONE;
}

/* ---- the store ---- */

static void log_destroy(struct event_store *self)
{
    struct log_store *store = (struct log_store *)self;
    sqlite_db_destroy(&store->db);
    tail_release(&store->tail);
    mem_free(store);
}

static const struct event_store_ops log_ops = {
    .stream = log_stream,
    .append = log_append,
    .page = log_page,
    .topics = log_topics,
    .mark = log_mark,
    .purge = log_purge,
    .lease = log_lease,
    .leave = log_leave,
    .destroy = log_destroy,
    .fresh = log_fresh,
};

enum err event_store_open_sqlite(const struct store_config *config, bool writer, int64_t epoch,
                                 struct metrics *metrics, struct fault *fault, struct event_store **out)
{
    struct sqlite_db *db = NULL;
    enum err e = sqlite_db_open(config, &event_sqlite_schema, writer, metrics, fault, &db);
    if (e != ERR_NONE) {
        return e;
    }
    if (writer) {
        sqlite3_stmt *statement = sqlite_prepare(db, sql_epoch, fault);
        e = ERR_SERVICE_UNAVAILABLE;
        if (statement) {
            sqlite_bind_int_at(statement, 1, epoch);
            e = sqlite_run(db, statement, fault);
        }
    }
    if (e != ERR_NONE) {
        sqlite_db_destroy(&db);
        return e;
    }
    struct log_store *store = mem_alloc(sizeof *store);
    store->base = (struct event_store){&log_ops, &sqlite_unit, db, &letters_sqlite, false};
    store->db = db;
    *out = &store->base;
    return ERR_NONE;
}
