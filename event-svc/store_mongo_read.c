/* Reading the event log on MongoDB, all of it as a majority has it, and dropping what is too old. */
#include <stdlib.h>
#include <string.h>

#include "event-svc/store_parts.h"
#include "lib/base/invariant.h"

/* {_id: value} of the sort by it */
static void by_seq(bson_t *out, int direction)
{
    bson_put_int(out, "_id", direction);
}

/* {_id: {$gt: after, $lte: last}} */
static void range_put(bson_t *filter, int64_t after, int64_t last)
{
    bson_t part;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &part);
    bson_put_int(&part, "$gt", after);
    bson_put_int(&part, "$lte", last);
    bson_append_document_end(filter, &part);
}

enum err stream_read(struct log_mongo *log, bool newest, struct arena *arena, struct fault *fault, bson_t *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bool found = false;
    stream_filter(&filter);
    const struct mongo_query query = {.collection = event_stream_collection,
                                      .filter = &filter,
                                      .limit = 1,
                                      .newest = newest};
    enum err e = mongo_find_one(log->db, &query, arena, fault, out, &found);
    if (e == ERR_NONE && !found) {
        fault_cause(fault, "the event log has entries and no head: its document in event_stream is gone");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return e;
}

/* A number of the log's first or last entry; *out stays if it is empty. */
static enum err end_read(struct log_mongo *log, const bson_t *filter, int direction, const char *field,
                         struct fault *fault, int64_t *out)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    bson_t entry;
    bool found = false;
    by_seq(&sort, direction);
    bson_put_int(&projection, field, 1);
    const struct mongo_query query = {.collection = event_log_collection,
                                      .filter = filter,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = 1};
    enum err e = mongo_find_one(log->db, &query, &arena, fault, &entry, &found);
    if (e == ERR_NONE && found && !bson_get_int(&entry, field, out)) {
        fault_cause(fault, "an entry of the event log has no %s", field);
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return e;
}

enum err mongo_log_stream(struct event_store *self, struct fault *fault, struct event_stream *out)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    struct log_mongo *log = log_of(self);
    struct event_stream stream = {.oldest = 1};
    bson_t document;
    enum err e = stream_read(log, false, &arena, fault, &document);
    if (e == ERR_NONE &&
        !(bson_get_int(&document, "epoch", &stream.epoch) && bson_get_int(&document, "published", &stream.published))) {
        fault_cause(fault, "the event log's document in event_stream has no epoch");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    if (e == ERR_NONE) {
        e = end_read(log, &all, -1, "_id", fault, &stream.head);
    }
    if (e == ERR_NONE) {
        e = end_read(log, &all, 1, "_id", fault, &stream.oldest);
    }
    if (e == ERR_NONE) {
        *out = stream;
    }
    return e;
}

/* ---- what a handle knows ---- */

static void topic_raise(struct log_known *known, struct text type, int64_t tseq)
{
    struct topic_tail *topic = topic_known(known, type);
    if (!topic && known->topic_count < EVENT_TOPIC_MAX) {
        topic = &known->topics[known->topic_count++];
        memcpy(topic->type, type.data, type.size < EVENT_TOPIC_SIZE ? type.size : EVENT_TOPIC_SIZE - 1);
    }
    if (topic && topic->tseq < tseq) {
        topic->tseq = tseq;
    }
}

void topic_of_key(const char *key, char out[EVENT_TOPIC_SIZE])
{
    size_t size = 0;
    for (; key[size] && size + 1 < EVENT_TOPIC_SIZE; size++) {
        out[size] = key[size] == ':' ? '.' : key[size];
    }
    out[size] = '\0';
}

/* The stream's types, each at least where its floor is. */
static enum err floors_read(struct log_mongo *log, struct fault *fault, struct log_known *out)
{
    AUTO(arena_release) struct arena arena = {0};
    bson_t document;
    bson_t topics;
    bson_iter_t at;
    enum err e = stream_read(log, false, &arena, fault, &document);
    if (e != ERR_NONE || !bson_get_document(&document, "topics", &topics) || !bson_iter_init(&at, &topics)) {
        return e;
    }
    while (bson_iter_next(&at)) {
        char type[EVENT_TOPIC_SIZE];
        topic_of_key(bson_iter_key(&at), type);
        topic_raise(out, text_of(type), bson_iter_as_int64(&at));
    }
    return ERR_NONE;
}

static enum err known_load(struct log_mongo *log, struct fault *fault, struct log_known *out)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    enum err e = end_read(log, &all, -1, "_id", fault, &out->head);
    if (e == ERR_NONE) {
        e = floors_read(log, fault, out);
    }
    for (uint32_t i = 0; e == ERR_NONE && i < out->topic_count; i++) {
        AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
        int64_t tseq = 0;
        bson_put_text(&filter, "type", text_of(out->topics[i].type));
        mongo_put_compare(&filter, "_id", "$lte", out->head);
        e = end_read(log, &filter, -1, "tseq", fault, &tseq);
        topic_raise(out, text_of(out->topics[i].type), tseq);
    }
    return e == ERR_NONE ? floors_read(log, fault, out) : e; /* entries that were dropped meanwhile have raised them */
}

