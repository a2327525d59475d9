/* The catalogue on MongoDB: one product at a time. */
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "product-svc/news.h"
#include "product-svc/store_mongo.h"
#include "product-svc/words.h"

/* ---- what is searched ---- */

struct words_found {
    struct buffer name, sku, description;
};

static void words_release(struct words_found *words)
{
    buffer_release(&words->name);
    buffer_release(&words->sku);
    buffer_release(&words->description);
}

static void words_make(const struct product *product, struct words_found *out)
{
    buffer_init(&out->name, WORDS_MAX_SIZE);
    buffer_init(&out->sku, WORDS_MAX_SIZE);
    buffer_init(&out->description, WORDS_MAX_SIZE);
    words_fold(product->name, &out->name);
    words_fold(product->sku, &out->sku);
    words_fold(product->description, &out->description);
}

static void words_cut(struct text words, struct text *out, uint32_t *count)
{
    while (words.size > 0 && text_cut(&words, ' ', &out[*count])) {
        ++*count;
    }
}

static void put_words(bson_t *to, const struct words_found *words, struct arena *arena)
{
    size_t room = (words->name.size + words->sku.size + words->description.size) / 2 + 3; /* a word and a blank each */
    struct text *list = arena_alloc(arena, room * sizeof *list);
    uint32_t count = 0;
    words_cut(buffer_text(&words->name), list, &count);
    words_cut(buffer_text(&words->sku), list, &count);
    words_cut(buffer_text(&words->description), list, &count);
    bson_put_texts(to, "words", list, count);
}

/* All that follows from the product itself. */
void product_put_all(bson_t *to, const struct product *product, struct arena *arena)
{
    AUTO(words_release) struct words_found words;
    words_make(product, &words);
    bson_put_record(to, "product", &product_record, product);
    bson_put_text(to, "sku_live", product->sku);
    bson_put_int(to, "price_decimal", money_to_decimal(product->price, currency_decimals(product->currency)));
    bson_put_text(to, "name_key", words_key(buffer_text(&words.name)));
    bson_put_text(to, "sku_key", words_key(buffer_text(&words.sku)));
    put_words(to, &words, arena);
}

/* ---- reading ---- */

static enum err document_find(struct product_store *self, struct product_act *act, struct text id, bson_t *out,
                              bool *out_found)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bson_put_text(&filter, "_id", id);
    const struct mongo_query query = {.collection = product_collection, .filter = &filter};
    return mongo_find_one(product_db(self), &query, act->arena, act->fault, out, out_found);
}

static bool is_live(const bson_t *document)
{
    bool live = false;
    return bson_get_bool(document, "live", &live) && live;
}

/* document: NULL if there is none. */
static enum err found_read(struct product_act *act, const bson_t *document, bool inactive_too, struct product *out)
{
    struct product product;
    if (!document || !is_live(document)) {
        return fault_set(act->fault, ERR_NOT_FOUND, NULL);
    }
    enum err e = product_read(document, act->arena, act->fault, &product);
    if (e == ERR_NONE && !product.active && !inactive_too) {
        e = fault_set(act->fault, ERR_NOT_FOUND, NULL);
    }
    if (e == ERR_NONE) {
        *out = product;
    }
    return e;
}

enum err product_mongo_get(struct product_store *self, struct product_act *act, struct text id, bool inactive_too,
                           struct product *out)
{
    bson_t document;
    bool found = false;
    enum err e = document_find(self, act, id, &document, &found);
    return e == ERR_NONE ? found_read(act, found ? &document : NULL, inactive_too, out) : e;
}

void product_mongo_get_all(struct product_store *self, struct get_item *items, size_t count)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct text *ids = arena_alloc(&arena, count * sizeof *ids);
    bool *met = arena_alloc(&arena, count * sizeof *met);
    struct fault fault;
    struct mongo_rows rows;
    const bson_t *document;
    fault_init(&fault, &arena);
    for (size_t i = 0; i < count; i++) {
        ids[i] = items[i].id;
    }
    mongo_put_in(&filter, "_id", ids, (uint32_t)count);
    const struct mongo_query query = {.collection = product_collection, .filter = &filter, .limit = (int64_t)count};
    mongo_find(product_db(self), &query, &rows);
    while (mongo_next(&rows, &document)) {
        struct text id;
        for (size_t i = 0; bson_get_text(document, "_id", NULL, &id) && i < count; i++) {
            if (text_equal(items[i].id, id)) {
                met[i] = true;
                items[i].status = found_read(items[i].act, document, items[i].inactive_too, items[i].out);
            }
        }
    }
    enum err e = mongo_rows_end(&rows, &fault);
    for (size_t i = 0; i < count; i++) {
        if (e != ERR_NONE) {
            items[i].status = product_fault_share(items[i].act, &fault);
        } else if (!met[i]) {
            items[i].status = found_read(items[i].act, NULL, false, items[i].out);
        }
    }
}

