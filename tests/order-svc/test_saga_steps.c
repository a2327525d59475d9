/* The saga's steps with the real stores of both services, taken in random order by many processes at once.
 *
 * Every step is one unit of work of one store, as the services run it, or a verb on MongoDB. Between any two steps
 * anything may happen: another worker has the same request, a process stands still for ever, a commit fails, an answer
 * is lost, the sweeper loses patience, the order is cancelled or shipped, the shop gets new stock. After each step the
 * books are checked; at the end a sweeper and a settling timer, alone, must bring them to balance. */
#include "tests/order-svc/saga_steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/store/mongo.h"
#include "lib/store/sqlite.h"

/* ---- the world ---- */

static void unit_begin(struct world *world, const struct unit_of_work *unit, void *handle)
{
    if (unit) {
        assert_int_equal(unit->begin(handle, true, &world->fault), ERR_NONE);
    }
}

static void unit_commit(struct world *world, const struct unit_of_work *unit, void *handle)
{
    if (unit) {
        assert_int_equal(unit->commit(handle, &world->fault), ERR_NONE);
    }
}

static void product_add(struct world *world, int i)
{
    uint8_t id[ID_SIZE];
    char sku[16];
    id_new(id);
    ident_make("prd", id, 0, world->product_ids[i]);
    snprintf(sku, sizeof sku, "SKU-%d", i);
    world->supply[i] = below(world, 6);
    struct product_act act = act_now(world);
    act.request_id = (struct text){(const char *)id, ID_SIZE};
    act.fingerprint = TEXT("f");
    struct product product = {.id = text_of(world->product_ids[i]),
                              .name = TEXT("Thing"),
                              .sku = text_of(sku),
                              .price = 100,
                              .currency = TEXT("EUR"),
                              .stock = world->supply[i],
                              .active = true,
                              .version = 1,
                              .created_at = world->now_ms,
                              .updated_at = world->now_ms},
                   out;
    unit_begin(world, world->products->unit, world->products->handle);
    assert_int_equal(world->products->ops->insert(world->products, &act, &product, &out), ERR_NONE);
    unit_commit(world, world->products->unit, world->products->handle);
}

static void request_make(struct world *world, struct request *request)
{
    *request = (struct request){0};
    for (int i = 0; i < ID_SIZE; i++) {
        request->id[i] = (uint8_t)below(world, 256);
    }
    fingerprint_make((struct text){(const char *)request->id, ID_SIZE}, request->fingerprint);
    int first = below(world, PRODUCTS);
    request->line_count = 1 + (uint32_t)below(world, PRODUCTS);
    for (uint32_t i = 0; i < request->line_count; i++) {
        request->lines[i] = (struct reserve_line){
            .product_id = text_of(world->product_ids[(first + (int)i) % PRODUCTS]), .quantity = 1 + below(world, 3)};
    }
}

static void actor_make(struct world *world, struct actor *actor)
{
    static const enum act beginnings[] = {ACT_LOOK,  ACT_LOOK, ACT_LOOK, ACT_LOOK,   ACT_MOVE,
                                          ACT_SWEEP, ACT_DUE,  ACT_MOVE, ACT_RESTOCK};
    static const enum order_status moves[] = {ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_SHIPPED, ORDER_CANCELLED};
    *actor = (struct actor){.next = beginnings[below(world, ARRAY_COUNT(beginnings))],
                            .request = below(world, REQUESTS),
                            .move_to = moves[below(world, ARRAY_COUNT(moves))]};
}

static bool on_server(void)
{
    return getenv("ZMART_TEST_MONGODB") != NULL;
}

static void orders_open(struct world *world, const struct store_config *config)
{
    if (on_server()) {
        assert_int_equal(mongo_pool_open(config, &order_mongo_schema, NULL, &world->fault, &world->orders_pool),
                         ERR_NONE);
        world->orders_mongo = mongo_db_new(world->orders_pool);
        world->orders = order_store_mongo_new(world->orders_mongo);
        return;
    }
    assert_int_equal(sqlite_db_open(config, &order_sqlite_schema, true, NULL, &world->fault, &world->orders_db),
                     ERR_NONE);
    world->orders_unit = &sqlite_unit;
    world->orders = order_store_sqlite_new(world->orders_db);
}

