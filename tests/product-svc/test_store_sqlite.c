/* What is particular to the SQLite store: one writer, readers beside it, and constraints that have the last word. What
 * every store promises is in tests/contract/contract_product*.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "product-svc/store.h"

struct place {
    char folder[64];
    char url[80];
    struct store_config config;
    struct arena arena;
    struct fault fault;
    struct product_store *writer;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->url, sizeof place->url, "sqlite:%s", place->folder);
    place->config = (struct store_config){.store = place->url, .store_busy_ms = 50};
    fault_init(&place->fault, &place->arena);
    assert_int_equal(
        product_store_open(&place->config, &(struct product_access){.writer = true}, &place->fault, &place->writer),
        ERR_NONE);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    char command[128];
    product_store_destroy(&place->writer);
    arena_release(&place->arena);
    snprintf(command, sizeof command, "rm -r '%s'", place->folder);
    int status = system(command);
    free(place);
    return status;
}

static struct product_act act_of(struct place *place)
{
    return (struct product_act){.arena = &place->arena,
                                .fault = &place->fault,
                                .now_ms = 1000,
                                .request_id = TEXT("0123456789abcdef"),
                                .fingerprint = TEXT("f")};
}

static enum err insert(struct place *place)
{
    struct product_act act = act_of(place);
    struct product out, product = {.id = TEXT("prd_1"),
                                   .name = TEXT("Chair"),
                                   .sku = TEXT("C"),
                                   .currency = TEXT("USD"),
                                   .stock = 3,
                                   .active = true,
                                   .version = 1};
    return place->writer->ops->insert(place->writer, &act, &product, &out);
}

static enum err get(struct place *place, struct product_store *store)
{
    struct product out;
    struct product_act act = act_of(place);
    assert_int_equal(store->unit->begin(store->handle, false, &place->fault), ERR_NONE);
    enum err e = store->ops->get(store, &act, TEXT("prd_1"), true, &out);
    assert_int_equal(store->unit->commit(store->handle, &place->fault), ERR_NONE);
    return e;
}

static void a_second_writer_is_refused(void **state)
{
    struct place *place = *state;
    struct product_store *second = NULL;
    assert_int_equal(
        product_store_open(&place->config, &(struct product_access){.writer = true}, &place->fault, &second),
        ERR_SERVICE_UNAVAILABLE);
    assert_null(second);
    assert_non_null(strstr(place->fault.detail, "mongodb"));
}

static void readers_see_what_was_committed(void **state)
{
    struct place *place = *state;
    struct product_store *reader, *writer = place->writer;
    assert_int_equal(
        product_store_open(&place->config, &(struct product_access){.writer = false}, &place->fault, &reader),
        ERR_NONE);
    assert_int_equal(writer->unit->begin(writer->handle, true, &place->fault), ERR_NONE);
    assert_int_equal(insert(place), ERR_NONE);
    assert_int_equal(get(place, reader), ERR_NOT_FOUND);
    assert_int_equal(writer->unit->commit(writer->handle, &place->fault), ERR_NONE);
    assert_int_equal(get(place, reader), ERR_NONE);
    product_store_destroy(&reader);
}

static void readers_search_too(void **state)
{
    struct place *place = *state;
    struct product_store *reader;
    struct product_list list;
    struct product_query query = {.q = TEXT("cha")};
    struct product_view view = {&query, false};
    struct product_act act = act_of(place);
    set_has(product_query, &query, q);
    assert_int_equal(insert(place), ERR_NONE);
    assert_int_equal(
        product_store_open(&place->config, &(struct product_access){.writer = false}, &place->fault, &reader),
        ERR_NONE);
    assert_int_equal(reader->ops->page(reader, &act, &view, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    product_store_destroy(&reader);
}

/* A statement behind the store's back. */
static void assert_refused(struct place *place, const char *sql)
{
    char path[100];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/product.db", place->folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL) & 0xff, SQLITE_CONSTRAINT);
    sqlite3_close(db);
}

