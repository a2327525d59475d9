/* product-svc as it runs: its program and a broker's on threads, callers over the real bus, and an order-svc that only
 * judges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/program.h"
#include "lib/base/clock.h"
#include "lib/bus/client.h"
#include "lib/bus/main.h"
#include "product-svc/program.h"
#include "product-svc/store.h"
#include "proto/ident.h"

enum { PATIENCE_MS = 20000, CALLERS = 8, CALLS_EACH = 40, SLOTS = 64, WORDS_MAX = 8 };

/* ---- an order-svc that knows three orders ---- */

static const struct {
    const char *order_id;
    enum order_outcome outcome;
} judged_orders[] = {
    {"ord_placed", ORDER_OUTCOME_PLACED}, {"ord_cancelled", ORDER_OUTCOME_CANCELLED}, {"ord_shipped", ORDER_OUTCOME_SHIPPED}};

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
    static const struct service service = {.name = "order", .handlers = handlers, .handler_count = 1, .default_loops = 1,
                                           .open = judge_open, .close = judge_close};
    const struct product_settings *settings = config;
    return service_run(&service, config, &settings->bus, &settings->service, env);
}

/* ---- programs on threads ---- */

struct runner {
    struct program program;
    char *argv[WORDS_MAX];
    int argc;
    struct program_host host;
    int ready_fd;
    int status;
    pthread_t thread;
    bool running;
};

struct world {
    char folder[64];
    char url[80];
    char bus_name[20];
    struct log log;
    void *context;
    struct metrics *metrics;
    struct env env;
    struct bus_config bus;
    struct runner broker, products, orders;
    struct bus_client *client;
    struct arena arena; /* of everything that was answered */
    struct fault fault; /* of the last call */
};

static void fd_raise(int fd)
{
    uint64_t one = 1;
    assert_int_equal(write(fd, &one, sizeof one), sizeof one);
}

static void runner_ready(struct env *env, const char *detail)
{
    struct runner *runner = env->owner;
    (void)detail;
    fd_raise(runner->ready_fd);
}

static void *runner_main(void *argument)
{
    struct runner *runner = argument;
    runner->status = program_run(&runner->program, runner->argc, runner->argv, &runner->host);
    fd_raise(runner->ready_fd);
    return NULL;
}

/* Starts it and waits until it is ready, or has ended. flag and value may be NULL. */
static void runner_start(struct world *world, struct runner *runner, const struct program *program, const char *flag,
                         const char *value)
{
    uint64_t count;
    const char *const words[] = {program->name, "--bus", world->bus_name, flag, value};
    *runner = (struct runner){.program = *program, .argc = flag ? 5 : 3, .status = -1};
    memcpy(runner->argv, words, sizeof words); /* nobody writes into the strings */
    runner->ready_fd = eventfd(0, EFD_CLOEXEC);
    runner->host = (struct program_host){.log = &world->log, .bus_context = world->context,
                                         .stop_fd = eventfd(0, EFD_CLOEXEC), .ready = runner_ready, .owner = runner};
    assert_int_equal(pthread_create(&runner->thread, NULL, runner_main, runner), 0);
    runner->running = true;
    assert_int_equal(read(runner->ready_fd, &count, sizeof count), sizeof count);
}

static int runner_stop(struct runner *runner)
{
    if (runner->running) {
        fd_raise(runner->host.stop_fd);
        pthread_join(runner->thread, NULL);
        close(runner->host.stop_fd);
        close(runner->ready_fd);
        runner->running = false;
    }
    return runner->status;
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char message[200];
    snprintf(world->folder, sizeof world->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->url, sizeof world->url, "sqlite:%s", world->folder);
    snprintf(world->bus_name, sizeof world->bus_name, "inproc://test");
    world->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "test"};
    world->context = bus_context_new();
    world->metrics = metrics_new();
    world->bus = (struct bus_config){.bus = world->bus_name, .heartbeat_ms = 1000};
    world->env = (struct env){.log = &world->log, .metrics = world->metrics, .instance = "test",
                              .bus_context = world->context, .stop_fd = -1};
    runner_start(world, &world->broker, &broker_program, "--events", "");
    assert_int_equal(world->broker.status, -1);
    struct bus_client_settings settings = {.bus = &world->bus, .role = "gateway", .slot_count = SLOTS};
    world->client = bus_client_new(&world->env, &settings, message, sizeof message);
    assert_non_null(world->client);
    *state = world;
    return 0;
}

static void products_start(struct world *world)
{
    runner_start(world, &world->products, &product_program, "--store", world->url);
    assert_int_equal(world->products.status, -1); /* ready, and not ended */
}

static int world_make_with_products(void **state)
{
    world_make(state);
    products_start(*state);
    return 0;
}

static int world_drop(void **state)
{
    struct world *world = *state;
    char command[128];
    bus_client_destroy(&world->client);
    runner_stop(&world->products);
    runner_stop(&world->orders);
    runner_stop(&world->broker);
    bus_context_destroy(&world->context);
    metrics_destroy(&world->metrics);
    arena_release(&world->arena);
    snprintf(command, sizeof command, "rm -r '%s'", world->folder);
    int status = system(command);
    free(world);
    return status;
}

