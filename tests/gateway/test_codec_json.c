#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/codec_json.h"
#include "proto/ops.h"
#include "tests/proto/bounds.h"

struct world {
    struct arena arena;
    struct fault fault;
};

static int world_begin(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    fault_init(&world->fault, &world->arena);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    arena_release(&world->arena);
    mem_free(world);
    return 0;
}

static void test_reads_a_product(void **state)
{
    struct world *w = *state;
    struct product_new in = {0};
    assert_int_equal(
        json_read(&product_new_record,
                  TEXT("{\"name\":\"Caf\\u00e9\",\"price\":29.99,\"stock\":100,\"categories\":[\"a\",\"b\"],"
                       "\"active\":false,\"sku\":null}"),
                  0, &w->arena, &w->fault, &in),
        ERR_NONE);
    assert_true(text_is(in.name, "Caf\xc3\xa9"));
    assert_int_equal(in.price, 299900);
    assert_int_equal(in.stock, 100);
    assert_int_equal(in.categories.count, 2);
    assert_true(text_is(in.categories.items[1], "b"));
    assert_true(has(product_new, &in, active) && !in.active);
    assert_false(has(product_new, &in, sku));
    assert_false(has(product_new, &in, images));
}

static void test_lists_every_problem(void **state)
{
    struct world *w = *state;
    struct order_new in = {0};
    assert_int_equal(json_read(&order_new_record,
                               TEXT("{\"items\":[{\"product_id\":\"p\",\"quantity\":0},{\"quantity\":1.0,\"a/b\":1},7],"
                                    "\"shipping_address\":{\"name\":\"\",\"country\":\"CHE\"},\"note\":5,\"x\":1}"),
                               0, &w->arena, &w->fault, &in),
                     ERR_INVALID_BODY);
    assert_item(w->fault, "/items/0/quantity", "out_of_range");
    assert_item(w->fault, "/items/1/quantity", "wrong_type");
    assert_item(w->fault, "/items/1/product_id", "required");
    assert_item(w->fault, "/items/1/a~1b", "unknown_field");
    assert_item(w->fault, "/items/2", "wrong_type");
    assert_item(w->fault, "/shipping_address/name", "out_of_range");
    assert_item(w->fault, "/shipping_address/country", "out_of_range");
    assert_item(w->fault, "/shipping_address/line1", "required");
    assert_item(w->fault, "/note", "wrong_type");
    assert_item(w->fault, "/x", "unknown_field");
}

static void test_amounts(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *price;
        int64_t decimal; /* -1: refused */
    } all[] = {{"0", 0},
               {"5", 50000},
               {"29.99", 299900},
               {"0.1", 1000},
               {"0.0001", 1},
               {"1e2", 1000000},
               {"9999999999.99", DECIMAL_MAX},
               {"-1", -1},
               {"-0.01", -1},
               {"0.00001", -1},
               {"10000000000", -1},
               {"1e30", -1},
               {"\"5\"", -1},
               {"true", -1},
               {"null", -1},
               {"9223372036854775807", -1}};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        char json[128];
        struct product_new in = {0};
        fault_init(&w->fault, &w->arena);
        snprintf(json, sizeof json, "{\"name\":\"n\",\"stock\":1,\"price\":%s}", all[i].price);
        enum err e = json_read(&product_new_record, text_of(json), 0, &w->arena, &w->fault, &in);
        assert_int_equal(e, all[i].decimal < 0 ? ERR_INVALID_BODY : ERR_NONE);
        if (e == ERR_NONE) {
            assert_int_equal(in.price, all[i].decimal);
        } else {
            assert_string_equal(w->fault.items[0].pointer.data, "/price");
        }
    }
}

static void test_fields_of_the_path_are_unknown_in_the_body(void **state)
{
    struct world *w = *state;
    struct product_edit in = {.id = TEXT("prd_1")};
    set_has(product_edit, &in, id);
    uint64_t preset = UINT64_C(1) << product_edit_at_id;
    assert_int_equal(json_read(&product_edit_record, TEXT("{\"name\":\"n\"}"), preset, &w->arena, &w->fault, &in),
                     ERR_NONE);
    assert_true(text_is(in.id, "prd_1"));
    assert_int_equal(json_read(&product_edit_record, TEXT("{\"id\":\"x\"}"), preset, &w->arena, &w->fault, &in),
                     ERR_INVALID_BODY);
    assert_item(w->fault, "/id", "unknown_field");
}

