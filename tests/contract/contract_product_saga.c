/* The order saga over the real verbs: many processes that create, sweep and cancel the same few orders, each step of
 * each in any order, any of them stopping for ever anywhere. The order's document here is a field of a struct; what it
 * says decides. Whatever happens, nothing is sold that is not there, and a lone sweeper sets the books right. */
#include <stdio.h>

#include "tests/contract/contract_product.h"

enum { ROUNDS = 400, ROUNDS_REMOTE = 30, ORDERS = 3, PRODUCTS = 2, PROCESSES = 9, STEPS_MAX = 200 };

enum doc { DOC_ABSENT, DOC_PLACED, DOC_CANCELLED, DOC_SHIPPED, DOC_VOID };

struct saga_order {
    char id[IDENT_SIZE];
    int64_t pieces[PRODUCTS]; /* 0: no such line */
    enum doc doc;
    bool promised; /* some client was told that it is placed */
};

enum kind { KIND_CREATE, KIND_SWEEP, KIND_CANCEL, KIND_SHIP };
enum at { AT_LOOK, AT_RESERVE, AT_PLACE, AT_VOID, AT_SETTLE, AT_END };

struct process {
    enum kind kind;
    int order;
    enum at at;
    enum hold_step step; /* of AT_SETTLE */
};

struct saga {
    struct shop *shop;
    struct product_store *stores[2]; /* processes of the same shop; the same one twice where one handle writes */
    uint64_t random;
    int round;
    int64_t stock[PRODUCTS]; /* at the start */
    char products[PRODUCTS][IDENT_SIZE];
    struct saga_order orders[ORDERS];
    struct process processes[PROCESSES];
};

static uint32_t pick(struct saga *saga, uint32_t bound)
{
    return random_below(&saga->random, bound);
}

static enum err reserve(struct saga *saga, const struct saga_order *order)
{
    struct reserve_line lines[PRODUCTS];
    struct product_reserved out = {0};
    struct product_reserve in = {.order_id = text_of(order->id), .fingerprint = TEXT("f"), .lines = {lines, 0}};
    for (int i = 0; i < PRODUCTS; i++) {
        if (order->pieces[i] > 0) {
            lines[in.lines.count++] =
                (struct reserve_line){.product_id = text_of(saga->products[i]), .quantity = order->pieces[i]};
        }
    }
    return shop_reserve(saga->shop, &in, &out);
}

static enum at settle_with(struct process *process, enum hold_step step)
{
    process->step = step;
    return AT_SETTLE;
}

/* What the order's document means for its holds. */
static enum at follow(struct process *process, struct saga_order *order)
{
    switch (order->doc) {
    case DOC_PLACED: return settle_with(process, HOLD_CONFIRM);
    case DOC_SHIPPED: return settle_with(process, HOLD_COMMIT);
    case DOC_CANCELLED:
    case DOC_VOID: return settle_with(process, HOLD_RELEASE);
    case DOC_ABSENT: break;
    }
    order->doc = DOC_VOID;
    return settle_with(process, HOLD_RELEASE);
}

static enum at begin(struct process *process, struct saga_order *order)
{
    switch (process->kind) {
    case KIND_SWEEP: return AT_VOID;
    case KIND_CANCEL:
        order->doc = order->doc == DOC_PLACED ? DOC_CANCELLED : order->doc;
        return order->doc == DOC_CANCELLED ? settle_with(process, HOLD_RELEASE) : AT_END;
    case KIND_SHIP:
        order->doc = order->doc == DOC_PLACED ? DOC_SHIPPED : order->doc;
        return order->doc == DOC_SHIPPED ? settle_with(process, HOLD_COMMIT) : AT_END;
    case KIND_CREATE: break;
    }
    return order->doc == DOC_ABSENT ? AT_RESERVE : AT_END;
}

static enum at reserved(struct saga *saga, struct saga_order *order)
{
    enum err e = reserve(saga, order);
    if (e == ERR_CONFLICT) { /* released: only ever after the document said so */
        assert_true(order->doc == DOC_VOID || order->doc == DOC_CANCELLED);
        return AT_END;
    }
    assert_true(e == ERR_NONE || e == ERR_OUT_OF_STOCK);
    return e == ERR_NONE ? AT_PLACE : AT_VOID;
}

static void step(struct saga *saga, struct process *process)
{
    struct saga_order *order = &saga->orders[process->order];
    saga->shop->store = saga->stores[pick(saga, ARRAY_COUNT(saga->stores))];
    switch (process->at) {
    case AT_LOOK: process->at = begin(process, order); break;
    case AT_RESERVE: process->at = reserved(saga, order); break;
    case AT_PLACE: /* the document's unique id decides every race */
        order->doc = order->doc == DOC_ABSENT ? DOC_PLACED : order->doc;
        order->promised = order->promised || order->doc != DOC_VOID;
        process->at = order->doc == DOC_PLACED ? settle_with(process, HOLD_CONFIRM) : AT_END;
        break;
    case AT_VOID: process->at = follow(process, order); break;
    case AT_SETTLE:
        assert_int_equal(shop_settle(saga->shop, text_of(order->id), process->step, "f"), ERR_NONE);
        process->at = AT_END;
        break;
    case AT_END: break;
    }
}

