/* Thousands of random reserves, settlements, edits and batches that are lost, against books kept by simple counting:
 * the store's answers and its stock are always what the books say. */
#include <stdio.h>

#include "tests/contract/contract_product.h"

enum { PRODUCTS = 5, ORDERS = 60, REQUESTS = 2, STEPS = 6000, STEPS_REMOTE = 800, BATCH_MAX = 24, LINES_MAX = 3 };

enum book_state { BOOK_NONE, BOOK_HELD, BOOK_CONFIRMED, BOOK_RELEASED, BOOK_COMMITTED };

struct books {
    int64_t stock[PRODUCTS];
    int64_t total[PRODUCTS]; /* everything that ever came, less what edits took away */
    struct {
        enum book_state state;
        int request;
        int64_t pieces;
    } holds[ORDERS][PRODUCTS];
};

struct world {
    struct shop *shop;
    struct books books;
    uint64_t random;
    char products[PRODUCTS][IDENT_SIZE];
    char orders[ORDERS][IDENT_SIZE];
};

static const char *const fingerprints[REQUESTS] = {"first", "second"};

static uint32_t pick(struct world *world, uint32_t bound)
{
    return random_below(&world->random, bound);
}

/* ---- reserving ---- */

struct wish {
    int order, request;
    uint32_t count;
    int product[LINES_MAX];
    int64_t pieces[LINES_MAX];
};

static enum err books_reserve(struct books *books, const struct wish *wish)
{
    enum err verdict = ERR_NONE;
    for (uint32_t i = 0; i < wish->count; i++) {
        enum book_state state = books->holds[wish->order][wish->product[i]].state;
        bool same = books->holds[wish->order][wish->product[i]].request == wish->request;
        if (state == BOOK_RELEASED) {
            return ERR_CONFLICT;
        }
        if (state != BOOK_NONE && !same) {
            verdict = ERR_IDEMPOTENCY_KEY_REUSED;
        } else if (state == BOOK_NONE && books->stock[wish->product[i]] < wish->pieces[i] && verdict == ERR_NONE) {
            verdict = ERR_OUT_OF_STOCK;
        }
    }
    for (uint32_t i = 0; verdict == ERR_NONE && i < wish->count; i++) {
        if (books->holds[wish->order][wish->product[i]].state == BOOK_NONE) {
            books->stock[wish->product[i]] -= wish->pieces[i];
            books->holds[wish->order][wish->product[i]].state = BOOK_HELD;
            books->holds[wish->order][wish->product[i]].request = wish->request;
            books->holds[wish->order][wish->product[i]].pieces = wish->pieces[i];
        }
    }
    return verdict;
}

static void step_reserve(struct world *world)
{
    struct wish wish = {.order = (int)pick(world, ORDERS), .request = pick(world, 8) == 0};
    struct reserve_line lines[LINES_MAX];
    struct product_reserved out = {0};
    wish.count = 1 + pick(world, LINES_MAX);
    for (uint32_t i = 0, first = pick(world, PRODUCTS); i < wish.count; i++) {
        wish.product[i] = (int)((first + i) % PRODUCTS);
        wish.pieces[i] = 1 + pick(world, 6);
        lines[i] =
            (struct reserve_line){.product_id = text_of(world->products[wish.product[i]]), .quantity = wish.pieces[i]};
    }
    struct product_reserve in = {.order_id = text_of(world->orders[wish.order]),
                                 .fingerprint = text_of(fingerprints[wish.request]),
                                 .lines = {lines, wish.count}};
    assert_int_equal(shop_reserve(world->shop, &in, &out), books_reserve(&world->books, &wish));
}

/* ---- settling ---- */

static void books_settle(struct books *books, int order, enum hold_step step, int request)
{
    for (int product = 0; product < PRODUCTS; product++) {
        enum book_state *state = &books->holds[order][product].state;
        bool same = request < 0 || books->holds[order][product].request == request;
        if (*state != BOOK_HELD && *state != BOOK_CONFIRMED) {
            continue;
        }
        if (step == HOLD_RELEASE || (*state == BOOK_HELD && !same)) {
            *state = BOOK_RELEASED;
            books->stock[product] += books->holds[order][product].pieces;
        } else {
            *state = step == HOLD_CONFIRM ? BOOK_CONFIRMED : BOOK_COMMITTED;
        }
    }
}

static void step_settle(struct world *world)
{
    struct hold_order orders[4] = {0};
    struct product_settle settle = {.orders = {orders, 1 + pick(world, 4)}};
    for (uint32_t i = 0; i < settle.orders.count; i++) {
        int order = (int)pick(world, ORDERS), request = (int)pick(world, REQUESTS + 1) - 1;
        orders[i].order_id = text_of(world->orders[order]);
        orders[i].step = pick(world, 10) == 0 ? HOLD_COMMIT : pick(world, 2) ? HOLD_CONFIRM : HOLD_RELEASE;
        if (request >= 0) {
            orders[i].fingerprint = text_of(fingerprints[request]);
            set_has(hold_order, &orders[i], fingerprint);
        }
        books_settle(&world->books, order, orders[i].step, request);
    }
    assert_int_equal(shop_settle_all(world->shop, &settle), ERR_NONE);
}

