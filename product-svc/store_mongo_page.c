/* Lists and search on MongoDB: the same order and the same cursors as on SQLite. Every order is a sort value with the
 * id as tie break, and a page goes on behind the last row's. */
#include "lib/base/invariant.h"
#include "lib/store/cursor.h"
#include "product-svc/store_mongo.h"
#include "product-svc/words.h"

struct page_sort {
    const char *path; /* of the sort value */
    bool by_text;
    bool falling;
};

static const struct page_sort sorts[product_sort_count] = {
    [PRODUCT_BY_NEWEST] = {"product.created_at", false, true},
    [PRODUCT_BY_OLDEST] = {"product.created_at", false, false},
    [PRODUCT_BY_PRICE] = {"price_decimal", false, false},
    [PRODUCT_BY_PRICE_FALLING] = {"price_decimal", false, true},
    [PRODUCT_BY_NAME] = {"name_key", true, false},
    [PRODUCT_BY_NAME_FALLING] = {"name_key", true, true},
    /* without words everything is equally relevant */
    [PRODUCT_BY_RELEVANCE] = {"product.created_at", false, true},
};

struct page_run {
    struct product_store *self;
    struct product_act *act;
    const struct product_view *view;
    const struct page_sort *sort;
    struct cursor_key after[2]; /* sort value and id of the last row before the page */
    bool from_start;
    uint32_t limit;
    struct text words; /* empty without q */
};

/* ---- the filter ---- */

/* The page goes on behind another, in the order of this field. */
static bool goes_on(const struct page_run *run, const char *path)
{
    bool ranked = run->words.size > 0 && run->sort == &sorts[PRODUCT_BY_RELEVANCE];
    return !run->from_start && !ranked && strcmp(run->sort->path, path) == 0;
}

/* Prices from and to, and where the page before has ended, if it is one by price: a field is named once. */
static void put_prices(bson_t *to, const struct page_run *run)
{
    const struct product_query *query = run->view->query;
    bool has_low = has(product_query, query, price_gte), has_high = has(product_query, query, price_lte);
    int64_t low = query->price_gte, high = query->price_lte, after = run->after[0].number;
    bson_t range;
    if (goes_on(run, "price_decimal")) {
        low = !run->sort->falling && (!has_low || after > low) ? after : low;
        high = run->sort->falling && (!has_high || after < high) ? after : high;
        has_low = has_low || !run->sort->falling;
        has_high = has_high || run->sort->falling;
    }
    if (!has_low && !has_high) {
        return;
    }
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(to, "price_decimal", &range));
    if (has_low) {
        bson_put_int(&range, "$gte", low);
    }
    if (has_high) {
        bson_put_int(&range, "$lte", high);
    }
    ASSERT(bson_append_document_end(to, &range));
}

/* Every word begins one of the product's: it is not below the word, and below all that can follow it. */
static void put_words(bson_t *to, const struct page_run *run)
{
    static const char last[] = "\xf4\x8f\xbf\xbf"; /* U+10FFFF, which is in no word */
    bson_t all, one, words, match;
    struct text rest = run->words, word;
    if (rest.size == 0) {
        return;
    }
    ASSERT(BSON_APPEND_ARRAY_BEGIN(to, "$and", &all));
    for (uint32_t i = 0; rest.size > 0 && text_cut(&rest, ' ', &word); i++) {
        char room[16];
        const char *key;
        char *behind = arena_alloc(run->act->arena, word.size + sizeof last);
        memcpy(behind, word.data, word.size);
        memcpy(behind + word.size, last, sizeof last);
        bson_uint32_to_string(i, &key, room, sizeof room);
        ASSERT(bson_append_document_begin(&all, key, -1, &one));
        ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&one, "words", &words));
        ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&words, "$elemMatch", &match));
        bson_put_text(&match, "$gte", word);
        bson_put_text(&match, "$lt", text_of(behind));
        ASSERT(bson_append_document_end(&words, &match));
        ASSERT(bson_append_document_end(&one, &words));
        ASSERT(bson_append_document_end(&all, &one));
    }
    ASSERT(bson_append_array_end(to, &all));
}

static void put_key(bson_t *to, const char *key, const struct cursor_key *value)
{
    if (value->is_text) {
        bson_put_text(to, key, value->text);
    } else {
        bson_put_int(to, key, value->number);
    }
}

/* (value, id) behind the last row's, with a bound that an index can walk from. */
static void put_after(bson_t *to, const struct page_run *run)
{
    const char *beyond = run->sort->falling ? "$lt" : "$gt";
    bson_t bound, either, one, part;
    if (!goes_on(run, "price_decimal")) { /* put_prices has put it */
        ASSERT(bson_append_document_begin(to, run->sort->path, -1, &bound));
        put_key(&bound, run->sort->falling ? "$lte" : "$gte", &run->after[0]);
        ASSERT(bson_append_document_end(to, &bound));
    }
    ASSERT(BSON_APPEND_ARRAY_BEGIN(to, "$or", &either));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&either, "0", &one));
    ASSERT(bson_append_document_begin(&one, run->sort->path, -1, &part));
    put_key(&part, beyond, &run->after[0]);
    ASSERT(bson_append_document_end(&one, &part));
    ASSERT(bson_append_document_end(&either, &one));
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&either, "1", &one));
    put_key(&one, run->sort->path, &run->after[0]);
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&one, "_id", &part));
    put_key(&part, beyond, &run->after[1]);
    ASSERT(bson_append_document_end(&one, &part));
    ASSERT(bson_append_document_end(&either, &one));
    ASSERT(bson_append_array_end(to, &either));
}