static void world_make(struct world *world, unsigned seed)
{
    *world = (struct world){.seed = seed, .now_ms = 1000000};
    if (on_server()) {
        test_database_new(world->url);
    } else {
        snprintf(world->folder, sizeof world->folder, "/tmp/zmart-test-XXXXXX");
        assert_non_null(mkdtemp(world->folder));
        snprintf(world->url, sizeof world->url, "sqlite:%s", world->folder);
    }
    struct store_config config = {.store = world->url,
                                  .store_busy_ms = 50,
                                  .store_connect_ms = 2000,
                                  .store_select_ms = 5000,
                                  .store_answer_ms = 20000};
    fault_init(&world->fault, &world->arena);
    orders_open(world, &config);
    assert_int_equal(
        product_store_open(&config, &(struct product_access){.writer = true}, &world->fault, &world->products),
        ERR_NONE);
    for (int i = 0; i < PRODUCTS; i++) {
        product_add(world, i);
    }
    for (int i = 0; i < REQUESTS; i++) {
        request_make(world, &world->requests[i]);
    }
    for (int i = 0; i < ACTORS; i++) {
        actor_make(world, &world->actors[i]);
    }
}

static void world_drop(struct world *world)
{
    char command[64];
    order_store_destroy(&world->orders);
    sqlite_db_destroy(&world->orders_db);
    mongo_db_destroy(&world->orders_mongo);
    mongo_pool_destroy(&world->orders_pool);
    product_store_destroy(&world->products);
    arena_release(&world->arena);
    if (on_server()) {
        test_database_drop(world->url);
        return;
    }
    snprintf(command, sizeof command, "rm -r '%s'", world->folder);
    assert_int_equal(system(command), 0);
}

/* ---- what clients hear ---- */

static void hears(struct world *world, struct actor *actor, const char *answer, const char *order_id)
{
    struct request *request = &world->requests[actor->request];
    char said[40];
    snprintf(said, sizeof said, "%.7s %.31s", answer, order_id);
    actor->next = ACT_DEAD;
    if (request->answered[0] && strcmp(request->answered, said) != 0) {
        fail_msg("seed: a request was answered \"%s\" and \"%s\"", request->answered, said);
    }
    memcpy(request->answered, said, sizeof said);
}

/* ---- one step of one process ---- */

/* lucky: nothing fails. */
static void actor_go(struct world *world, struct actor *actor, bool lucky)
{
    struct actor after = *actor;
    struct step step = {.world = world, .actor = &after};
    enum act act = actor->next;
    if (act == ACT_DEAD) {
        return;
    }
    const struct unit_of_work *unit = saga_acts[act].on_products ? world->products->unit : world->orders_unit;
    void *handle = saga_acts[act].on_products ? world->products->handle : world->orders_db;
    ident_make("ord", world->requests[actor->request].id, actor->try_count, step.id);
    fault_init(&world->fault, &world->arena);
    unit_begin(world, unit, handle);
    enum err e = saga_acts[act].take(&step);
    assert_int_equal(e, ERR_NONE);
    if (unit && !lucky && chance(world, 12)) { /* the commit fails: nothing was done */
        unit->rollback(handle);
        return;
    }
    unit_commit(world, unit, handle);
    if (act == ACT_RESTOCK) {
        world->supply[after.try_count]++;
    }
    if (!lucky && chance(world, 12)) { /* it was done, but nobody hears of it: sent again, or given up */
        actor->next = act == ACT_RESTOCK || chance(world, 3) ? ACT_DEAD : actor->next;
        return;
    }
    *actor = after;
    if (step.heard) {
        hears(world, actor, step.heard, step.id);
    }
}

/* ---- the books ---- */