/* ---- the rest ---- */

static void step_edit(struct world *world)
{
    int product = (int)pick(world, PRODUCTS);
    struct product out;
    struct request request = shop_request(world->shop, false);
    struct product_edit edit = {.id = text_of(world->products[product])};
    if (pick(world, 2)) {
        edit.stock = pick(world, 30);
        set_has(product_edit, &edit, stock);
    } else {
        edit.stock_delta = (int64_t)pick(world, 30) - 10;
        set_has(product_edit, &edit, stock_delta);
        edit.stock = world->books.stock[product] + edit.stock_delta;
    }
    enum err expected = edit.stock < 0 ? ERR_OUT_OF_STOCK : ERR_NONE;
    for (int i = 0; i < 2; i++) { /* sent twice, applied once */
        assert_int_equal(shop_edit(world->shop, &request, &edit, NULL, &out), expected);
    }
    if (expected == ERR_NONE) {
        world->books.total[product] += edit.stock - world->books.stock[product];
        world->books.stock[product] = edit.stock;
    }
}

/* Drops every ended hold: the order is as if it had never been. */
static void step_purge(struct world *world)
{
    while (shop_purge(world->shop, world->shop->now_ms + 1) > 0) {
    }
    for (int order = 0; order < ORDERS; order++) {
        for (int product = 0; product < PRODUCTS; product++) {
            enum book_state *state = &world->books.holds[order][product].state;
            if (*state == BOOK_COMMITTED) {
                world->books.total[product] -= world->books.holds[order][product].pieces;
            }
            if (*state == BOOK_COMMITTED || *state == BOOK_RELEASED) {
                *state = BOOK_NONE;
            }
        }
    }
}

static void assert_balance(struct world *world)
{
    uint32_t held_orders = 0;
    for (int product = 0; product < PRODUCTS; product++) {
        int64_t bound = 0;
        for (int order = 0; order < ORDERS; order++) {
            enum book_state state = world->books.holds[order][product].state;
            bool is_out = state == BOOK_HELD || state == BOOK_CONFIRMED || state == BOOK_COMMITTED;
            bound += is_out ? world->books.holds[order][product].pieces : 0;
        }
        int64_t stock = shop_stock(world->shop, text_of(world->products[product]));
        assert_true(stock >= 0);
        assert_int_equal(stock, world->books.stock[product]);
        assert_int_equal(stock + bound, world->books.total[product]);
    }
    for (int order = 0; order < ORDERS; order++) {
        bool held = false;
        for (int product = 0; product < PRODUCTS; product++) {
            held = held || world->books.holds[order][product].state == BOOK_HELD;
        }
        held_orders += held;
    }
    assert_int_equal(shop_stale(world->shop, world->shop->now_ms).count, held_orders);
}

static void world_fill(struct world *world)
{
    for (int i = 0; i < ORDERS; i++) {
        snprintf(world->orders[i], IDENT_SIZE, "ord_%d", i);
    }
    for (int i = 0; i < PRODUCTS; i++) {
        struct product product = shop_product(world->shop, i);
        world->books.stock[i] = world->books.total[i] = product.stock = 20;
        shop_add(world->shop, &product);
        assert_true(text_to_string(product.id, world->products[i], IDENT_SIZE));
    }
}

static void one_step(struct world *world)
{
    uint32_t kind = pick(world, 100);
    if (kind < 50) {
        step_reserve(world);
    } else if (kind < 90) {
        step_settle(world);
    } else if (kind < 98) {
        step_edit(world);
    } else {
        step_purge(world);
    }
}

static void random_steps_keep_the_books_balanced(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    struct books *before = mem_alloc(sizeof *before);
    world->shop = *state;
    world->random = 0x9e3779b97f4a7c15;
    world_fill(world);
    int steps = world->shop->place->is_remote ? STEPS_REMOTE : STEPS;
    for (int step = 0; step < steps;) {
        *before = world->books;
        world->shop->now_ms++;
        shop_batch_begin(world->shop);
        for (uint32_t i = 1 + pick(world, BATCH_MAX); i > 0; i--, step++) {
            one_step(world);
        }
        if (!shop_batch_end(world->shop, pick(world, 5) > 0)) {
            world->books = *before; /* the process died before its commit */
        }
        if (pick(world, 40) == 0) {
            shop_reopen(world->shop);
        }
        assert_balance(world);
        arena_reset(&world->shop->arena);
    }
    mem_free(before);
    mem_free(world);
}

int contract_product_random(const struct contract_place *place)
{
    const struct CMUnitTest random[] = {SHOP_TEST(random_steps_keep_the_books_balanced)};
    return cmocka_run_group_tests(random, NULL, NULL);
}
