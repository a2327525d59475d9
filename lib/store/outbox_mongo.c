#include "lib/store/outbox_mongo.h"

#include <stdlib.h>

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum {
    OWN_MAX_COUNT = 1024,    /* documents that a loop remembers; what is more is found by its age */
    OWN_MAX_SIZE = OUTBOX_PAGE_MAX_SIZE, /* of their events; of more it remembers only where they are */
    LOOK_MAX_COUNT = 128,    /* documents in one look: each mostly has one event */
    DOCUMENT_ID_SIZE = 72
};

struct document_ref {
    const char *collection;
    char id[DOCUMENT_ID_SIZE];
    struct text packed; /* the document's only event, ours; empty: it is to be looked at */
};

struct outbox_mongo {
    struct outbox_source base;
    struct mongo_db *db;
    const char *const *collections;
    bool sweeping;                          /* the next look is for what others left, if there is nothing of our own */
    uint32_t own_first, own_count;          /* a ring */
    size_t own_size;                        /* of the events in it */
    struct document_ref own[OWN_MAX_COUNT]; /* written by us and not handed over */
};

/* What one page covers. */
struct page_mark {
    uint32_t own_count;     /* of our own, from the front of the ring */
    uint32_t document_count;
    struct document_mark {
        const char *collection;
        struct text id;
        struct text *event_ids;
        uint32_t event_count;
    } documents[LOOK_MAX_COUNT];
};

/* ---- writing ---- */

static void event_put(bson_t *to, const char *key, const struct event_new *event)
{
    AUTO(arena_release) struct arena arena = {0};
    bson_t entry;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, key, &entry));
    bson_put_text(&entry, "id", event->id);
    bson_put_int(&entry, "at", clock_wall_ms());
    bson_put_bytes(&entry, "event", record_pack_in(&event_new_record, event, &arena));
    ASSERT(bson_append_document_end(to, &entry));
}

void outbox_mongo_put(bson_t *document, const struct event_new *event)
{
    bson_t array;
    if (event) {
        ASSERT(BSON_APPEND_ARRAY_BEGIN(document, "outbox", &array));
        event_put(&array, "0", event);
        ASSERT(bson_append_array_end(document, &array));
    }
}

void outbox_mongo_push(bson_t *update, const struct event_new *event)
{
    bson_t push;
    if (event) {
        ASSERT(BSON_APPEND_DOCUMENT_BEGIN(update, "$push", &push));
        event_put(&push, "outbox", event);
        ASSERT(bson_append_document_end(update, &push));
    }
}

void outbox_mongo_push_all(bson_t *update, const struct event_new *const *events, size_t count)
{
    bson_t push, into, each;
    char key[16];
    uint32_t put_count = 0;
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(update, "$push", &push) && BSON_APPEND_DOCUMENT_BEGIN(&push, "outbox", &into) &&
           BSON_APPEND_ARRAY_BEGIN(&into, "$each", &each));
    for (size_t i = 0; i < count; i++) {
        if (events[i]) {
            snprintf(key, sizeof key, "%u", put_count++);
            event_put(&each, key, events[i]);
        }
    }
    ASSERT(bson_append_array_end(&into, &each) && bson_append_document_end(&push, &into) &&
           bson_append_document_end(update, &push));
}

static struct document_ref *own_at(struct outbox_mongo *self, uint32_t index)
{
    return &self->own[(self->own_first + index) % OWN_MAX_COUNT];
}

/* The oldest of our own need nobody any more. A page that is cleared twice says so twice. */
static void own_forget(struct outbox_mongo *self, uint32_t count)
{
    count = count < self->own_count ? count : self->own_count;
    for (uint32_t i = 0; i < count; i++) {
        struct document_ref *ref = own_at(self, i);
        self->own_size -= ref->packed.size;
        mem_free((void *)(uintptr_t)ref->packed.data);
        ref->packed = (struct text){0};
    }
    self->own_first = (self->own_first + count) % OWN_MAX_COUNT;
    self->own_count -= count;
}

/* NULL: there is no room. */
static struct document_ref *own_add(struct outbox_mongo *self, const char *collection, struct text id)
{
    struct document_ref *ref = own_at(self, self->own_count);
    self->base.waiting = true;
    if (self->own_count == OWN_MAX_COUNT || !text_to_string(id, ref->id, sizeof ref->id)) {
        return NULL;
    }
    ref->collection = collection;
    self->own_count++;
    return ref;
}

void outbox_mongo_wrote(struct outbox_source *self, const char *collection, struct text id)
{
    (void)own_add((struct outbox_mongo *)self, collection, id);
}

void outbox_mongo_inserted(struct outbox_source *self, const char *collection, struct text id,
                           const struct event_new *event)
{
    AUTO(arena_release) struct arena arena = {0};
    struct outbox_mongo *outbox = (struct outbox_mongo *)self;
    struct document_ref *ref = own_add(outbox, collection, id);
    struct text packed = record_pack_in(&event_new_record, event, &arena);
    if (ref && outbox->own_size + packed.size <= OWN_MAX_SIZE) {
        char *copy = mem_alloc(packed.size);
        memcpy(copy, packed.data, packed.size);
        ref->packed = (struct text){copy, packed.size};
        outbox->own_size += packed.size;
    }
}