/* What came since we looked last. */
static enum err known_follow(struct log_mongo *log, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *entry;
    mongo_put_compare(&filter, "_id", "$gt", log->known.head);
    by_seq(&sort, 1);
    bson_put_int(&projection, "type", 1);
    bson_put_int(&projection, "tseq", 1);
    const struct mongo_query query = {.collection = event_log_collection,
                                      .filter = &filter,
                                      .sort = &sort,
                                      .projection = &projection};
    mongo_find(log->db, &query, &rows);
    while (mongo_next(&rows, &entry)) {
        struct text type;
        int64_t tseq;
        if (!bson_get_int(entry, "_id", &log->known.head) || !bson_get_text(entry, "type", NULL, &type) ||
            !bson_get_int(entry, "tseq", &tseq)) {
            log->known.valid = false;
            continue;
        }
        topic_raise(&log->known, type, tseq);
    }
    return mongo_rows_end(&rows, fault);
}

enum err log_learn(struct log_mongo *log, struct fault *fault)
{
    if (log->known.valid) {
        return known_follow(log, fault);
    }
    struct log_known known = {0};
    enum err e = known_load(log, fault, &known);
    if (e == ERR_NONE) {
        known.valid = true;
        log->known = known;
    }
    return e;
}

static int topic_order(const void *a, const void *b)
{
    return strcmp(((const struct topic_tail *)a)->type, ((const struct topic_tail *)b)->type);
}

enum err mongo_log_topics(struct event_store *self, struct arena *arena, struct fault *fault, struct topic_rows *out)
{
    struct log_mongo *log = log_of(self);
    enum err e = log_learn(log, fault);
    if (e != ERR_NONE) {
        return e;
    }
    struct log_known *known = &log->known;
    struct topic_rows rows = {.items = arena_alloc(arena, EVENT_TOPIC_MAX * sizeof *rows.items)};
    qsort(known->topics, known->topic_count, sizeof known->topics[0], topic_order);
    for (uint32_t i = 0; i < known->topic_count; i++) {
        const struct topic_tail *topic = &known->topics[i];
        if (topic->tseq > 0) { /* one that was announced, and then nothing came */
            rows.items[rows.count++] = (struct topic_head){
                .topic = {arena_copy(arena, topic->type, strlen(topic->type)), (uint32_t)strlen(topic->type)},
                .tseq = topic->tseq};
        }
    }
    *out = rows;
    return ERR_NONE;
}

/* ---- pages ---- */

static enum err entry_read(const bson_t *document, struct arena *arena, struct fault *fault, struct event_entry *out)
{
    AUTO(bson_destroy) bson_t entry = BSON_INITIALIZER;
    int64_t seq = 0;
    (void)!bson_get_int(document, "_id", &seq);
    bson_put_int(&entry, "seq", seq);
    (void)bson_concat(&entry, document);
    return bson_read_record(&entry, &event_entry_record, arena, fault, out);
}

