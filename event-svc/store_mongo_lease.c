/* The lease on MongoDB, and what only its holder writes. It is part of the stream's document: holder, fence (a number a
 * holder), beat (a number a renewal). Each change names what it was decided by, so that of two only one succeeds. */
#include "event-svc/store_parts.h"

/* {_id: "stream", "lease.fence": fence, ...} */
static void lease_filter(bson_t *out, int64_t fence)
{
    stream_filter(out);
    bson_put_int(out, "lease.fence", fence);
}

static void set_put(bson_t *update, const char *key, int64_t value)
{
    bson_t part;
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &part);
    bson_put_int(&part, key, value);
    bson_append_document_end(update, &part);
}

enum err mongo_log_mark(struct event_store *self, int64_t published, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct log_mongo *log = log_of(self);
    bool ours = false;
    lease_filter(&filter, log->fence);
    set_put(&update, "published", published);
    enum err e = mongo_update(log->db, event_stream_collection, &filter, &update, fault, &ours);
    if (e == ERR_NONE && !ours) {
        fault_cause(fault, "another process publishes now");
        return fault_set(fault, ERR_CONFLICT, NULL);
    }
    return e;
}

static enum err lease_take(struct log_mongo *log, int64_t fence, int64_t beat, struct fault *fault, bool *out_held)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t part;
    bool taken = false;
    lease_filter(&filter, fence);
    bson_put_int(&filter, "lease.beat", beat);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_text(&part, "lease.holder", text_of(log->holder));
    bson_put_int(&part, "lease.fence", fence + 1);
    bson_put_int(&part, "lease.beat", 0);
    bson_append_document_end(&update, &part);
    enum err e = mongo_update(log->db, event_stream_collection, &filter, &update, fault, &taken);
    if (e == ERR_NONE) {
        log->fence = taken ? fence + 1 : log->fence;
        *out_held = taken;
    }
    return e;
}

static enum err lease_renew(struct log_mongo *log, int64_t beat, struct fault *fault, bool *out_held)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bool renewed = false;
    lease_filter(&filter, log->fence);
    bson_put_text(&filter, "lease.holder", text_of(log->holder));
    set_put(&update, "lease.beat", beat + 1);
    enum err e = mongo_update(log->db, event_stream_collection, &filter, &update, fault, &renewed);
    if (e == ERR_NONE) {
        *out_held = renewed;
    }
    return e;
}

enum err mongo_log_lease(struct event_store *self, int64_t now_ms, struct fault *fault, bool *out_held)
{
    AUTO(arena_release) struct arena arena = {0};
    struct log_mongo *log = log_of(self);
    bson_t document;
    struct text holder;
    int64_t fence = 0, beat = 0;
    enum err e = stream_read(log, true, &arena, fault, &document);
    if (e != ERR_NONE) {
        return e;
    }
    if (!bson_get_text(&document, "lease.holder", NULL, &holder) || !bson_get_int(&document, "lease.fence", &fence) ||
        !bson_get_int(&document, "lease.beat", &beat)) {
        fault_cause(fault, "the event log's document in event_stream has no lease");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    if (text_equal(holder, text_of(log->holder))) {
        log->fence = fence; /* also when the answer to our taking it was lost */
        return lease_renew(log, beat, fault, out_held);
    }
    if (!lease_is_free(&log->sight, holder.size > 0, fence, beat, now_ms)) {
        *out_held = false;
        return ERR_NONE;
    }
    return lease_take(log, fence, beat, fault, out_held);
}

enum err mongo_log_leave(struct event_store *self, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct log_mongo *log = log_of(self);
    bson_t part;
    bool was_ours;
    stream_filter(&filter);
    bson_put_text(&filter, "lease.holder", text_of(log->holder));
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_text(&part, "lease.holder", TEXT(""));
    bson_append_document_end(&update, &part);
    return mongo_update(log->db, event_stream_collection, &filter, &update, fault, &was_ours);
}
