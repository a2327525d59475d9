/* The event log on MongoDB: opening, and appending. A unit of work collects events; its end inserts them in order as
 * head + 1, + 2, ... Another process that was faster makes that a duplicate key: then what came in between is read, and
 * the rest is tried again behind it. An event id that the log has already is a duplicate key too, and is skipped. */
#include <stdio.h>
#include <time.h>

#include "event-svc/store_parts.h"
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum {
    INSERT_MAX = 1000,    /* entries in one command */
    TRIES_MAX = 50,       /* of an insert that others come before */
    TRY_PAUSE_MS = 5,     /* when the other's entry is not a majority's yet */
    LOOKUP_MAX = 1000     /* ids asked for at once */
};

const char event_log_collection[] = "event_log";
const char event_stream_collection[] = "event_stream";

static const struct mongo_index indexes[] = {
    {event_log_collection, "event_id", {"id"}, true, false},
    {event_log_collection, "type", {"type", "_id"}, false, false},
    {event_log_collection, "user", {"user_id", "_id"}, false, false},
    {"event_letters", "age", {"gone", "-died", "_id"}, false, false},
};

const struct mongo_schema event_mongo_schema = {
    .service = "event", .version = 1, .indexes = indexes, .index_count = ARRAY_COUNT(indexes)};

struct log_mongo *log_of(struct event_store *self)
{
    return (struct log_mongo *)self;
}

void stream_filter(bson_t *out)
{
    bson_put_text(out, "_id", TEXT("stream"));
}

const char *topic_path(struct text type, char out[TOPIC_PATH_SIZE])
{
    int size = snprintf(out, TOPIC_PATH_SIZE, "topics.");
    for (uint32_t i = 0; i < type.size && size + 1 < TOPIC_PATH_SIZE; i++) {
        out[size++] = type.data[i] == '.' ? ':' : type.data[i]; /* a dot would be a path of its own */
    }
    out[size] = '\0';
    return out;
}

struct topic_tail *topic_known(struct log_known *known, struct text type)
{
    for (uint32_t i = 0; i < known->topic_count; i++) {
        if (text_equal(text_of(known->topics[i].type), type)) {
            return &known->topics[i];
        }
    }
    return NULL;
}

/* ---- collecting ---- */

/* Makes the type one of the stream's, at most EVENT_TOPIC_MAX, whoever else does the same. */
static enum err topic_register(struct log_mongo *log, struct text type, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    char path[TOPIC_PATH_SIZE];
    bson_t part;
    bool registered = false;
    stream_filter(&filter);
    mongo_put_compare(&filter, "topic_count", "$lt", EVENT_TOPIC_MAX);
    mongo_put_exists(&filter, topic_path(type, path), false);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$inc", &part);
    bson_put_int(&part, "topic_count", 1);
    bson_append_document_end(&update, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_int(&part, path, 0);
    bson_append_document_end(&update, &part);
    enum err e = mongo_update(log->db, event_stream_collection, &filter, &update, fault, &registered);
    log->known.valid = false; /* the type is among the stream's now, or there are too many */
    if (e == ERR_NONE) {
        e = log_learn(log, fault);
    }
    if (e == ERR_NONE && !topic_known(&log->known, type)) {
        return fault_set(fault, ERR_INVALID_BODY, "a stream has at most %d types of events", EVENT_TOPIC_MAX);
    }
    return e;
}

/* Which of the events the log has: *out_known[i] is set for those. */
static enum err known_find(struct log_mongo *log, const struct event_new *const *events, uint32_t count,
                           struct fault *fault, bool *out_known)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct text *ids = arena_alloc(&arena, count * sizeof *ids + 1);
    struct mongo_rows rows;
    const bson_t *row;
    struct text id;
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = events[i]->id;
    }
    mongo_put_in(&filter, "id", ids, count);
    bson_put_int(&projection, "id", 1);
    const struct mongo_query query = {.collection = event_log_collection,
                                      .filter = &filter,
                                      .projection = &projection,
                                      .limit = count};
    mongo_find(log->db, &query, &rows);
    while (mongo_next(&rows, &row)) {
        for (uint32_t i = 0; bson_get_text(row, "id", NULL, &id) && i < count; i++) {
            out_known[i] = out_known[i] || text_equal(id, ids[i]);
        }
    }
    return mongo_rows_end(&rows, fault);
}