/* ---- adding ---- */

static enum err sku_taken(struct fault *fault)
{
    fault_add(fault, "/sku", "sku_taken", -1, "is another product's");
    return fault_set(fault, ERR_SKU_TAKEN, NULL);
}

/* The id's document is there: a product, or the refusal that a keyed request was answered with. */
static enum err insert_again(struct product_act *act, const bson_t *document, struct product *out)
{
    struct text made_by, body;
    struct problem problem;
    if (!bson_get_text(document, "fingerprint", NULL, &made_by)) {
        return product_unreadable(act->fault, "fingerprint");
    }
    if (!text_equal(made_by, act->fingerprint)) {
        return fault_set(act->fault, ERR_IDEMPOTENCY_KEY_REUSED, NULL);
    }
    act->repeated = true;
    if (bson_get_bytes(document, "refusal", act->arena, &body)) {
        enum err e = record_unpack(&problem_record, body, act->arena, act->fault, &problem);
        if (e == ERR_NONE) {
            fault_from_problem(act->fault, &problem);
            e = act->fault->code;
        }
        return e;
    }
    if (bson_get_bytes(document, "answer", act->arena, &body)) {
        return record_unpack(&product_record, body, act->arena, act->fault, out);
    }
    return product_read(document, act->arena, act->fault, out);
}

/* The refusal takes the product's id, so that this request can never make it. */
static enum err refusal_insert(struct product_store *self, struct product_act *act, struct text id)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    struct problem problem;
    struct fault fault;
    fault_init(&fault, act->arena);
    (void)sku_taken(&fault);
    fault_to_problem(&fault, &problem);
    bson_put_text(&document, "_id", id);
    bson_put_text(&document, "fingerprint", act->fingerprint);
    bson_put_bytes(&document, "refusal", record_pack_in(&problem_record, &problem, act->arena));
    bson_put_int(&document, "answered_at", act->now_ms);
    return mongo_insert(product_db(self), product_collection, &document, act->fault);
}

static void insert_document(struct product_act *act, const struct product *product, const struct event_new *event,
                            bson_t *out)
{
    bson_put_text(out, "_id", product->id);
    bson_put_bool(out, "live", true);
    bson_put_text(out, "fingerprint", act->fingerprint);
    product_put_all(out, product, act->arena);
    bson_put_int(out, "stock", product->stock);
    bson_put_int(out, "ver", 1);
    bson_put_int(out, "changes", 0);
    bson_put_int(out, "told", 0);
    if (act->keyed) {
        bson_put_bytes(out, "answer", record_pack_in(&product_record, product, act->arena));
        bson_put_int(out, "answered_at", act->now_ms);
    }
    outbox_mongo_put(out, event);
}

/* A unique index refused the document: its id is there, or its SKU is. */
static enum err insert_refused(struct product_store *self, struct product_act *act, struct text id, struct product *out,
                               bool *out_again)
{
    bson_t document;
    bool found = false;
    fault_init(act->fault, act->arena);
    enum err e = document_find(self, act, id, &document, &found);
    if (e != ERR_NONE) {
        return e;
    }
    if (found) {
        return insert_again(act, &document, out);
    }
    if (act->keyed) {
        e = refusal_insert(self, act, id);
        *out_again = e == ERR_CONFLICT; /* the same request, answered elsewhere meanwhile */
        if (e != ERR_NONE) {
            return e;
        }
    }
    return sku_taken(act->fault);
}

enum err product_mongo_insert(struct product_store *self, struct product_act *act, const struct product *product,
                              struct product *out)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    struct event_new event;
    int tries = 0;
    enum err e;
    bool again;
    product_news_make(act, EVENT_PRODUCT_CREATED, product, &event);
    insert_document(act, product, &event, &document);
    do {
        again = false;
        e = mongo_insert(product_db(self), product_collection, &document, act->fault);
        outbox_mongo_wrote(self->outbox, product_collection, product->id);
        if (e == ERR_NONE) {
            *out = *product;
        } else if (e == ERR_CONFLICT) {
            e = insert_refused(self, act, product->id, out, &again);
        }
    } while (again && (e = product_try_again(self, act->fault, &tries)) == ERR_NONE);
    return e;
}