static void test_nothing_takes_nothing(void **state)
{
    struct world *w = *state;
    struct nothing in = {0};
    assert_int_equal(json_read(&nothing_record, TEXT(""), 0, &w->arena, &w->fault, &in), ERR_NONE);
    assert_int_equal(json_read(&nothing_record, TEXT("{}"), 0, &w->arena, &w->fault, &in), ERR_NONE);
    assert_int_equal(json_read(&nothing_record, TEXT("{\"nothing\":true}"), 0, &w->arena, &w->fault, &in),
                     ERR_INVALID_BODY);
}

static void test_empty_body_names_what_is_required(void **state)
{
    struct world *w = *state;
    struct product_new in = {0};
    assert_int_equal(json_read(&product_new_record, (struct text){0}, 0, &w->arena, &w->fault, &in), ERR_INVALID_BODY);
    assert_item(w->fault, "/name", "required");
    assert_item(w->fault, "/price", "required");
    assert_item(w->fault, "/stock", "required");
}

static void test_no_body_is_needed_where_the_path_says_all(void **state)
{
    struct world *w = *state;
    struct user_ref in = {0};
    assert_int_equal(json_read(&user_ref_record, TEXT(""), 1, &w->arena, &w->fault, &in), ERR_NONE);
    assert_int_equal(json_read(&user_ref_record, TEXT("{}"), 1, &w->arena, &w->fault, &in), ERR_NONE);
    assert_int_equal(json_read(&user_ref_record, TEXT("{\"id\":\"x\"}"), 1, &w->arena, &w->fault, &in),
                     ERR_INVALID_BODY);
    assert_item(w->fault, "/id", "unknown_field");
    assert_false(json_is_expected(&user_ref_record, 1));
    assert_true(json_is_expected(&user_ref_record, 0));
    assert_false(json_is_expected(&nothing_record, 0));
}

static void test_edits_need_a_body_and_no_nulls(void **state)
{
    struct world *w = *state;
    struct product_edit in = {0};
    assert_int_equal(json_read(&product_edit_record, TEXT(""), 1, &w->arena, &w->fault, &in), ERR_INVALID_BODY);
    assert_item(w->fault, "", "required");
    assert_int_equal(json_read(&product_edit_record, TEXT("{}"), 1, &w->arena, &w->fault, &in), ERR_NONE);
    assert_int_equal(json_read(&product_edit_record, TEXT("{\"stock\":null}"), 1, &w->arena, &w->fault, &in),
                     ERR_INVALID_BODY);
    assert_item(w->fault, "/stock", "wrong_type");
}

static void test_enum_message_names_the_choice(void **state)
{
    struct world *w = *state;
    struct user_role_set in = {0};
    assert_int_equal(json_read(&user_role_set_record, TEXT("{\"role\":\"king\"}"), 1, &w->arena, &w->fault, &in),
                     ERR_INVALID_BODY);
    assert_string_equal(w->fault.items[0].message.data, "takes one of customer, admin");
}

/* What stands at a bound is read from a body; one beyond is refused at its place. Times and amounts in minor units are
 * in no body. */
static void see_bound(const struct bound_case *found, void *user)
{
    enum field_kind kind = found->field->kind;
    AUTO(buffer_release) struct buffer body;
    struct fault fault;
    (void)user;
    if (kind == FIELD_TIME || kind == FIELD_MONEY || kind == FIELD_RAW) {
        return;
    }
    buffer_init(&body, 4 * 1024 * 1024);
    fault_init(&fault, found->arena);
    assert_true(json_write(found->wide, found->value, &body));
    void *out = arena_alloc(found->arena, found->record->size);
    enum err e = json_read(found->record, buffer_text(&body), 0, found->arena, &fault, out);
    if (e != (found->within ? ERR_NONE : ERR_INVALID_BODY)) {
        fail_msg("%s.%s %s: %d", found->record->name, found->field->name, found->within ? "within" : "beyond", e);
    }
    if (!found->within) {
        assert_memory_equal(fault.items[0].pointer.data + 1, found->field->name, found->field->name_size);
        assert_true(text_is(fault.items[0].code, "out_of_range") || text_is(fault.items[0].code, "too_many") ||
                    text_is(fault.items[0].code, "too_few"));
    }
}