/* ---- looking ---- */

struct look {
    struct outbox_mongo *outbox;
    struct outbox_page page;
    struct page_mark *mark;
    size_t size;
    struct arena *arena;
    struct fault *fault;
};

/* Takes the document's events, from its oldest on. False: the page is full, or *out_err says what is wrong. */
static bool document_take(struct look *look, const char *collection, const bson_t *document, enum err *out_err)
{
    bson_t array, entry;
    bson_iter_t iter;
    struct document_mark *mark = &look->mark->documents[look->mark->document_count];
    *mark = (struct document_mark){.collection = collection};
    if (!bson_get_text(document, "_id", look->arena, &mark->id) || !bson_get_document(document, "outbox", &array) ||
        !bson_iter_init(&iter, &array)) {
        return true; /* handed over by somebody else meanwhile */
    }
    uint32_t count = bson_count_keys(&array);
    count = count < EVENT_BATCH_MAX ? count : EVENT_BATCH_MAX;
    mark->event_ids = arena_alloc(look->arena, count * sizeof *mark->event_ids);
    bool fits = true;
    while (fits && bson_iter_next(&iter)) {
        struct text id, packed;
        const uint8_t *data;
        uint32_t size;
        if (!BSON_ITER_HOLDS_DOCUMENT(&iter)) {
            continue;
        }
        bson_iter_document(&iter, &size, &data);
        if (!bson_init_static(&entry, data, size) || !bson_get_text(&entry, "id", look->arena, &id) ||
            !bson_get_bytes(&entry, "event", look->arena, &packed)) {
            fault_cause(look->fault, "the outbox of %.*s in %s cannot be read", TEXT_ARG(mark->id), collection);
            *out_err = fault_set(look->fault, ERR_INTERNAL, NULL);
            return false;
        }
        fits = outbox_page_add(&look->page, &look->size, packed, look->arena, look->fault, out_err);
        if (fits) {
            mark->event_ids[mark->event_count++] = id;
        }
    }
    look->mark->document_count += mark->event_count > 0;
    return fits;
}

static enum err documents_take(struct look *look, const struct mongo_query *query, bool *out_full)
{
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    bool fits = true;
    mongo_find(look->outbox->db, query, &rows);
    while (fits && mongo_next(&rows, &document)) {
        fits = document_take(look, query->collection, document, &bad);
    }
    struct fault *fault = look->fault;
    if (bad != ERR_NONE) {
        (void)!mongo_rows_end(&rows, NULL);
        return bad;
    }
    *out_full = !fits;
    return mongo_rows_end(&rows, fault);
}

/* As many of our own as lie in one collection, from the oldest on. */
static enum err own_look(struct look *look)
{
    struct outbox_mongo *outbox = look->outbox;
    const char *collection = own_at(outbox, 0)->collection;
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct text ids[LOOK_MAX_COUNT];
    uint32_t count = 0;
    bool full = false;
    while (count < outbox->own_count && count < LOOK_MAX_COUNT && own_at(outbox, count)->collection == collection) {
        ids[count] = text_of(own_at(outbox, count)->id);
        count++;
    }
    mongo_put_in(&filter, "_id", ids, count);
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    bson_put_int(&projection, "outbox", 1);
    const struct mongo_query query = {
        .collection = collection, .filter = &filter, .projection = &projection, .limit = count};
    enum err e = documents_take(look, &query, &full);
    look->mark->own_count = full ? 0 : count; /* a page that is full leaves some of them for the next look */
    look->page.more = full || count < outbox->own_count;
    return e;
}

/* What was written some time ago and is still there. */
static enum err left_look(struct look *look)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    mongo_put_compare(&filter, "outbox.at", "$lt", clock_wall_ms() - OUTBOX_MONGO_LEFT_MS);
    bson_put_int(&sort, "outbox.at", 1);
    bson_put_int(&projection, "outbox", 1);
    for (const char *const *collection = look->outbox->collections; *collection; collection++) {
        const struct mongo_query query = {.collection = *collection,
                                          .filter = &filter,
                                          .sort = &sort,
                                          .projection = &projection,
                                          .limit = LOOK_MAX_COUNT - look->mark->document_count};
        bool full = false;
        enum err e = documents_take(look, &query, &full);
        if (e != ERR_NONE) {
            return e;
        }
        if (full || look->mark->document_count == LOOK_MAX_COUNT) {
            look->page.more = true;
            break;
        }
    }
    look->outbox->sweeping = look->page.more;
    return ERR_NONE;
}