/* Pieces of each product in orders that are not cancelled. */
static void live_count(struct world *world, int64_t live[PRODUCTS])
{
    struct order_page_query query = {.status = -1, .before_at = INT64_MAX, .limit = 10 * REQUESTS};
    struct order_row_list rows;
    memset(live, 0, PRODUCTS * sizeof *live);
    assert_int_equal(order_store_page(world->orders, &query, &world->arena, &world->fault, &rows), ERR_NONE);
    assert_true(rows.count <= REQUESTS); /* one order a request */
    for (uint32_t i = 0; i < rows.count; i++) {
        for (uint32_t j = 0; rows.items[i].status != ORDER_CANCELLED && j < rows.items[i].lines.count; j++) {
            for (int p = 0; p < PRODUCTS; p++) {
                if (text_is(rows.items[i].lines.items[j].product_id, world->product_ids[p])) {
                    live[p] += rows.items[i].lines.items[j].quantity;
                }
            }
        }
    }
}

/* Never sold more than there is; when everything is settled, nothing is missing either. */
static void books_check(struct world *world, bool settled)
{
    int64_t live[PRODUCTS];
    live_count(world, live);
    for (int p = 0; p < PRODUCTS; p++) {
        struct product product;
        struct product_act act = act_now(world);
        assert_int_equal(
            world->products->ops->get(world->products, &act, text_of(world->product_ids[p]), true, &product), ERR_NONE);
        assert_true(product.stock >= 0);
        assert_true(product.stock + live[p] <= world->supply[p]);
        if (settled) {
            assert_int_equal(product.stock + live[p], world->supply[p]);
        }
    }
}

/* Everybody died. A sweeper and a timer, alone, without bad luck. */
static void world_settle(struct world *world)
{
    struct actor sweeper = {.next = ACT_SWEEP}, timer = {.next = ACT_DUE};
    for (int i = 0; i < 60; i++) {
        actor_go(world, &sweeper, true);
        books_check(world, false);
        actor_go(world, &timer, true);
        books_check(world, false);
    }
    struct product_act act = act_now(world);
    struct text_list stale;
    struct due_list due;
    assert_int_equal(world->products->ops->stale_holds(world->products, &act, INT64_MAX, &stale), ERR_NONE);
    assert_int_equal(stale.count, 0);
    assert_int_equal(order_store_due(world->orders, 9, &world->arena, &world->fault, &due), ERR_NONE);
    assert_int_equal(due.count, 0);
    books_check(world, true);
}

/* What was promised is so, also when asked once more. */
static void promises_check(struct world *world)
{
    for (int i = 0; i < REQUESTS; i++) {
        if (world->requests[i].answered[0]) {
            struct actor again = {.next = ACT_LOOK, .request = i};
            for (int j = 0; j < TRIES && again.next == ACT_LOOK; j++) {
                actor_go(world, &again, true);
            }
            assert_int_equal(again.next, ACT_DEAD); /* it heard the same, or hears() had failed */
        }
    }
}

static void test_random_interleavings(void **state)
{
    (void)state;
    int placed = 0, refused = 0, runs = on_server() ? RUNS_ON_SERVER : RUNS;
    for (unsigned seed = 1; seed <= (unsigned)runs; seed++) {
        struct world world;
        world_make(&world, seed * 7919);
        for (int i = 0; i < STEPS; i++) {
            struct actor *actor = &world.actors[below(&world, ACTORS)];
            if (actor->next == ACT_DEAD && chance(&world, 3)) {
                actor_make(&world, actor);
            }
            actor_go(&world, actor, false);
            books_check(&world, false);
            world.now_ms += chance(&world, 4);
        }
        world_settle(&world);
        promises_check(&world);
        for (int i = 0; i < REQUESTS; i++) {
            placed += world.requests[i].answered[0] == 'p';
            refused += world.requests[i].answered[0] == 'r';
        }
        world_drop(&world);
    }
    assert_true(placed > runs && refused > runs / 2); /* both ends were reached often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_interleavings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
