/* The sweeper, beside an order-svc that only judges. */
#include "tests/product-svc/world.h"

#include "lib/base/clock.h"
#include "product-svc/store.h"

enum { PATIENCE_MS = 20000 };

/* ---- an order-svc that knows three orders ---- */

static const struct {
    const char *order_id;
    enum order_outcome outcome;
} judged_orders[] = {{"ord_placed", ORDER_OUTCOME_PLACED},
                     {"ord_cancelled", ORDER_OUTCOME_CANCELLED},
                     {"ord_shipped", ORDER_OUTCOME_SHIPPED}};

static enum err judge(struct call *call, const void *in, void *out)
{
    const struct order_arbitrate *question = in;
    struct order_arbitrated *answer = out;
    answer->verdicts.count = question->order_ids.count;
    answer->verdicts.items = arena_alloc(call_arena(call), question->order_ids.count * sizeof *answer->verdicts.items);
    for (uint32_t i = 0; i < question->order_ids.count; i++) {
        struct order_verdict *verdict = &answer->verdicts.items[i];
        *verdict = (struct order_verdict){.order_id = question->order_ids.items[i], .outcome = ORDER_OUTCOME_VOID};
        for (size_t j = 0; j < ARRAY_COUNT(judged_orders); j++) {
            if (text_is(verdict->order_id, judged_orders[j].order_id)) {
                verdict->outcome = judged_orders[j].outcome;
                verdict->fingerprint = TEXT("f");
                set_has(order_verdict, verdict, fingerprint);
            }
        }
    }
    return ERR_NONE;
}

static enum err judge_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)loop, (void)config, (void)fault;
    *out = (struct loop_store){0};
    return ERR_NONE;
}

static void judge_close(struct service_loop *loop, void *state)
{
    (void)loop, (void)state;
}

static int judge_run(const void *config, struct env *env)
{
    static const struct op_handler handlers[] = {{OP_order_arbitrate, judge}};
    static const struct service service = {.name = "order",
                                           .handlers = handlers,
                                           .handler_count = 1,
                                           .default_loops = 1,
                                           .open = judge_open,
                                           .close = judge_close};
    const struct product_settings *settings = config;
    return service_run(&service, config, &settings->bus, &settings->service, env);
}

/* What a product-svc of ten minutes ago has left: 10 pieces, one held by each of five orders. */
static void leave_old_holds(struct world *world)
{
    static const char *const orders[] = {"ord_placed", "ord_cancelled", "ord_shipped", "ord_never", "ord_other"};
    AUTO(arena_release) struct arena arena = {0};
    struct store_config config = {.store = world->url, .store_busy_ms = 1000};
    struct fault fault;
    struct product_store *store;
    fault_init(&fault, &arena);
    assert_int_equal(product_store_open(&config, &(struct product_access){.writer = true}, &fault, &store), ERR_NONE);
    struct product_act act = {.arena = &arena,
                              .fault = &fault,
                              .now_ms = clock_wall_ms() - 600 * 1000,
                              .request_id = TEXT("0123456789abcdef"),
                              .fingerprint = TEXT("p")};
    struct product out, product = {.id = TEXT("prd_1"),
                                   .name = TEXT("Chair"),
                                   .sku = TEXT("C"),
                                   .currency = TEXT("USD"),
                                   .stock = 10,
                                   .active = true,
                                   .version = 1};
    assert_int_equal(store->ops->insert(store, &act, &product, &out), ERR_NONE);
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        struct product_reserved reserved;
        struct reserve_line line = {.product_id = product.id, .quantity = 1};
        struct product_reserve in = {.order_id = text_of(orders[i]), .fingerprint = TEXT("f"), .lines = {&line, 1}};
        assert_int_equal(store->ops->reserve(store, &act, &in, &reserved), ERR_NONE);
    }
    product_store_destroy(&store);
}

static enum err settle_one(struct world *world, const char *order_id, enum hold_step step)
{
    struct caller one = admin();
    struct nothing nothing;
    struct hold_order order = {.order_id = text_of(order_id), .step = step};
    struct product_settle settle = {.orders = {&order, 1}};
    return ask(world, &one, OP_product_settle, &settle, &nothing);
}

static void unfinished_orders_are_settled(void **state)
{
    struct world *world = *state;
    static struct program judge_program;
    judge_program = product_program; /* its settings, with another service behind them */
    judge_program.name = "order-svc";
    judge_program.run = judge_run;
    leave_old_holds(world);
    program_start(world, &world->orders, &judge_program, NULL, NULL);
    products_start(world);
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    while (stock_of(world, TEXT("prd_1")) != 8) { /* cancelled, never and other come back; placed and shipped do not */
        assert_true(clock_now_ms() < until_ms);
        assert_true(stock_of(world, TEXT("prd_1")) <= 8);
    }
    assert_int_equal(settle_one(world, "ord_shipped", HOLD_RELEASE), ERR_NONE); /* has left the house */
    assert_int_equal(stock_of(world, TEXT("prd_1")), 8);
    assert_int_equal(settle_one(world, "ord_placed", HOLD_RELEASE), ERR_NONE); /* was confirmed; is cancelled now */
    assert_int_equal(stock_of(world, TEXT("prd_1")), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unfinished_orders_are_settled, world_make, world_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
