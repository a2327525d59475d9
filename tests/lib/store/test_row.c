/* Records as rows: what is bound comes back, absent fields are NULL, what cannot be a record is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lib/store/sqlite.h"
#include "proto/order.h"

static const char *const migrations[] = {
    "CREATE TABLE orders(id TEXT PRIMARY KEY, number TEXT, user_id TEXT, status TEXT, payment_status TEXT, "
    "fulfillment_status TEXT, lines BLOB, subtotal INTEGER, total INTEGER, currency TEXT, shipping_address BLOB, "
    "note TEXT, history BLOB, version INTEGER, created_at INTEGER, updated_at INTEGER, other TEXT) STRICT;"};
static const struct sqlite_schema schema = {"row.db", migrations, 1};

struct place {
    char folder[64];
    struct sqlite_db *db;
    struct arena arena;
    struct fault fault;
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    char url[128];
    snprintf(place->folder, sizeof place->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(url, sizeof url, "sqlite:%s", place->folder);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    fault_init(&place->fault, &place->arena);
    assert_int_equal(sqlite_db_open(&config, &schema, true, NULL, &place->fault, &place->db), ERR_NONE);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    char command[128];
    sqlite_db_destroy(&place->db);
    arena_release(&place->arena);
    snprintf(command, sizeof command, "rm -r '%s'", place->folder);
    int status = system(command);
    free(place);
    return status;
}

static struct order_line lines[] = {
    {.product_id = {"prd_1", 5},
     .sku = {"A", 1},
     .name = {"Caf\xc3\xa9", 5},
     .price = 250,
     .quantity = 2,
     .total = 500},
    {.product_id = {"prd_2", 5}, .sku = {"B", 1}, .name = {"Tea", 3}, .price = 1, .quantity = 3, .total = 3}};
static struct order_move history[] = {{.status = ORDER_PENDING, .at = 7, .by = {"usr_1", 5}}};
static struct address address = {.name = {"N", 1}, .line1 = {"L", 1}, .city = {"C", 1}, .postal_code = {"1", 1},
                                 .country = {"DE", 2}};

static struct order sample(void)
{
    return (struct order){.id = TEXT("ord_1"), .number = TEXT("N-1"), .user_id = TEXT("usr_1"),
                          .status = ORDER_CONFIRMED, .fulfillment_status = FULFILLMENT_UNFULFILLED,
                          .lines = {lines, 2}, .subtotal = 503, .total = 503, .currency = TEXT("EUR"),
                          .history = {history, 1}, .version = 3, .created_at = 7, .updated_at = 9};
}

static void store(struct place *place, const struct order *order)
{
    sqlite3_stmt *insert = sqlite_prepare(
        place->db,
        "INSERT INTO orders VALUES(:id, :number, :user_id, :status, :payment_status, :fulfillment_status, :lines, "
        ":subtotal, :total, :currency, :shipping_address, :note, :history, :version, :created_at, :updated_at, 'x')",
        NULL);
    assert_non_null(insert);
    sqlite_bind_record(insert, &order_record, order, &place->arena);
    assert_int_equal(sqlite_run(place->db, insert, &place->fault), ERR_NONE);
}

static enum err load(struct place *place, const char *sql, struct order *out)
{
    sqlite3_stmt *select = sqlite_prepare(place->db, sql, NULL);
    assert_non_null(select);
    assert_int_equal(sqlite_step(place->db, select, NULL), SQLITE_STEP_ROW);
    enum err e = sqlite_read_record(select, &order_record, &place->arena, &place->fault, out);
    (void)sqlite3_reset(select);
    return e;
}

static void test_round_trip(void **state)
{
    struct place *place = *state;
    struct order in = sample();
    in.shipping_address = &address;
    set_has(order, &in, shipping_address);
    store(place, &in);
    struct order out;
    assert_int_equal(load(place, "SELECT * FROM orders", &out), ERR_NONE);
    /* equal records pack to equal bytes */
    struct text before = record_pack_in(&order_record, &in, &place->arena);
    struct text after = record_pack_in(&order_record, &out, &place->arena);
    assert_true(text_equal(before, after));
    assert_true(has(order, &out, shipping_address));
    assert_false(has(order, &out, note));
    assert_true(text_is(out.lines.items[0].name, "Caf\xc3\xa9"));
}

static void test_columns_in_any_order(void **state)
{
    struct place *place = *state;
    struct order in = sample();
    store(place, &in);
    struct order out;
    assert_int_equal(load(place,
        "SELECT other, updated_at, created_at, version, history, currency, total, subtotal, lines, fulfillment_status, "
        "payment_status, status, user_id, number, id FROM orders", &out), ERR_NONE);
    assert_int_equal(out.status, ORDER_CONFIRMED);
    assert_int_equal(out.updated_at, 9);
}