static void pending_add(struct log_mongo *log, const struct event_new *event)
{
    if (log->pending_count == log->pending_max) {
        log->pending_max = log->pending_max ? log->pending_max * 2 : EVENT_BATCH_MAX;
        log->pending = mem_grow(log->pending, log->pending_max * sizeof *log->pending);
    }
    log->pending[log->pending_count++] = event;
}

static bool is_repeated(const struct event_append *batch, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++) {
        if (text_equal(batch->events.items[i].id, batch->events.items[at].id)) {
            return true;
        }
    }
    return false;
}

static enum err mongo_log_append(struct event_store *self, const struct event_append *batch, struct fault *fault,
                                 struct event_added *out)
{
    struct log_mongo *log = log_of(self);
    const struct event_new *events[EVENT_BATCH_MAX] = {NULL};
    bool known[EVENT_BATCH_MAX] = {false};
    uint32_t count = batch->events.count;
    uint32_t before = log->pending_count;
    ASSERT(count <= EVENT_BATCH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        events[i] = &batch->events.items[i];
    }
    enum err e = log->known.valid ? ERR_NONE : log_learn(log, fault);
    if (e == ERR_NONE) {
        e = known_find(log, events, count, fault, known);
    }
    for (uint32_t i = 0; e == ERR_NONE && i < count; i++) {
        if (!known[i] && !is_repeated(batch, i)) {
            e = topic_known(&log->known, events[i]->type) ? ERR_NONE : topic_register(log, events[i]->type, fault);
            pending_add(log, events[i]);
        }
    }
    if (e != ERR_NONE) {
        log->pending_count = before;
        return e;
    }
    *out = (struct event_added){log->pending_count - before, log->known.head + log->pending_count};
    return ERR_NONE;
}

/* ---- storing ---- */

/* The next count pending events as entries behind the head that we know. The topics count on. */
static struct mongo_bulk *insert_make(struct log_mongo *log, const struct event_new *const *events, uint32_t count)
{
    struct mongo_bulk *bulk = mongo_bulk_new(log->db, event_log_collection, true);
    for (uint32_t i = 0; i < count; i++) {
        AUTO(bson_destroy) bson_t entry = BSON_INITIALIZER;
        struct topic_tail *topic = topic_known(&log->known, events[i]->type);
        ASSERT(topic);
        bson_put_int(&entry, "_id", log->known.head + i + 1);
        bson_put_int(&entry, "tseq", ++topic->tseq);
        bson_put_fields(&entry, &event_new_record, events[i]);
        mongo_bulk_insert(bulk, &entry);
        tail_add(&log->tail, events[i], log->known.head + i + 1, topic->tseq);
    }
    return bulk;
}