static void constraints_have_the_last_word(void **state)
{
    struct place *place = *state;
    struct product_act act = act_of(place);
    struct product_reserved out;
    struct reserve_line line = {.product_id = TEXT("prd_1"), .quantity = 1};
    struct product_reserve in = {.order_id = TEXT("ord_1"), .fingerprint = TEXT("f"), .lines = {&line, 1}};
    assert_int_equal(insert(place), ERR_NONE);
    assert_int_equal(place->writer->ops->reserve(place->writer, &act, &in, &out), ERR_NONE);
    assert_refused(place, "UPDATE products SET stock = stock - 3");
    assert_refused(place, "INSERT INTO holds SELECT * FROM holds");
    assert_refused(place, "UPDATE holds SET quantity = 0");
    assert_refused(place,
                   "INSERT INTO products SELECT NULL, 'prd_2', name, description, sku, price, currency, price_decimal,"
                   " stock, categories, images, active, version, created_at, updated_at, retired_at, name_key,"
                   " sku_key, fingerprint, stock_changes, news FROM products");
}

/* ---- plans ---- */

/* Every order costs the same however many products and holds there are: nothing reads a whole table. */
static void assert_no_scan(sqlite3 *db, const char *sql)
{
    char explained[4000];
    sqlite3_stmt *plan;
    snprintf(explained, sizeof explained, "EXPLAIN QUERY PLAN %s", sql);
    if (sqlite3_prepare_v2(db, explained, -1, &plan, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", sqlite3_errmsg(db), sql);
    }
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        bool whole = strncmp(detail, "SCAN ", 5) == 0 && !strstr(detail, " USING ") && detail[5] != '(' &&
                     strcmp(detail, "SCAN CONSTANT ROW") != 0;
        if (whole) {
            fail_msg("%s: %s", detail, sql);
        }
    }
    sqlite3_finalize(plan);
}

static void no_order_reads_a_whole_table(void **state)
{
    struct place *place = *state;
    struct product_act act = act_of(place);
    struct product_store *store = place->writer;
    struct product_reserved out;
    struct text_list stale;
    bool more;
    int64_t count;
    int statements = 0;
    struct reserve_line line = {.product_id = TEXT("prd_1"), .quantity = 1};
    struct product_reserve in = {.order_id = TEXT("ord_1"), .fingerprint = TEXT("f"), .lines = {&line, 1}};
    struct hold_order order = {.order_id = in.order_id, .step = HOLD_RELEASE};
    struct product_settle settle = {.orders = {&order, 1}};
    assert_int_equal(insert(place), ERR_NONE);
    assert_int_equal(store->ops->reserve(store, &act, &in, &out), ERR_NONE);
    assert_int_equal(store->ops->settle(store, &act, &settle), ERR_NONE);
    assert_int_equal(store->ops->stale_holds(store, &act, 1, &stale), ERR_NONE);
    assert_int_equal(store->ops->tell_stock(store, &act, &more), ERR_NONE);
    assert_int_equal(store->ops->purge(store, &act, 1, &count), ERR_NONE);
    sqlite3_stmt *any = sqlite_prepare(store->handle, "SELECT 1", &place->fault);
    sqlite3 *db = sqlite3_db_handle(any);
    for (sqlite3_stmt *one = sqlite3_next_stmt(db, NULL); one; one = sqlite3_next_stmt(db, one)) {
        const char *sql = sqlite3_sql(one);
        bool reads =
            strncmp(sql, "SELECT ", 7) == 0 || strncmp(sql, "UPDATE ", 7) == 0 || strncmp(sql, "DELETE ", 7) == 0;
        if (reads && !strstr(sql, "product_words_")) { /* those are FTS5's own */
            assert_no_scan(db, sql);
            statements++;
        }
    }
    assert_true(statements >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_writer_is_refused, place_make, place_drop),
        cmocka_unit_test_setup_teardown(readers_see_what_was_committed, place_make, place_drop),
        cmocka_unit_test_setup_teardown(readers_search_too, place_make, place_drop),
        cmocka_unit_test_setup_teardown(constraints_have_the_last_word, place_make, place_drop),
        cmocka_unit_test_setup_teardown(no_order_reads_a_whole_table, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