/* ---- calls ---- */

struct caller {
    enum role role;
    const char *if_match;
    bool keyed;
    uint8_t request_id[ID_SIZE];
};

static struct caller admin(void)
{
    struct caller caller = {.role = ROLE_ADMIN};
    id_new(caller.request_id);
    return caller;
}

static struct call_meta meta_of(const struct caller *caller)
{
    struct call_meta meta = {.user_id = TEXT("usr_1"), .role = caller->role, .keyed = caller->keyed,
                             .if_match = text_of(caller->if_match), .caller = TEXT("order")};
    set_has(call_meta, &meta, user_id), set_has(call_meta, &meta, role), set_has(call_meta, &meta, caller);
    if (caller->keyed) {
        set_has(call_meta, &meta, keyed);
    }
    if (caller->if_match) {
        set_has(call_meta, &meta, if_match);
    }
    return meta;
}

static enum err ask(struct world *world, const struct caller *caller, enum op op, const void *request, void *out)
{
    struct call_meta meta = meta_of(caller);
    fault_init(&world->fault, &world->arena);
    return bus_client_do(world->client, op, caller->request_id, &meta, request, &world->arena, &world->fault, out);
}

/* The same, and whether the answer was an earlier one's. */
static bool ask_replayed(struct world *world, const struct caller *caller, enum op op, const void *request)
{
    const struct op_info *info = op_info(op);
    struct call_meta meta = meta_of(caller);
    struct bus_request sent = {.route = text_of(info->route),
                               .meta = record_pack_in(&call_meta_record, &meta, &world->arena),
                               .body = record_pack_in(info->request, request, &world->arena),
                               .budget_ms = info->budget_ms, .priority = info->priority};
    struct bus_answer answer = {0};
    struct reply_meta reply = {0};
    memcpy(sent.request_id, caller->request_id, ID_SIZE);
    fault_init(&world->fault, &world->arena);
    assert_int_equal(bus_client_call(world->client, &sent, &world->arena, &world->fault, &answer), ERR_NONE);
    assert_int_equal(record_unpack(&reply_meta_record, answer.meta, &world->arena, NULL, &reply), ERR_NONE);
    return has(reply_meta, &reply, replayed) && reply.replayed;
}

static struct product made(struct world *world, const char *name, int64_t stock)
{
    struct caller caller = admin();
    struct product product = {0};
    struct product_new in = {.name = text_of(name), .price = 299900, .stock = stock};
    enum err e = ask(world, &caller, OP_product_create, &in, &product);
    if (e != ERR_NONE) {
        fail_msg("create: %s %s", err_info(e)->slug, world->fault.detail);
    }
    return product;
}

static int64_t stock_of(struct world *world, struct text id)
{
    struct caller caller = admin();
    struct product product = {0};
    struct product_ref in = {.id = id};
    assert_int_equal(ask(world, &caller, OP_product_get, &in, &product), ERR_NONE);
    return product.stock;
}

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
    struct reserve_line lines[] = {{.product_id = product.id, .quantity = 1}, {.product_id = product.id, .quantity = 1}};
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

/* ---- the sweeper ---- */

/* What a product-svc of ten minutes ago has left: 10 pieces, one held by each of five orders. */
static void leave_old_holds(struct world *world)
{
    static const char *const orders[] = {"ord_placed", "ord_cancelled", "ord_shipped", "ord_never", "ord_other"};
    AUTO(arena_release) struct arena arena = {0};
    struct store_config config = {.store = world->url, .store_busy_ms = 1000};
    struct fault fault;
    struct product_store *store;
    fault_init(&fault, &arena);
    assert_int_equal(product_store_open(&config, true, NULL, &fault, &store), ERR_NONE);
    struct product_act act = {.arena = &arena, .fault = &fault, .now_ms = clock_wall_ms() - 600 * 1000,
                              .request_id = TEXT("0123456789abcdef"), .fingerprint = TEXT("p")};
    struct product out, product = {.id = TEXT("prd_1"), .name = TEXT("Chair"), .sku = TEXT("C"), .currency = TEXT("USD"),
                                   .stock = 10, .active = true, .version = 1};
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
    runner_start(world, &world->orders, &judge_program, NULL, NULL);
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

/* ---- settings ---- */

static void unusable_settings_end_the_program(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *flag, *value;
    } bad[] = {{"--currency", "usd"}, {"--currency", "DOLLAR"}, {"--store", "mongodb://localhost"},
               {"--store", "sqlite:/proc/none"}, {"--hold-patience-ms", "1000"}};
    world->log.level = LOG_ERROR + 1; /* what is told is not looked at here */
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct runner runner;
        runner_start(world, &runner, &product_program, bad[i].flag, bad[i].value);
        assert_int_not_equal(runner_stop(&runner), 0);
    }
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
        cmocka_unit_test_setup_teardown(unfinished_orders_are_settled, world_make, world_drop),
        cmocka_unit_test_setup_teardown(unusable_settings_end_the_program, world_make, world_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