/* ---- changing ---- */

/* The edits of a product that no answer document stands for yet, as far as they were read. */
struct edits {
    char id[ID_HEX_SIZE]; /* of this act's request */
    bool done;
    bool reused;       /* done with another body */
    struct text *kept; /* ids and fingerprints in turn */
    uint32_t kept_count;
};

static bool edits_know(const struct edits *edits, struct text id)
{
    for (uint32_t i = 0; i < edits->kept_count; i += 2) {
        if (text_equal(edits->kept[i], id)) {
            return true;
        }
    }
    return false;
}

static void edit_found(struct edits *edits, const struct product_act *act, struct text id, struct text fingerprint)
{
    if (text_is(id, edits->id)) {
        edits->done = true;
        edits->reused = !text_equal(fingerprint, act->fingerprint);
    }
}

static void edit_forget(struct edits *edits, struct text id)
{
    for (uint32_t i = 0; i < edits->kept_count; i += 2) {
        if (text_equal(edits->kept[i], id)) {
            edits->kept_count -= 2;
            edits->kept[i] = edits->kept[edits->kept_count];
            edits->kept[i + 1] = edits->kept[edits->kept_count + 1];
            return;
        }
    }
}

static bool edits_read(const bson_t *document, const struct product_act *act, struct edits *out)
{
    bson_t array;
    bson_iter_t iter;
    if (!bson_get_document(document, "edits", &array)) {
        return true;
    }
    uint32_t count = bson_count_keys(&array);
    out->kept = arena_alloc(act->arena, (count + 2) * sizeof *out->kept);
    if (count % 2 != 0 || !bson_iter_init(&iter, &array)) {
        return false;
    }
    while (bson_iter_next(&iter)) {
        uint32_t size;
        const char *data;
        if (!BSON_ITER_HOLDS_UTF8(&iter)) {
            return false;
        }
        data = bson_iter_utf8(&iter, &size);
        out->kept[out->kept_count++] = (struct text){arena_copy(act->arena, data, size), size};
    }
    for (uint32_t i = 0; i < out->kept_count; i += 2) {
        edit_found(out, act, out->kept[i], out->kept[i + 1]);
    }
    return true;
}

/* What has been done, after the product was read; entries that an answer document stands for are forgotten. */
static enum err answers_read(struct product_store *self, struct product_act *act, struct edits *edits)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    uint32_t count = 1;
    struct text *ids = arena_alloc(act->arena, (edits->kept_count / 2 + 1) * sizeof *ids);
    ids[0] = text_of(edits->id);
    for (uint32_t i = 0; i < edits->kept_count; i += 2) {
        ids[count++] = edits->kept[i];
    }
    mongo_put_in(&filter, "_id", ids, count);
    const struct mongo_query query = {.collection = answer_collection, .filter = &filter, .limit = count};
    mongo_find(product_db(self), &query, &rows);
    while (mongo_next(&rows, &document)) {
        struct text id, fingerprint;
        if (bson_get_text(document, "_id", NULL, &id) && bson_get_text(document, "fingerprint", NULL, &fingerprint)) {
            edit_found(edits, act, id, fingerprint);
            edit_forget(edits, id);
        }
    }
    return mongo_rows_end(&rows, act->fault);
}

static void answer_write(struct product_store *self, struct product_act *act, const struct edits *edits)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    struct fault ignored; /* the product's entry stands for it meanwhile */
    fault_init(&ignored, NULL);
    bson_put_text(&document, "_id", text_of(edits->id));
    bson_put_text(&document, "fingerprint", act->fingerprint);
    bson_put_int(&document, "at", act->now_ms);
    (void)!mongo_insert(product_db(self), answer_collection, &document, &ignored);
}

static void put_edits(bson_t *set, const struct product_act *act, const struct edits *edits)
{
    struct text *list = arena_alloc(act->arena, (edits->kept_count + 2) * sizeof *list);
    if (edits->kept_count > 0) {
        memcpy(list, edits->kept, edits->kept_count * sizeof *list);
    }
    list[edits->kept_count] = text_of(edits->id);
    list[edits->kept_count + 1] = act->fingerprint;
    bson_put_texts(set, "edits", list, edits->kept_count + 2);
}