static void test_missing_columns_are_refused(void **state)
{
    struct place *place = *state;
    struct order in = sample();
    store(place, &in);
    struct order out = {.version = 42};
    assert_int_equal(load(place, "SELECT id, number FROM orders", &out), ERR_INTERNAL);
    assert_int_equal(out.version, 42);
}

static void test_spoilt_rows_are_refused(void **state)
{
    struct place *place = *state;
    const char *spoils[] = {"UPDATE orders SET status = 'melted'",
                            "UPDATE orders SET status = 'pending', lines = x'c1'",
                            "UPDATE orders SET lines = x'81a56c696e6573a0'"};
    struct order in = sample();
    store(place, &in);
    for (size_t i = 0; i < ARRAY_COUNT(spoils); i++) {
        sqlite3_stmt *spoil = sqlite_prepare(place->db, spoils[i], NULL);
        assert_non_null(spoil);
        assert_int_equal(sqlite_run(place->db, spoil, NULL), ERR_NONE);
        struct order out;
        assert_int_equal(load(place, "SELECT * FROM orders", &out), ERR_INTERNAL);
        assert_true(place->fault.cause[0] != '\0');
    }
}

static void test_statements_over_records(void **state)
{
    struct place *place = *state;
    struct order in = sample(), out[3];
    uint32_t count = 9;
    static const char insert[] =
        "INSERT INTO orders VALUES(:id, :number, :user_id, :status, :payment_status, :fulfillment_status, :lines, "
        ":subtotal, :total, :currency, :shipping_address, :note, :history, :version, :created_at, :updated_at, 'x')";
    static const char all[] = "SELECT * FROM orders ORDER BY version";
    static const char one[] = "SELECT * FROM orders WHERE id = ?1";
    static const char raise[] = "UPDATE orders SET version = ?1, total = ?2 WHERE version < ?1";
    static const char sums[] = "SELECT COUNT(*), SUM(total) FROM orders";
    static const char none[] = "SELECT version FROM orders WHERE id = 'none'";
    assert_int_equal(sqlite_find_record(place->db, one, in.id, &order_record, &place->arena, &place->fault, out),
                     ERR_NOT_FOUND);
    assert_int_equal(place->fault.code, ERR_NONE);
    assert_int_equal(sqlite_run_record(place->db, insert, &order_record, &in, &place->fault), ERR_NONE);
    assert_int_equal(sqlite_run_record(place->db, insert, &order_record, &in, &place->fault), ERR_CONFLICT);
    fault_init(&place->fault, &place->arena);
    in.id = TEXT("ord_2");
    in.version = 2;
    assert_int_equal(sqlite_run_record(place->db, insert, &order_record, &in, &place->fault), ERR_NONE);
    assert_int_equal(sqlite_find_record(place->db, one, in.id, &order_record, &place->arena, &place->fault, out),
                     ERR_NONE);
    assert_int_equal(out[0].version, 2);
    for (uint32_t max = 1; max <= 3; max++) {
        sqlite3_stmt *select = sqlite_prepare(place->db, all, &place->fault);
        assert_int_equal(
            sqlite_read_records(place->db, select, &order_record, max, &place->arena, &place->fault, out, &count),
            ERR_NONE);
        assert_int_equal(count, max < 2 ? max : 2);
        assert_true(text_is(out[0].id, "ord_2"));
    }
    assert_int_equal(sqlite_run_numbers(place->db, raise, (const int64_t[]){3, 10}, 2, &place->fault), ERR_NONE);
    assert_int_equal(sqlite_changes_of(place->db), 1);
    int64_t numbers[2];
    assert_int_equal(sqlite_read_numbers(place->db, sums, 2, &place->fault, numbers), ERR_NONE);
    assert_int_equal(numbers[0], 2);
    assert_int_equal(numbers[1], 513);
    assert_int_equal(sqlite_read_numbers(place->db, none, 1, &place->fault, numbers), ERR_INTERNAL);
    assert_int_equal(numbers[0], 2);
    fault_init(&place->fault, &place->arena);
    assert_int_equal(sqlite_run_numbers(place->db, "UPDATE orders SET status = 'melted' WHERE version >= ?1",
                                        (const int64_t[]){0}, 1, &place->fault), ERR_NONE);
    sqlite3_stmt *select = sqlite_prepare(place->db, all, &place->fault);
    assert_int_equal(
        sqlite_read_records(place->db, select, &order_record, 3, &place->arena, &place->fault, out, &count),
        ERR_INTERNAL);
    assert_int_equal(count, 2); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_columns_in_any_order, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_missing_columns_are_refused, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_spoilt_rows_are_refused, place_make, place_drop),
        cmocka_unit_test_setup_teardown(test_statements_over_records, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