enum err mongo_log_page(struct event_store *self, const struct event_filter *filter, struct arena *arena,
                        struct fault *fault, struct event_rows *out)
{
    AUTO(bson_destroy) bson_t wanted = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct event_rows page = {.items = arena_alloc(arena, filter->limit * sizeof *page.items)};
    struct mongo_rows rows;
    const bson_t *document;
    uint64_t size = 0;
    enum err e = ERR_NONE;
    ASSERT(filter->limit >= 1 && filter->limit <= EVENT_BATCH_MAX);
    range_put(&wanted, filter->after, filter->last);
    if (!filter->every_type) {
        mongo_put_in(&wanted, "type", filter->types->items, filter->types->count);
    }
    if (filter->user_id.size > 0) {
        bson_put_text(&wanted, "user_id", filter->user_id);
    }
    by_seq(&sort, 1);
    const struct mongo_query query = {.collection = event_log_collection,
                                      .filter = &wanted,
                                      .sort = &sort,
                                      .limit = (int64_t)filter->limit + 1};
    mongo_find(log_of(self)->db, &query, &rows);
    while (e == ERR_NONE && !page.has_more && mongo_next(&rows, &document)) {
        if (page.count == filter->limit || size >= EVENT_PAGE_SIZE_MAX) {
            page.has_more = true;
            break;
        }
        struct event_entry *entry = &page.items[page.count];
        e = entry_read(document, arena, fault, entry);
        size += e == ERR_NONE ? entry->data.size + entry->private_data.size : 0;
        page.count++;
    }
    enum err end = mongo_rows_end(&rows, e == ERR_NONE ? fault : NULL);
    e = e == ERR_NONE ? end : e;
    if (e == ERR_NONE) {
        *out = page;
    }
    return e;
}

/* ---- retention ---- */

/* Before entries go, the stream remembers how far their types had come. */
static void floor_put(struct mongo_bulk *bulk, const struct topic_tail *topic)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    char path[TOPIC_PATH_SIZE];
    bson_t part;
    stream_filter(&filter);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$max", &part);
    bson_put_int(&part, topic_path(text_of(topic->type), path), topic->tseq);
    bson_append_document_end(&update, &part);
    mongo_bulk_update(bulk, &filter, &update, false);
}

/* The oldest entries that are to go. *out_last stays 0 if none are. */
static enum err old_find(struct log_mongo *log, int64_t head, int64_t before_ms, uint32_t max_count,
                         struct fault *fault, struct log_known *out_gone, uint32_t *out_count, int64_t *out_last)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *entry;
    bool old = true;
    by_seq(&sort, 1);
    bson_put_int(&projection, "time", 1);
    bson_put_int(&projection, "type", 1);
    bson_put_int(&projection, "tseq", 1);
    const struct mongo_query query = {.collection = event_log_collection,
                                      .filter = &all,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = max_count};
    mongo_find(log->db, &query, &rows);
    while (old && mongo_next(&rows, &entry)) {
        int64_t seq = 0, time = 0, tseq = 0;
        struct text type;
        old = bson_get_int(entry, "_id", &seq) && bson_get_int(entry, "time", &time) &&
              bson_get_int(entry, "tseq", &tseq) && bson_get_text(entry, "type", NULL, &type) && time < before_ms &&
              seq < head;
        if (old) {
            topic_raise(out_gone, type, tseq);
            *out_last = seq;
            ++*out_count;
        }
    }
    return mongo_rows_end(&rows, fault);
}

enum err mongo_log_purge(struct event_store *self, int64_t before_ms, uint32_t max_count, struct fault *fault,
                         uint32_t *out_count)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct log_mongo *log = log_of(self);
    struct log_known gone = {0};
    uint32_t count = 0;
    int64_t head = 0, last = 0, deleted = 0;
    enum err e = end_read(log, &all, -1, "_id", fault, &head);
    if (e == ERR_NONE) {
        e = old_find(log, head, before_ms, max_count, fault, &gone, &count, &last);
    }
    if (e == ERR_NONE && count > 0) {
        struct mongo_bulk *bulk = mongo_bulk_new(log->db, event_stream_collection, true);
        for (uint32_t i = 0; i < gone.topic_count; i++) {
            floor_put(bulk, &gone.topics[i]);
        }
        e = mongo_bulk_run(&bulk, fault, NULL);
    }
    if (e == ERR_NONE && count > 0) {
        mongo_put_compare(&filter, "_id", "$lte", last);
        e = mongo_delete_all(log->db, event_log_collection, &filter, fault, &deleted);
    }
    if (e == ERR_NONE) {
        *out_count = count;
    }
    return e;
}