static void put_filters(bson_t *to, const struct page_run *run)
{
    const struct product_query *query = run->view->query;
    bson_put_bool(to, "live", true);
    if (!run->view->inactive_too) {
        bson_put_bool(to, "product.active", true);
    }
    if (has(product_query, query, category)) {
        bson_put_text(to, "product.categories", query->category);
    }
    put_prices(to, run);
    if (has(product_query, query, in_stock)) {
        mongo_put_compare(to, "stock", query->in_stock ? "$gt" : "$lte", 0);
    }
    put_words(to, run);
}

/* ---- pages ---- */

static enum err row_read(const bson_t *document, const struct page_run *run, struct product *out,
                         struct cursor_key last[2])
{
    struct arena *arena = run->act->arena;
    enum err e = product_read(document, arena, run->act->fault, out);
    last[0] = (struct cursor_key){.is_text = run->sort->by_text};
    last[1] = (struct cursor_key){.is_text = true, .text = out->id};
    bool good = e == ERR_NONE && (run->sort->by_text ? bson_get_text(document, run->sort->path, arena, &last[0].text)
                                                     : bson_get_int(document, run->sort->path, &last[0].number));
    return e == ERR_NONE && !good ? product_unreadable(run->act->fault, "sort value") : e;
}

static void page_end(const struct page_run *run, const struct cursor_key last[2], bool more, struct product_list *list)
{
    if (more) {
        list->has_more = true;
        list->next_cursor = cursor_make(&product_query_record, run->view->query, last, 2, run->act->arena);
        set_has(product_list, list, next_cursor);
    }
}

static void put_projection(bson_t *to, const struct page_run *run)
{
    bson_put_int(to, "product", 1);
    bson_put_int(to, "stock", 1);
    if (strncmp(run->sort->path, "product.", sizeof "product." - 1) != 0) {
        bson_put_int(to, run->sort->path, 1);
    }
}

static enum err page_sorted(const struct page_run *run, struct product_list *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *document;
    struct cursor_key last[2];
    enum err bad = ERR_NONE;
    put_filters(&filter, run);
    if (!run->from_start) {
        put_after(&filter, run);
    }
    bson_put_int(&sort, run->sort->path, run->sort->falling ? -1 : 1);
    bson_put_int(&sort, "_id", run->sort->falling ? -1 : 1);
    put_projection(&projection, run);
    const struct mongo_query query = {.collection = product_collection,
                                      .filter = &filter,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = run->limit + 1}; /* one more tells whether there is a next page */
    struct product_list list = {.data = {arena_alloc(run->act->arena, run->limit * sizeof *list.data.items), 0}};
    bool more = false;
    size_t size = 0;
    mongo_find(product_db(run->self), &query, &rows);
    while (bad == ERR_NONE && !more && mongo_next(&rows, &document)) {
        more = list.data.count == run->limit || size >= LIST_MAX_SIZE;
        if (!more) {
            struct product *product = &list.data.items[list.data.count++];
            bad = row_read(document, run, product, last);
            size += bad == ERR_NONE ? record_size(&product_record, product) : 0;
        }
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? run->act->fault : NULL);
    if (bad != ERR_NONE || e != ERR_NONE) {
        return bad != ERR_NONE ? bad : e;
    }
    page_end(run, last, more, &list);
    *out = list;
    return ERR_NONE;
}

/* ---- by relevance ---- */

/* Rank in the high bits, age in the low 44: of equal ranks the newest goes first, as on SQLite. */
enum { AGE_BITS = 44 };

struct ranked {
    int64_t value;
    struct text id;
};

/* The best so far, best first; one more than the page has. */
struct ranking {
    struct ranked items[PAGE_MAX + 1];
    uint32_t count, room;
};

static bool goes_before(int64_t value, struct text id, int64_t other_value, struct text other_id)
{
    if (value != other_value) {
        return value > other_value;
    }
    int order = memcmp(id.data, other_id.data, id.size < other_id.size ? id.size : other_id.size);
    return order ? order > 0 : id.size > other_id.size;
}

static void ranking_add(struct ranking *ranking, int64_t value, struct text id, struct arena *arena)
{
    uint32_t at = ranking->count;
    while (at > 0 && goes_before(value, id, ranking->items[at - 1].value, ranking->items[at - 1].id)) {
        at--;
    }
    if (at == ranking->room) {
        return;
    }
    ranking->count += ranking->count < ranking->room;
    for (uint32_t i = ranking->count - 1; i > at; i--) {
        ranking->items[i] = ranking->items[i - 1];
    }
    ranking->items[at] = (struct ranked){value, {arena_copy(arena, id.data, id.size), id.size}};
}