/* A product as it was read for an edit. */
struct edited {
    struct product product;
    int64_t stock, ver, change_count; /* stock may be more than can be told */
    struct edits edits;
};

static uint32_t edit_news(const struct product_act *act, const struct edited *old, const struct product *next,
                          struct event_new *events)
{
    enum event_type type;
    product_news_make(act, EVENT_PRODUCT_UPDATED, next, &events[0]);
    if (!stock_news_due(act, old->product.stock, next->stock, &type)) {
        return 1;
    }
    stock_news_make(act, type, next, old->change_count + 1, &events[1]);
    return 2;
}

/* Compare and set; stock changes by what the edit adds, so that pieces beyond what can be told are not lost. */
static enum err edit_write(struct product_store *self, struct product_act *act, const struct edited *old,
                           const struct product *next, bool *out_written)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    struct event_new events[2];
    bson_t set;
    int64_t added = next->stock - old->product.stock;
    product_put_seen(&filter, next->id, old->ver);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    bson_put_int(&set, "ver", old->ver + 1);
    product_put_all(&set, next, act->arena);
    put_edits(&set, act, &old->edits);
    if (added != 0) {
        product_put_stock(&set, old->stock + added, old->change_count + 1);
    }
    ASSERT(bson_append_document_end(&update, &set));
    uint32_t event_count = edit_news(act, old, next, events);
    const struct event_new *const news[] = {&events[0], event_count > 1 ? &events[1] : NULL};
    outbox_mongo_push_all(&update, news, ARRAY_COUNT(news));
    enum err e = mongo_update(product_db(self), product_collection, &filter, &update, act->fault, out_written);
    outbox_mongo_wrote(self->outbox, product_collection, next->id);
    if (e == ERR_CONFLICT) {
        fault_init(act->fault, act->arena);
        e = sku_taken(act->fault);
    }
    return e;
}

static enum err edited_read(struct product_store *self, struct product_act *act, struct text id, struct edited *out)
{
    bson_t document;
    bool found = false;
    *out = (struct edited){.ver = 0};
    id_to_hex((const uint8_t *)act->request_id.data, out->edits.id);
    enum err e = document_find(self, act, id, &document, &found);
    if (e == ERR_NONE && (!found || !is_live(&document))) {
        e = fault_set(act->fault, ERR_NOT_FOUND, NULL);
    }
    if (e == ERR_NONE) {
        e = product_read(&document, act->arena, act->fault, &out->product);
    }
    if (e == ERR_NONE &&
        (!bson_get_int(&document, "stock", &out->stock) || !bson_get_int(&document, "ver", &out->ver) ||
         !bson_get_int(&document, "changes", &out->change_count) || !edits_read(&document, act, &out->edits))) {
        e = product_unreadable(act->fault, "entry");
    }
    if (e == ERR_NONE) {
        e = answers_read(self, act, &out->edits);
    }
    if (e == ERR_NONE && act->now_ms - out->product.updated_at > PRODUCT_KEEP_MS && !out->edits.done) {
        out->edits.kept_count = 0; /* all are as old as that, and their answers may be purged */
    }
    return e == ERR_NONE && out->edits.reused ? fault_set(act->fault, ERR_IDEMPOTENCY_KEY_REUSED, NULL) : e;
}

enum err product_mongo_edit(struct product_store *self, struct product_act *act, const struct product_change *change,
                            struct product *out)
{
    struct edited old;
    struct product next = {0};
    bool written = false;
    int tries = 0;
    enum err e;
    do {
        e = edited_read(self, act, change->edit->id, &old);
        if (e == ERR_NONE && old.edits.done) {
            act->repeated = true;
            if (edits_know(&old.edits, text_of(old.edits.id))) {
                answer_write(self, act, &old.edits); /* whoever did it may not have come so far */
            }
            *out = old.product;
            return ERR_NONE;
        }
        if (e == ERR_NONE) {
            e = product_apply(&old.product, change, act->now_ms, act->fault, &next);
        }
        if (e == ERR_NONE && next.version == old.product.version) {
            *out = next;
            return ERR_NONE;
        }
        if (e == ERR_NONE) {
            e = edit_write(self, act, &old, &next, &written);
        }
    } while (e == ERR_NONE && !written && (e = product_try_again(self, act->fault, &tries)) == ERR_NONE);
    if (e == ERR_NONE) {
        answer_write(self, act, &old.edits);
        *out = next;
    }
    return e;
}

