/* Lists and search. Every order is a sort value with the id as tie break, and a page goes on behind the last row's. */
#include "lib/base/invariant.h"
#include "lib/store/cursor.h"
#include "product-svc/store_sqlite.h"
#include "product-svc/words.h"

/* Parameters: ?1 inactive ones too, ?2 category, ?3 and ?4 price, ?5 in stock, ?6 rows, ?7 and ?8 sort value and id of
 * the last row of the page before, ?9 what words must match, ?10 the words. Absent filters are NULL. */
#define PAGE_SELECT(value)                                                                                             \
    "SELECT p.id AS id, p.name AS name, p.description AS description, p.sku AS sku, p.price AS price,"                 \
    " p.currency AS currency, min(p.stock, 1000000000) AS stock, p.categories AS categories,"                          \
    " p.images AS images, p.active AS active, p.version AS version, p.created_at AS created_at,"                       \
    " p.updated_at AS updated_at, " value " AS sort_value"
#define PAGE_FILTER(value, compare)                                                                                    \
    " p.retired_at IS NULL AND (p.active OR ?1)"                                                                       \
    " AND (?2 IS NULL OR EXISTS(SELECT 1 FROM product_categories c WHERE c.category = ?2 AND c.product = p.row))"      \
    " AND (?3 IS NULL OR p.price_decimal >= ?3) AND (?4 IS NULL OR p.price_decimal <= ?4)"                             \
    " AND (?5 IS NULL OR (p.stock > 0) = ?5) AND (" value ", p.id) " compare " (?7, ?8)"
#define PAGE_ORDER(value, direction) " ORDER BY " value " " direction ", p.id " direction " LIMIT ?6"
#define PAGE_ALL(value, compare, direction)                                                                            \
    PAGE_SELECT(value) " FROM products p WHERE" PAGE_FILTER(value, compare) PAGE_ORDER(value, direction)
#define PAGE_FOUND(value, compare, direction)                                                                          \
    PAGE_SELECT(value)                                                                                                 \
    " FROM product_words w JOIN products p ON p.row = w.rowid WHERE product_words MATCH ?9 AND" PAGE_FILTER(           \
        value, compare) PAGE_ORDER(value, direction)

/* A category of few products is read whole and sorted; any other is picked out of all products in their order. */
enum { CATEGORY_FEW_MAX = 2000 };
#define PAGE_FEW(value, compare, direction)                                                                            \
    PAGE_SELECT(value)                                                                                                 \
    " FROM product_categories f CROSS JOIN products p ON p.row = f.product WHERE f.category = ?2 AND" PAGE_FILTER(     \
        value, compare) PAGE_ORDER(value, direction)
#define PAGE_SORT(value, compare, direction, by_text, falling)                                                         \
    {                                                                                                                  \
        PAGE_ALL(value, compare, direction), PAGE_FEW(value, compare, direction),                                      \
            PAGE_FOUND(value, compare, direction), by_text, falling                                                    \
    }

/* Rank in the high bits, age in the low 44 (milliseconds until the year 2527): of equal ranks the newest goes first. */
#define PAGE_RELEVANCE "((product_rank(p.name_key, p.sku_key, ?10) << 44) + p.created_at)"
_Static_assert(WORDS_RANK_MAX < 1 << 18, "the rank leaves 44 bits below it");

struct page_sort {
    const char *all;   /* every product */
    const char *few;   /* those of a small category */
    const char *found; /* those that match the words */
    bool by_text;      /* what kind the sort value is */
    bool falling;
};

static const struct page_sort sorts[product_sort_count] = {
    [PRODUCT_BY_NEWEST] = PAGE_SORT("p.created_at", "<", "DESC", false, true),
    [PRODUCT_BY_OLDEST] = PAGE_SORT("p.created_at", ">", "ASC", false, false),
    [PRODUCT_BY_PRICE] = PAGE_SORT("p.price_decimal", ">", "ASC", false, false),
    [PRODUCT_BY_PRICE_FALLING] = PAGE_SORT("p.price_decimal", "<", "DESC", false, true),
    [PRODUCT_BY_NAME] = PAGE_SORT("p.name_key", ">", "ASC", true, false),
    [PRODUCT_BY_NAME_FALLING] = PAGE_SORT("p.name_key", "<", "DESC", true, true),
    /* without words everything is equally relevant */
    [PRODUCT_BY_RELEVANCE] = {PAGE_ALL("p.created_at", "<", "DESC"), PAGE_FEW("p.created_at", "<", "DESC"),
                              PAGE_FOUND(PAGE_RELEVANCE, "<", "DESC"), false, true},
};