/* All that match are looked at, a few fields of each: the store cannot rank. */
static enum err rank_all(const struct page_run *run, struct ranking *ranking)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    static const char *const paths[] = {"name_key", "sku_key", "product.created_at"};
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    put_filters(&filter, run);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        bson_put_int(&projection, paths[i], 1);
    }
    const struct mongo_query query = {
        .collection = product_collection, .filter = &filter, .projection = &projection};
    mongo_find(product_db(run->self), &query, &rows);
    while (bad == ERR_NONE && mongo_next(&rows, &document)) {
        struct text id, name_key, sku_key;
        int64_t created_at;
        if (!bson_get_text(document, "_id", NULL, &id) || !bson_get_text(document, "name_key", NULL, &name_key) ||
            !bson_get_text(document, "sku_key", NULL, &sku_key) ||
            !bson_get_int(document, "product.created_at", &created_at)) {
            bad = product_unreadable(run->act->fault, "key");
            break;
        }
        int64_t value = words_rank(name_key, sku_key, run->words) * (INT64_C(1) << AGE_BITS) + created_at;
        if (run->from_start || goes_before(run->after[0].number, run->after[1].text, value, id)) {
            ranking_add(ranking, value, id, run->act->arena);
        }
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? run->act->fault : NULL);
    return bad == ERR_NONE ? e : bad;
}

/* Puts each product that is found where its id stands. */
static enum err ranked_read(const struct page_run *run, const struct ranking *ranking, uint32_t count,
                            struct product *items, bool *there)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    struct text *ids = arena_alloc(run->act->arena, (count + 1) * sizeof *ids);
    struct mongo_rows rows;
    const bson_t *document;
    enum err bad = ERR_NONE;
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = ranking->items[i].id;
    }
    mongo_put_in(&filter, "_id", ids, count);
    const struct mongo_query query = {.collection = product_collection, .filter = &filter, .limit = count};
    mongo_find(product_db(run->self), &query, &rows);
    while (bad == ERR_NONE && mongo_next(&rows, &document)) {
        struct product product;
        bad = product_read(document, run->act->arena, run->act->fault, &product);
        for (uint32_t i = 0; bad == ERR_NONE && i < count; i++) {
            if (text_equal(ids[i], product.id)) {
                items[i] = product;
                there[i] = true;
            }
        }
    }
    enum err e = mongo_rows_end(&rows, bad == ERR_NONE ? run->act->fault : NULL);
    return bad == ERR_NONE ? e : bad;
}

static enum err page_ranked(const struct page_run *run, struct product_list *out)
{
    struct ranking *ranking = arena_alloc(run->act->arena, sizeof *ranking);
    struct product_list list = {.data = {arena_alloc(run->act->arena, run->limit * sizeof *list.data.items), 0}};
    bool there[PAGE_MAX] = {false};
    ranking->room = run->limit + 1;
    enum err e = rank_all(run, ranking);
    uint32_t count = ranking->count < run->limit ? ranking->count : run->limit;
    if (e == ERR_NONE && count > 0) {
        e = ranked_read(run, ranking, count, list.data.items, there);
    }
    if (e != ERR_NONE) {
        return e;
    }
    uint32_t shown = 0;
    for (size_t size = 0; shown < count && size < LIST_MAX_SIZE; shown++) {
        if (there[shown]) {
            size += record_size(&product_record, &list.data.items[shown]);
            list.data.items[list.data.count++] = list.data.items[shown];
        }
    }
    if (shown > 0) {
        const struct ranked *end = &ranking->items[shown - 1];
        const struct cursor_key last[2] = {{.number = end->value}, {.is_text = true, .text = end->id}};
        page_end(run, last, ranking->count > shown, &list);
    }
    *out = list;
    return ERR_NONE;
}

static enum err page_found(struct page_run *run, struct product_list *out)
{
    AUTO(buffer_release) struct buffer words;
    buffer_init(&words, WORDS_MAX_SIZE);
    words_query(run->view->query->q, &words);
    run->words = buffer_text(&words);
    if (run->words.size == 0) { /* nothing that could be found */
        *out = (struct product_list){0};
        return ERR_NONE;
    }
    return run->sort == &sorts[PRODUCT_BY_RELEVANCE] ? page_ranked(run, out) : page_sorted(run, out);
}

enum err product_mongo_page(struct product_store *self, struct product_act *act, const struct product_view *view,
                            struct product_list *out)
{
    const struct product_query *query = view->query;
    struct page_run run = {.self = self,
                           .act = act,
                           .view = view,
                           .sort = &sorts[product_sort_of(query)],
                           .from_start = !has(product_query, query, cursor),
                           .limit = has(product_query, query, limit) ? (uint32_t)query->limit : PRODUCT_PAGE_DEFAULT};
    enum err e = ERR_NONE;
    if (!run.from_start) {
        e = cursor_read(&product_query_record, query, query->cursor, run.sort->by_text ? "tt" : "it", act->arena,
                        act->fault, run.after);
    }
    if (e != ERR_NONE) {
        return e;
    }
    return has(product_query, query, q) ? page_found(&run, out) : page_sorted(&run, out);
}