/* Pieces of a product in orders that live. */
static int64_t sold(const struct saga *saga, int product)
{
    int64_t pieces = 0;
    for (int i = 0; i < ORDERS; i++) {
        bool lives = saga->orders[i].doc == DOC_PLACED || saga->orders[i].doc == DOC_SHIPPED;
        pieces += lives ? saga->orders[i].pieces[product] : 0;
    }
    return pieces;
}

static void assert_nothing_oversold(struct saga *saga)
{
    for (int i = 0; i < PRODUCTS; i++) {
        int64_t left = shop_stock(saga->shop, text_of(saga->products[i]));
        if (left < 0 || left + sold(saga, i) > saga->stock[i]) {
            fail_msg("round %d: %d left and %d sold of %d", saga->round, (int)left, (int)sold(saga, i),
                     (int)saga->stock[i]);
        }
    }
}

static void round_begin(struct saga *saga)
{
    for (int i = 0; i < PRODUCTS; i++) {
        struct product product = shop_product(saga->shop, saga->round * PRODUCTS + i);
        saga->stock[i] = product.stock = 1 + pick(saga, 4);
        shop_add(saga->shop, &product);
        assert_true(text_to_string(product.id, saga->products[i], IDENT_SIZE));
    }
    for (int i = 0; i < ORDERS; i++) {
        struct saga_order *order = &saga->orders[i];
        *order = (struct saga_order){.doc = DOC_ABSENT};
        snprintf(order->id, IDENT_SIZE, "ord_%d_%d", saga->round, i);
        order->pieces[0] = pick(saga, 3);
        order->pieces[1] = order->pieces[0] ? pick(saga, 3) : 1;
    }
    for (int i = 0; i < PROCESSES; i++) { /* every order twice created: sent again to another worker */
        enum kind kind = i < 2 * ORDERS ? KIND_CREATE : (enum kind)(KIND_SWEEP + pick(saga, 3));
        saga->processes[i] = (struct process){.kind = kind, .order = i % ORDERS};
    }
}

/* Everybody is dead. A sweeper asks for what is held; then stock and living orders make up what there was. */
static void assert_settles(struct saga *saga)
{
    struct text_list stale = shop_stale(saga->shop, saga->shop->now_ms);
    for (uint32_t i = 0; i < stale.count; i++) {
        for (int j = 0; j < ORDERS; j++) {
            if (text_is(stale.items[i], saga->orders[j].id)) {
                struct process sweeper = {.kind = KIND_SWEEP, .order = j, .at = AT_VOID};
                step(saga, &sweeper);
                assert_nothing_oversold(saga);
                step(saga, &sweeper);
            }
        }
    }
    assert_int_equal(shop_stale(saga->shop, saga->shop->now_ms).count, 0);
    for (int i = 0; i < ORDERS; i++) { /* releases of cancelled orders that were lost are sent again by order-svc */
        if (saga->orders[i].doc == DOC_CANCELLED) {
            assert_int_equal(shop_settle(saga->shop, text_of(saga->orders[i].id), HOLD_RELEASE, NULL), ERR_NONE);
        }
        assert_true(!saga->orders[i].promised || saga->orders[i].doc != DOC_VOID);
    }
    for (int i = 0; i < PRODUCTS; i++) {
        int64_t left = shop_stock(saga->shop, text_of(saga->products[i]));
        if (left + sold(saga, i) != saga->stock[i]) {
            fail_msg("round %d: %d left and %d sold is not %d", saga->round, (int)left, (int)sold(saga, i),
                     (int)saga->stock[i]);
        }
    }
}

static void sagas_in_any_order_sell_nothing_twice(void **state)
{
    struct saga saga = {.shop = *state, .random = 0x2545f4914f6cdd1d};
    bool several = saga.shop->place->is_remote;
    int rounds = several ? ROUNDS_REMOTE : ROUNDS;
    saga.stores[0] = saga.stores[1] = saga.shop->store;
    if (several) {
        const struct product_access access = {.writer = true};
        assert_int_equal(product_store_open(&saga.shop->config, &access, &saga.shop->fault, &saga.stores[1]), ERR_NONE);
    }
    for (saga.round = 0; saga.round < rounds; saga.round++) {
        round_begin(&saga);
        uint32_t steps = pick(&saga, STEPS_MAX); /* then everybody dies */
        shop_batch_begin(saga.shop);
        for (uint32_t i = 0; i < steps; i++) {
            step(&saga, &saga.processes[pick(&saga, PROCESSES)]);
            assert_nothing_oversold(&saga);
        }
        assert_true(shop_batch_end(saga.shop, true));
        shop_batch_begin(saga.shop);
        assert_settles(&saga);
        assert_true(shop_batch_end(saga.shop, true));
        arena_reset(&saga.shop->arena);
    }
    saga.shop->store = saga.stores[0];
    if (several) {
        product_store_destroy(&saga.stores[1]);
    }
}

int contract_product_saga(const struct contract_place *place)
{
    const struct CMUnitTest saga[] = {SHOP_TEST(sagas_in_any_order_sell_nothing_twice)};
    return cmocka_run_group_tests(saga, NULL, NULL);
}