/* ---- rank ---- */

static struct text value_text(sqlite3_value *value)
{
    const char *data = (const char *)sqlite3_value_text(value);
    return (struct text){data, (uint32_t)sqlite3_value_bytes(value)};
}

static void rank_function(sqlite3_context *context, int count, sqlite3_value **values)
{
    ASSERT(count == 3);
    sqlite3_result_int64(context, words_rank(value_text(values[0]), value_text(values[1]), value_text(values[2])));
}

enum err product_sqlite_rank(struct product_store *self, struct fault *fault)
{
    sqlite3_stmt *any = sqlite_prepare(((struct product_sqlite *)self)->db, "SELECT 1", fault);
    if (!any) {
        return fault->code;
    }
    int code = sqlite3_create_function_v2(sqlite3_db_handle(any), "product_rank", 3,
                                          SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, rank_function,
                                          NULL, NULL, NULL);
    ASSERT(code == SQLITE_OK);
    return ERR_NONE;
}

/* "red"* AND "green"*: the words hold letters and digits only, so nothing of them can be read as syntax. */
static void match_make(struct text words, struct buffer *out)
{
    struct text word;
    while (words.size > 0 && text_cut(&words, ' ', &word)) {
        buffer_add_string(out, out->size > 0 ? " AND \"" : "\"");
        buffer_add_text(out, word);
        buffer_add_string(out, "\"*");
    }
}

/* ---- a page ---- */

struct page_run {
    const struct page_sort *sort;
    const char *sql;
    struct cursor_key after[2]; /* sort value and id of the last row before the page */
    bool from_start;
    int64_t limit;
    struct text words, match; /* empty without q */
};

static void bind_optional_int(sqlite3_stmt *statement, int index, bool given, int64_t value)
{
    if (given) {
        sqlite_bind_int_at(statement, index, value);
    } else {
        sqlite_bind_null_at(statement, index);
    }
}

/* What every sort value is behind. To SQLite a blob is greater than any text. */
static void bind_start(sqlite3_stmt *statement, const struct page_run *run)
{
    if (!run->sort->by_text) {
        sqlite_bind_int_at(statement, 7, run->sort->falling ? INT64_MAX : INT64_MIN);
    } else if (run->sort->falling) {
        sqlite_bind_blob_at(statement, 7, TEXT(""));
    } else {
        sqlite_bind_text_at(statement, 7, TEXT(""));
    }
    sqlite_bind_text_at(statement, 8, TEXT(""));
}

static void bind_page(sqlite3_stmt *statement, const struct product_view *view, const struct page_run *run)
{
    const struct product_query *query = view->query;
    sqlite_bind_int_at(statement, 1, view->inactive_too);
    if (has(product_query, query, category)) {
        sqlite_bind_text_at(statement, 2, query->category);
    }
    bind_optional_int(statement, 3, has(product_query, query, price_gte), query->price_gte);
    bind_optional_int(statement, 4, has(product_query, query, price_lte), query->price_lte);
    bind_optional_int(statement, 5, has(product_query, query, in_stock), query->in_stock);
    sqlite_bind_int_at(statement, 6, run->limit + 1); /* one more tells whether there is a next page */
    if (run->from_start) {
        bind_start(statement, run);
    } else {
        if (run->sort->by_text) {
            sqlite_bind_text_at(statement, 7, run->after[0].text);
        } else {
            sqlite_bind_int_at(statement, 7, run->after[0].number);
        }
        sqlite_bind_text_at(statement, 8, run->after[1].text);
    }
    if (run->match.size > 0) {
        sqlite_bind_text_at(statement, 9, run->match);
    }
    if (run->sql == sorts[PRODUCT_BY_RELEVANCE].found) {
        sqlite_bind_text_at(statement, 10, run->words);
    }
}