static void test_every_field_of_a_body_stops_at_its_bounds(void **state)
{
    static const struct record *const bodies[] = {
#define OP(service, name, method, path, role, key, access, priority, budget_ms, request, reply, status) \
    HTTP_##method == HTTP_POST || HTTP_##method == HTTP_PUT ? &request##_record : NULL,
#include "proto/ops/all.def"
    };
    int count = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        count += bodies[i] ? bounds_walk(bodies[i], see_bound, NULL) : 0;
    }
    assert_true(count > 100);
}

static void check_written(const struct record *record, const void *in, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 100000);
    assert_true(json_write(record, in, &out));
    (void)buffer_add_char(&out, '\0');
    assert_string_equal(out.data, expected);
    buffer_release(&out);
}

static void test_writes_an_order(void **state)
{
    (void)state;
    struct order_line line = {
        .product_id = TEXT("p"), .sku = TEXT("s\"\n"), .name = TEXT("n"), .price = 1999, .quantity = 2, .total = 3998};
    struct order_move move = {.status = ORDER_PENDING, .at = 0, .by = TEXT("u")};
    struct order order = {.id = TEXT("o"),
                          .number = TEXT("1"),
                          .user_id = TEXT("u"),
                          .subtotal = 3998,
                          .total = 3998,
                          .currency = TEXT("USD"),
                          .version = 1,
                          .created_at = INT64_C(1700000000123)};
    order.lines.items = &line;
    order.lines.count = 1;
    order.history.items = &move;
    order.history.count = 1;
    check_written(&order_record, &order,
                  "{\"id\":\"o\",\"number\":\"1\",\"user_id\":\"u\",\"status\":\"pending\",\"payment_status\":\"none\","
                  "\"fulfillment_status\":\"unfulfilled\",\"lines\":[{\"product_id\":\"p\",\"sku\":\"s\\\"\\n\","
                  "\"name\":\"n\",\"price\":19.99,\"quantity\":2,\"total\":39.98}],\"subtotal\":39.98,\"total\":39.98,"
                  "\"currency\":\"USD\",\"shipping_address\":null,\"note\":null,\"history\":[{\"status\":\"pending\","
                  "\"at\":\"1970-01-01T00:00:00.000Z\",\"by\":\"u\"}],\"version\":1,"
                  "\"created_at\":\"2023-11-14T22:13:20.123Z\",\"updated_at\":\"1970-01-01T00:00:00.000Z\"}");
}

static void test_lines_take_the_currency_around_them(void **state)
{
    (void)state;
    struct order_line line = {
        .product_id = TEXT("p"), .sku = TEXT("s"), .name = TEXT("n"), .price = 500, .quantity = 1, .total = 500};
    struct order order = {.currency = TEXT("JPY"), .subtotal = 500, .total = 500};
    struct buffer out;
    order.lines.items = &line;
    order.lines.count = 1;
    buffer_init(&out, 100000);
    assert_true(json_write(&order_record, &order, &out));
    assert_non_null(memmem(out.data, out.size, "\"price\":500,", 12));
    assert_non_null(memmem(out.data, out.size, "\"total\":500,", 12));
    buffer_release(&out);
}

static void test_stops_at_the_maximum(void **state)
{
    (void)state;
    struct product_ref ref = {.id = TEXT("0123456789")};
    struct buffer out;
    buffer_init(&out, 12);
    assert_false(json_write(&product_ref_record, &ref, &out));
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_a_product, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_lists_every_problem, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_amounts, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_fields_of_the_path_are_unknown_in_the_body, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_nothing_takes_nothing, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_empty_body_names_what_is_required, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_no_body_is_needed_where_the_path_says_all, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_edits_need_a_body_and_no_nulls, world_begin, world_end),
        cmocka_unit_test_setup_teardown(test_enum_message_names_the_choice, world_begin, world_end),
        cmocka_unit_test(test_every_field_of_a_body_stops_at_its_bounds),
        cmocka_unit_test(test_writes_an_order),
        cmocka_unit_test(test_lines_take_the_currency_around_them),
        cmocka_unit_test(test_stops_at_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
