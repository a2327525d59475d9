/* Records as BSON: every record of the shop there and back again, and documents that are no record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/store/bson_record.h"
#include "proto/order.h"
#include "tests/proto/sample.h"

enum { ROUNDS = 40 };

static void test_every_record_survives(void **state)
{
    uint64_t seed = 6;
    (void)state;
    for (const struct record *const *record = sample_records; *record; record++) {
        for (int i = 0; i < ROUNDS; i++) {
            AUTO(arena_release) struct arena arena = {0};
            AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
            struct fault fault;
            void *in = arena_alloc(&arena, (*record)->size), *out = arena_alloc(&arena, (*record)->size);
            fault_init(&fault, &arena);
            sample_fill(*record, &seed, &arena, in);
            bson_put_fields(&document, *record, in);
            assert_true(bson_validate(&document, BSON_VALIDATE_UTF8 | BSON_VALIDATE_EMPTY_KEYS, NULL));
            if (bson_read_record(&document, *record, &arena, &fault, out) != ERR_NONE) {
                fail_msg("%s: %s", (*record)->name, fault.cause);
            }
            assert_true(sample_equal(*record, in, out));
        }
    }
}

static void test_nested_under_a_key(void **state)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    struct fault fault;
    struct order_ref in = {.id = TEXT("ord_1")}, out = {0};
    (void)state;
    fault_init(&fault, &arena);
    bson_put_text(&document, "_id", TEXT("x"));
    bson_put_record(&document, "ref", &order_ref_record, &in);
    assert_int_equal(bson_read_record_at(&document, "ref", &order_ref_record, &arena, &fault, &out), ERR_NONE);
    assert_true(text_is(out.id, "ord_1"));
    assert_int_equal(bson_read_record_at(&document, "none", &order_ref_record, &arena, &fault, &out), ERR_INTERNAL);
    assert_int_equal(bson_read_record_at(&document, "_id", &order_ref_record, &arena, &fault, &out), ERR_INTERNAL);
}

/* Each of these differs from a good document in one thing. */
static void assert_refused(const bson_t *document, const char *cause)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct order_line out, before;
    memset(&out, 7, sizeof out);
    before = out;
    fault_init(&fault, &arena);
    assert_int_equal(bson_read_record(document, &order_line_record, &arena, &fault, &out), ERR_INTERNAL);
    assert_memory_equal(&out, &before, sizeof out);
    if (!strstr(fault.cause, cause)) {
        fail_msg("%s is not in: %s", cause, fault.cause);
    }
}

static void line_put(bson_t *to, bool name, int64_t quantity)
{
    bson_put_text(to, "product_id", TEXT("prd_1"));
    bson_put_text(to, "sku", TEXT("A-1"));
    if (name) {
        bson_put_text(to, "name", TEXT("Apple"));
    }
    bson_put_int(to, "quantity", quantity);
    bson_put_int(to, "price", 100);
    bson_put_int(to, "total", 100);
}

static void test_what_is_no_record_is_refused(void **state)
{
    AUTO(bson_destroy) bson_t good = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t short_of = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t too_many = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t typed = BSON_INITIALIZER;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct order_line out;
    (void)state;
    fault_init(&fault, &arena);
    line_put(&good, true, 1);
    bson_put_text(&good, "of_a_newer_version", TEXT("is skipped"));
    assert_int_equal(bson_read_record(&good, &order_line_record, &arena, &fault, &out), ERR_NONE);
    assert_int_equal(out.quantity, 1);
    line_put(&short_of, false, 1);
    assert_refused(&short_of, "name of a stored order_line");
    line_put(&too_many, true, INT64_MAX);
    assert_refused(&too_many, "/quantity of a stored order_line is out of bounds");
    line_put(&typed, true, 1);
    BSON_APPEND_DOUBLE(&typed, "total", 1.0);
    assert_refused(&typed, "total of a stored order_line");
}

static void test_int32_is_an_integer(void **state)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    int64_t value = 0;
    bool flag = true;
    struct text text = TEXT("untouched");
    bson_t inner;
    (void)state;
    BSON_APPEND_INT32(&document, "n", 7);
    assert_true(bson_get_int(&document, "n", &value));
    assert_int_equal(value, 7);
    assert_false(bson_get_bool(&document, "n", &flag));
    assert_false(bson_get_text(&document, "n", NULL, &text));
    assert_false(bson_get_bytes(&document, "n", NULL, &text));
    assert_false(bson_get_document(&document, "n", &inner));
    assert_false(bson_get_int(&document, "m", &value));
    assert_true(text_is(text, "untouched"));
}

static void test_paths_reach_into_arrays(void **state)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    AUTO(arena_release) struct arena arena = {0};
    const struct text values[] = {TEXT("a"), TEXT("b")};
    struct text text;
    (void)state;
    bson_put_texts(&document, "list", values, 2);
    bson_put_bytes(&document, "bytes", (struct text){"\0\1", 2});
    assert_true(bson_get_text(&document, "list.1", &arena, &text));
    assert_true(text_is(text, "b"));
    assert_true(bson_get_bytes(&document, "bytes", &arena, &text));
    assert_int_equal(text.size, 2);
    assert_int_equal(text.data[1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_record_survives),         cmocka_unit_test(test_nested_under_a_key),
        cmocka_unit_test(test_what_is_no_record_is_refused), cmocka_unit_test(test_int32_is_an_integer),
        cmocka_unit_test(test_paths_reach_into_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