static enum err page_read(struct product_store *self, struct product_act *act, const struct product_view *view,
                          const struct page_run *run, struct product_list *out)
{
    bool row;
    size_t size = 0;
    struct product_list list = {0};
    struct cursor_key last[2] = {{.is_text = run->sort->by_text}, {.is_text = true}};
    sqlite3_stmt *page = product_prepare(self, act, run->sql);
    if (!page) {
        return act->fault->code;
    }
    bind_page(page, view, run);
    list.data.items = arena_alloc(act->arena, (size_t)run->limit * sizeof *list.data.items);
    enum err e = product_step(self, act, page, &row);
    while (e == ERR_NONE && row && list.data.count < run->limit && size < LIST_MAX_SIZE) {
        struct product *product = &list.data.items[list.data.count++];
        int value_at = sqlite3_column_count(page) - 1;
        e = sqlite_read_record(page, &product_record, act->arena, act->fault, product);
        if (e != ERR_NONE) {
            break;
        }
        size += record_size(&product_record, product);
        if (list.data.count == run->limit || size >= LIST_MAX_SIZE) { /* the page may end here */
            last[0].text = run->sort->by_text ? sqlite_text_at(page, value_at, act->arena) : (struct text){0};
            last[0].number = run->sort->by_text ? 0 : sqlite_int_at(page, value_at);
            last[1].text = product->id;
        }
        e = product_step(self, act, page, &row);
    }
    (void)sqlite3_reset(page);
    if (e != ERR_NONE) {
        return e;
    }
    if (row) {
        list.has_more = true;
        list.next_cursor = cursor_make(&product_query_record, view->query, last, 2, act->arena);
        set_has(product_list, &list, next_cursor);
    }
    *out = list;
    return ERR_NONE;
}

static enum err category_is_small(struct product_store *self, struct product_act *act, struct text category, bool *out)
{
    bool row;
    sqlite3_stmt *count = product_prepare(
        self, act, "SELECT count(*) FROM (SELECT 1 FROM product_categories WHERE category = ?1 LIMIT ?2)");
    if (!count) {
        return act->fault->code;
    }
    sqlite_bind_text_at(count, 1, category);
    sqlite_bind_int_at(count, 2, CATEGORY_FEW_MAX + 1);
    enum err e = product_step(self, act, count, &row);
    if (e == ERR_NONE) {
        *out = sqlite_int_at(count, 0) <= CATEGORY_FEW_MAX;
        (void)sqlite3_reset(count);
    }
    return e;
}

/* The statement for a query without words. */
static enum err choose_sql(struct product_store *self, struct product_act *act, const struct product_query *query,
                           struct page_run *run)
{
    bool small = false;
    enum err e = ERR_NONE;
    if (has(product_query, query, category)) {
        e = category_is_small(self, act, query->category, &small);
    }
    run->sql = small ? run->sort->few : run->sort->all;
    return e;
}

static enum err page_found(struct product_store *self, struct product_act *act, const struct product_view *view,
                           struct page_run *run, struct product_list *out)
{
    AUTO(buffer_release) struct buffer words;
    AUTO(buffer_release) struct buffer match;
    buffer_init(&words, WORDS_MAX_SIZE);
    buffer_init(&match, 2 * WORDS_MAX_SIZE);
    words_query(view->query->q, &words);
    match_make(buffer_text(&words), &match);
    if (match.size == 0) { /* nothing that could be found */
        *out = (struct product_list){0};
        return ERR_NONE;
    }
    run->words = buffer_text(&words);
    run->match = buffer_text(&match);
    run->sql = run->sort->found;
    return page_read(self, act, view, run, out);
}

enum err product_sqlite_page(struct product_store *self, struct product_act *act, const struct product_view *view,
                             struct product_list *out)
{
    const struct product_query *query = view->query;
    struct page_run run = {.sort = &sorts[product_sort_of(query)],
                           .from_start = !has(product_query, query, cursor),
                           .limit = has(product_query, query, limit) ? query->limit : PRODUCT_PAGE_DEFAULT};
    enum err e = ERR_NONE;
    if (!run.from_start) {
        e = cursor_read(&product_query_record, query, query->cursor, run.sort->by_text ? "tt" : "it", act->arena,
                        act->fault, run.after);
    }
    if (e == ERR_NONE && has(product_query, query, q)) {
        return page_found(self, act, view, &run, out);
    }
    if (e == ERR_NONE) {
        e = choose_sql(self, act, query, &run);
    }
    return e == ERR_NONE ? page_read(self, act, view, &run, out) : e;
}