static enum err mongo_look(struct outbox_source *self, struct arena *arena, struct fault *fault,
                           struct outbox_page *out)
{
    struct look look = {.outbox = (struct outbox_mongo *)self,
                        .mark = arena_alloc(arena, sizeof *look.mark),
                        .arena = arena,
                        .fault = fault};
    look.page.mark = look.mark;
    enum err e = ERR_NONE;
    if (look.outbox->own_count > 0) {
        e = own_look(&look);
        look.page.more = look.page.more || look.outbox->sweeping;
    } else if (look.outbox->sweeping) {
        e = left_look(&look);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (look.page.append.events.count == 0) { /* others have handed them over: there will be nothing to clear */
        own_forget(look.outbox, look.mark->own_count);
    }
    *out = look.page;
    return ERR_NONE;
}

/* The oldest of our own, as far as we have their events. */
static bool mongo_recall(struct outbox_source *self, struct arena *arena, struct fault *fault, struct outbox_page *out)
{
    struct outbox_mongo *outbox = (struct outbox_mongo *)self;
    struct outbox_page page = {0};
    struct page_mark *mark = arena_alloc(arena, sizeof *mark);
    size_t size = 0;
    enum err e = ERR_NONE;
    page.mark = mark;
    while (mark->own_count < outbox->own_count && mark->own_count < LOOK_MAX_COUNT) {
        const struct document_ref *ref = own_at(outbox, mark->own_count);
        struct text packed = {arena_copy(arena, ref->packed.data, ref->packed.size), ref->packed.size};
        if (packed.size == 0 || !outbox_page_add(&page, &size, packed, arena, fault, &e)) {
            break;
        }
        mark->documents[mark->document_count++] =
            (struct document_mark){.collection = ref->collection,
                                   .id = text_of(arena_copy(arena, ref->id, sizeof ref->id)),
                                   .event_ids = &page.append.events.items[page.append.events.count - 1].id,
                                   .event_count = 1};
        mark->own_count++;
    }
    if (e != ERR_NONE || mark->own_count == 0) {
        return false;
    }
    page.more = mark->own_count < outbox->own_count || outbox->sweeping;
    *out = page;
    return true;
}

/* ---- clearing ---- */

/* The events are pulled out by id; an array that is empty then goes, too, so that the index holds only what waits. */
static void document_clear(struct mongo_bulk *bulk, const struct document_mark *mark)
{
    AUTO(bson_destroy) bson_t which = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t pull = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t empty = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t unset = BSON_INITIALIZER;
    static const char *const names[] = {"outbox", NULL};
    bson_t part, entry;
    bson_put_text(&which, "_id", mark->id);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&pull, "$pull", &part));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&part, "outbox", &entry));
    mongo_put_in(&entry, "id", mark->event_ids, mark->event_count);
    ASSERT(bson_append_document_end(&part, &entry));
    ASSERT(bson_append_document_end(&pull, &part));
    mongo_bulk_update(bulk, &which, &pull, false);
    bson_put_text(&empty, "_id", mark->id);
    mongo_put_compare(&empty, "outbox", "$size", 0);
    mongo_put_unset(&unset, names);
    mongo_bulk_update(bulk, &empty, &unset, false);
}

/* Those of one collection together, by id: as everybody writes them. */
static int by_id(const void *a, const void *b)
{
    const struct document_mark *left = a, *right = b;
    int collections = strcmp(left->collection, right->collection);
    return collections != 0 ? collections : text_compare(left->id, right->id);
}

static enum err mongo_clear(struct outbox_source *self, const struct outbox_page *page, struct fault *fault)
{
    struct outbox_mongo *outbox = (struct outbox_mongo *)self;
    struct page_mark *mark = page->mark;
    qsort(mark->documents, mark->document_count, sizeof mark->documents[0], by_id);
    for (uint32_t i = 0; i < mark->document_count;) {
        const char *collection = mark->documents[i].collection;
        struct mongo_bulk *bulk = mongo_bulk_new(outbox->db, collection, true);
        for (; i < mark->document_count && mark->documents[i].collection == collection; i++) {
            document_clear(bulk, &mark->documents[i]);
        }
        enum err e = mongo_bulk_run(&bulk, fault, NULL);
        if (e != ERR_NONE) {
            return e;
        }
    }
    own_forget(outbox, mark->own_count);
    return ERR_NONE;
}

static void mongo_sweep(struct outbox_source *self)
{
    ((struct outbox_mongo *)self)->sweeping = true;
}

static void mongo_destroy(struct outbox_source **self)
{
    struct outbox_mongo *outbox = (struct outbox_mongo *)*self;
    own_forget(outbox, outbox->own_count);
    mem_free(*self);
    *self = NULL;
}

static const struct outbox_source_ops mongo_ops = {mongo_look, mongo_recall, mongo_clear, mongo_sweep, mongo_destroy};

struct outbox_source *outbox_mongo_new(struct mongo_db *db, const char *const *collections)
{
    struct outbox_mongo *self = mem_alloc(sizeof *self);
    self->base.ops = &mongo_ops;
    self->db = db;
    self->collections = collections;
    return &self->base;
}