/* Somebody else has a seq of ours, or the log has an event: reads what came, and drops the events that it has. */
static enum err pending_review(struct log_mongo *log, uint32_t done, struct fault *fault)
{
    int64_t head = log->known.head;
    uint32_t kept = done;
    enum err e = log_learn(log, fault);
    for (uint32_t at = done; e == ERR_NONE && at < log->pending_count; at += LOOKUP_MAX) {
        bool known[LOOKUP_MAX] = {false};
        uint32_t left = log->pending_count - at;
        uint32_t count = left < LOOKUP_MAX ? left : LOOKUP_MAX;
        e = known_find(log, log->pending + at, count, fault, known);
        for (uint32_t i = 0; e == ERR_NONE && i < count; i++) {
            bool twice = false; /* the same event in two appends of this unit */
            for (uint32_t k = at; !known[i] && !twice && k < at + i; k++) {
                twice = text_equal(log->pending[k]->id, log->pending[at + i]->id);
            }
            if (!known[i] && !twice) {
                log->pending[kept++] = log->pending[at + i];
            }
        }
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (log->known.head == head && kept == log->pending_count) {
        nanosleep(&(struct timespec){.tv_nsec = TRY_PAUSE_MS * 1000000L}, NULL);
    }
    log->pending_count = kept;
    return ERR_NONE;
}

static enum err pending_store(struct log_mongo *log, struct fault *fault)
{
    uint32_t done = 0;
    int tries = 0;
    while (done < log->pending_count) {
        uint32_t left = log->pending_count - done;
        uint32_t count = left < INSERT_MAX ? left : INSERT_MAX;
        struct log_known before = log->known;
        struct mongo_bulk *bulk = insert_make(log, log->pending + done, count);
        enum err e = mongo_bulk_run(&bulk, fault, NULL);
        if (e == ERR_NONE) {
            done += count;
            log->known.head += count;
            continue;
        }
        log->known = before;
        tail_tear(&log->tail);
        if (e != ERR_CONFLICT) {
            log->known.valid = false; /* what it did is not known */
            return e;
        }
        if (++tries > TRIES_MAX) {
            fault_cause(fault, "others appended first, %d times", TRIES_MAX);
            return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
        }
        e = pending_review(log, done, fault);
        if (e != ERR_NONE) {
            log->known.valid = false;
            return e;
        }
        fault_init(fault, fault->arena);
    }
    return ERR_NONE;
}

/* ---- the unit of work ---- */

static enum err unit_begin(void *handle, bool writes, struct fault *fault)
{
    struct log_mongo *log = handle;
    (void)writes;
    (void)fault;
    log->pending_count = 0;
    log->saved_count = 0;
    return ERR_NONE;
}

static enum err unit_commit(void *handle, struct fault *fault)
{
    struct log_mongo *log = handle;
    enum err e = pending_store(log, fault);
    log->pending_count = 0;
    return e;
}

static void unit_rollback(void *handle)
{
    ((struct log_mongo *)handle)->pending_count = 0;
}

static enum err unit_savepoint(void *handle, struct fault *fault)
{
    struct log_mongo *log = handle;
    (void)fault;
    log->saved_count = log->pending_count;
    return ERR_NONE;
}

static enum err unit_release(void *handle, struct fault *fault)
{
    (void)handle;
    (void)fault;
    return ERR_NONE;
}

static void unit_undo(void *handle)
{
    struct log_mongo *log = handle;
    log->pending_count = log->saved_count;
}

static bool unit_broken(void *handle)
{
    (void)handle;
    return false;
}

static const struct unit_of_work log_unit = {unit_begin,   unit_commit, unit_rollback, unit_savepoint,
                                             unit_release, unit_undo,   unit_broken};

static void mongo_log_fresh(struct event_store *self, struct event_rows *out)
{
    struct event_tail *tail = &log_of(self)->tail;
    *out = (struct event_rows){.items = tail->items, .count = tail_take(tail)};
}

/* ---- opening ---- */

static void mongo_log_destroy(struct event_store *self)
{
    struct log_mongo *log = log_of(self);
    mongo_db_destroy(&log->db);
    tail_release(&log->tail);
    mem_free(log->pending);
    mem_free(log);
}

static const struct event_store_ops log_ops = {
    .stream = mongo_log_stream,
    .append = mongo_log_append,
    .page = mongo_log_page,
    .topics = mongo_log_topics,
    .mark = mongo_log_mark,
    .purge = mongo_log_purge,
    .lease = mongo_log_lease,
    .leave = mongo_log_leave,
    .destroy = mongo_log_destroy,
    .fresh = mongo_log_fresh,
};

enum err stream_make(struct mongo_db *db, int64_t epoch, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bson_t part;
    bool was_there;
    stream_filter(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$setOnInsert", &set);
    bson_put_int(&set, "epoch", epoch);
    bson_put_int(&set, "published", 0);
    bson_put_int(&set, "topic_count", 0);
    BSON_APPEND_DOCUMENT_BEGIN(&set, "topics", &part);
    bson_append_document_end(&set, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&set, "lease", &part);
    bson_put_text(&part, "holder", TEXT(""));
    bson_put_int(&part, "fence", 0);
    bson_put_int(&part, "beat", 0);
    bson_append_document_end(&set, &part);
    bson_append_document_end(&update, &set);
    enum err e = mongo_upsert(db, event_stream_collection, &filter, &update, fault, &was_there);
    return e == ERR_CONFLICT ? ERR_NONE : e; /* two at once: one of them made it */
}

enum err event_store_open_mongo(struct mongo_pool *pool, bool writer, int64_t epoch, struct fault *fault,
                                struct event_store **out)
{
    uint8_t id[ID_SIZE];
    struct log_mongo *log = mem_alloc(sizeof *log);
    log->base = (struct event_store){&log_ops, &log_unit, log, &letters_mongo, true};
    log->db = mongo_db_new(pool);
    id_new(id);
    id_to_hex(id, log->holder);
    enum err e = writer ? stream_make(log->db, epoch, fault) : ERR_NONE;
    if (e != ERR_NONE) {
        mongo_log_destroy(&log->base);
        return e;
    }
    *out = &log->base;
    return ERR_NONE;
}
