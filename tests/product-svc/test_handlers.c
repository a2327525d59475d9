/* The operations of product-svc over the real bus. */
#include "tests/product-svc/world.h"

#include <stdio.h>

#include "proto/ident.h"

enum { CALLERS = 8, CALLS_EACH = 40 };

/* ---- tests ---- */

static void a_product_lives(void **state)
{
    struct world *world = *state;
    struct caller one = admin(), anyone = {.role = ROLE_CUSTOMER};
    struct product product = made(world, "Test Product", 100), out = {0};
    assert_true(ident_is(product.id, "prd"));
    assert_true(text_starts_with(product.sku, "SKU-") && text_is(product.currency, "USD"));
    assert_int_equal(product.price, 2999);
    assert_int_equal(product.version, 1);
    assert_true(product.created_at == product.updated_at && product.created_at > 0);
    struct product_ref ref = {.id = product.id};
    id_new(anyone.request_id);
    assert_int_equal(ask(world, &anyone, OP_product_get, &ref, &out), ERR_NONE);
    assert_true(text_equal(out.sku, product.sku));
    struct product_edit edit = {.id = product.id, .name = TEXT("Renamed")};
    set_has(product_edit, &edit, name);
    assert_int_equal(ask(world, &one, OP_product_update, &edit, &out), ERR_NONE);
    assert_true(text_is(out.name, "Renamed") && out.version == 2);
    struct product_query query = {.q = TEXT("rena")};
    struct product_list list = {0};
    set_has(product_query, &query, q);
    id_new(anyone.request_id);
    assert_int_equal(ask(world, &anyone, OP_product_list, &query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    struct nothing nothing;
    id_new(one.request_id);
    assert_int_equal(ask(world, &one, OP_product_remove, &ref, &nothing), ERR_NONE);
    id_new(one.request_id);
    assert_int_equal(ask(world, &one, OP_product_remove, &ref, &nothing), ERR_NOT_FOUND);
    id_new(one.request_id);
    assert_int_equal(ask(world, &one, OP_product_get, &ref, &out), ERR_NOT_FOUND);
}

static void bad_fields_are_named_and_nothing_is_made(void **state)
{
    struct world *world = *state;
    struct caller one = admin();
    struct text images[] = {TEXT("file:///etc/passwd")};
    struct product out;
    struct product_list list = {0};
    struct product_query query = {0};
    struct product_new in = {.name = TEXT("x"), .price = 299999, .images = {images, 1}};
    set_has(product_new, &in, images);
    assert_int_equal(ask(world, &one, OP_product_create, &in, &out), ERR_INVALID_BODY);
    assert_int_equal(world->fault.item_count, 2);
    assert_true(text_is(world->fault.items[0].pointer, "/price"));
    assert_true(text_is(world->fault.items[1].pointer, "/images/0"));
    id_new(one.request_id);
    assert_int_equal(ask(world, &one, OP_product_list, &query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 0);
}

static void a_key_gets_its_first_answer_again(void **state)
{
    struct world *world = *state;
    struct caller one = admin(), clash = admin();
    struct product out = {0}, again = {0};
    struct product_new in = {.name = TEXT("Chair"), .sku = TEXT("CH-1"), .price = 100000, .stock = 3};
    set_has(product_new, &in, sku);
    one.keyed = clash.keyed = true;
    assert_false(ask_replayed(world, &one, OP_product_create, &in));
    assert_true(ask_replayed(world, &one, OP_product_create, &in));
    assert_int_equal(ask(world, &one, OP_product_create, &in, &out), ERR_NONE);
    in.name = TEXT("Stool");
    assert_int_equal(ask(world, &one, OP_product_create, &in, &again), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(ask(world, &clash, OP_product_create, &in, &again), ERR_SKU_TAKEN);
    struct product_ref ref = {.id = out.id};
    struct nothing nothing;
    struct caller removal = admin();
    assert_int_equal(ask(world, &removal, OP_product_remove, &ref, &nothing), ERR_NONE);
    assert_int_equal(ask(world, &clash, OP_product_create, &in, &again), ERR_SKU_TAKEN); /* the refusal was kept */
    assert_true(world->fault.replayed);
    assert_true(text_is(world->fault.items[0].pointer, "/sku"));
}

static void if_match_and_visibility(void **state)
{
    struct world *world = *state;
    struct caller one = admin(), customer = {.role = ROLE_CUSTOMER};
    struct product product = made(world, "Chair", 5), out = {0};
    struct product_edit edit = {.id = product.id, .active = false};
    struct product_ref ref = {.id = product.id};
    set_has(product_edit, &edit, active);
    one.if_match = "\"7-5\"";
    assert_int_equal(ask(world, &one, OP_product_update, &edit, &out), ERR_PRECONDITION_FAILED);
    one.if_match = "\"1-999\"";
    assert_int_equal(ask(world, &one, OP_product_update, &edit, &out), ERR_NONE);
    id_new(customer.request_id);
    assert_int_equal(ask(world, &customer, OP_product_get, &ref, &out), ERR_NOT_FOUND);
    struct nothing nothing;
    id_new(one.request_id);
    assert_int_equal(ask(world, &one, OP_product_remove, &ref, &nothing), ERR_PRECONDITION_FAILED);
    assert_int_equal(stock_of(world, product.id), 5);
}

static void lines_name_a_product_once(void **state)
{
    struct world *world = *state;
    struct caller one = admin();
    struct product product = made(world, "Chair", 5);
    struct product_reserved out = {0};
    struct reserve_line lines[] = {{.product_id = product.id, .quantity = 1},
                                   {.product_id = product.id, .quantity = 1}};
    struct product_reserve in = {.order_id = TEXT("ord_1"), .fingerprint = TEXT("f"), .lines = {lines, 2}};
    assert_int_equal(ask(world, &one, OP_product_reserve, &in, &out), ERR_INVALID_BODY);
    assert_true(text_is(world->fault.items[0].pointer, "/lines/1/product_id"));
    assert_int_equal(stock_of(world, product.id), 5);
}

/* ---- many at once ---- */

struct buyer {
    struct world *world;
    struct text product_id;
    int number;
    int got;
    pthread_t thread;
};

static void *buyer_main(void *argument)
{
    struct buyer *buyer = argument;
    for (int i = 0; i < CALLS_EACH; i++) {
        AUTO(arena_release) struct arena arena = {0};
        char order[32];
        struct fault fault;
        struct caller caller = admin();
        struct call_meta meta = meta_of(&caller);
        struct product_reserved out = {0};
        struct reserve_line line = {.product_id = buyer->product_id, .quantity = 1};
        struct product_reserve in = {.fingerprint = TEXT("f"), .lines = {&line, 1}};
        snprintf(order, sizeof order, "ord_%d_%d", buyer->number, i);
        in.order_id = text_of(order);
        fault_init(&fault, &arena);
        for (int sent = 0; sent < 2; sent++) { /* every one of them twice */
            enum err e = bus_client_do(buyer->world->client, OP_product_reserve, caller.request_id, &meta, &in, &arena,
                                       &fault, &out);
            if (e != ERR_NONE && e != ERR_OUT_OF_STOCK) {
                return NULL;
            }
            buyer->got += sent == 0 && e == ERR_NONE;
        }
    }
    return buyer;
}

static void many_buyers_get_what_there_is(void **state)
{
    struct world *world = *state;
    enum { STOCK = CALLERS * CALLS_EACH - 50 };
    struct product product = made(world, "Chair", STOCK);
    struct buyer buyers[CALLERS];
    int got = 0;
    for (int i = 0; i < CALLERS; i++) {
        buyers[i] = (struct buyer){.world = world, .product_id = product.id, .number = i};
        assert_int_equal(pthread_create(&buyers[i].thread, NULL, buyer_main, &buyers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        void *well;
        pthread_join(buyers[i].thread, &well);
        assert_non_null(well);
        got += buyers[i].got;
    }
    assert_int_equal(got, STOCK);
    assert_int_equal(stock_of(world, product.id), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_product_lives, world_make_with_products, world_drop),
        cmocka_unit_test_setup_teardown(bad_fields_are_named_and_nothing_is_made, world_make_with_products, world_drop),
        cmocka_unit_test_setup_teardown(a_key_gets_its_first_answer_again, world_make_with_products, world_drop),
        cmocka_unit_test_setup_teardown(if_match_and_visibility, world_make_with_products, world_drop),
        cmocka_unit_test_setup_teardown(lines_name_a_product_once, world_make_with_products, world_drop),
        cmocka_unit_test_setup_teardown(many_buyers_get_what_there_is, world_make_with_products, world_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
