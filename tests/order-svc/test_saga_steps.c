/* The saga's steps with the real stores of both services, taken in random order by many processes at once.
 *
 * Every step is one unit of work of one store, as the services run it. Between any two steps anything may happen:
 * another worker has the same request, a process stands still for ever, a commit fails, an answer is lost, the sweeper
 * loses patience, the order is cancelled or shipped, the shop gets new stock. After each step the books are checked;
 * at the end a sweeper and a settling timer, alone, must bring them to balance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "order-svc/rules.h"
#include "order-svc/store.h"
#include "product-svc/store.h"
#include "proto/ident.h"

enum { PRODUCTS = 3, REQUESTS = 8, ACTORS = 24, TRIES = 64, STEPS = 600, RUNS = 25 };

enum act {
    ACT_LOOK,
    ACT_RESERVE,
    ACT_PLACE,
    ACT_REFUSE,
    ACT_MOVE,
    ACT_SWEEP,
    ACT_ARBITRATE,
    ACT_SETTLE,
    ACT_DUE,
    ACT_TELL,
    ACT_TOLD,
    ACT_RESTOCK,
    ACT_DEAD
};

struct request {
    uint8_t id[ID_SIZE];
    char fingerprint[FINGERPRINT_SIZE];
    struct reserve_line lines[PRODUCTS];
    uint32_t line_count;
    char answered[40]; /* "placed ord_..." or "refused ord_...": what some client has heard */
};

/* One process: what it does next, and what it remembers of what it has read. */
struct actor {
    enum act next;
    int request;
    uint32_t try_count;
    enum order_status move_to;
    struct order_arbitrate ids;
    struct product_settle holds;
};

struct world {
    unsigned seed;
    struct order_store *orders;
    struct sqlite_db *orders_db;
    struct product_store *products;
    struct arena arena; /* of one run */
    struct fault fault;
    char folder[32];
    char product_ids[PRODUCTS][IDENT_SIZE];
    int64_t supply[PRODUCTS];
    int64_t now_ms;
    struct request requests[REQUESTS];
    struct actor actors[ACTORS];
};

static int chance(struct world *world, int one_in)
{
    return rand_r(&world->seed) / 7 % one_in == 0;
}

static int below(struct world *world, int limit)
{
    return rand_r(&world->seed) / 7 % limit;
}

/* ---- the world ---- */

static struct product_act act_now(struct world *world)
{
    fault_init(&world->fault, &world->arena);
    return (struct product_act){.arena = &world->arena, .fault = &world->fault, .now_ms = world->now_ms};
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
    assert_int_equal(world->products->unit->begin(world->products->handle, true, &world->fault), ERR_NONE);
    assert_int_equal(world->products->ops->insert(world->products, &act, &product, &out), ERR_NONE);
    assert_int_equal(world->products->unit->commit(world->products->handle, &world->fault), ERR_NONE);
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

static void world_make(struct world *world, unsigned seed)
{
    char url[64];
    *world = (struct world){.seed = seed, .now_ms = 1000000};
    snprintf(world->folder, sizeof world->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(url, sizeof url, "sqlite:%s", world->folder);
    struct store_config config = {.store = url, .store_busy_ms = 50};
    fault_init(&world->fault, &world->arena);
    assert_int_equal(sqlite_db_open(&config, &order_sqlite_schema, true, NULL, &world->fault, &world->orders_db),
                     ERR_NONE);
    world->orders = order_store_sqlite_new(world->orders_db);
    assert_int_equal(product_store_open(&config, true, NULL, &world->fault, &world->products), ERR_NONE);
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
    product_store_destroy(&world->products);
    arena_release(&world->arena);
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

/* ---- steps on the orders' store: inside its unit of work ---- */

struct step {
    struct world *world;
    struct actor *actor; /* a copy: it counts only once the step is durable */
    char id[IDENT_SIZE]; /* of the actor's order */
    const char *heard;   /* what the client hears once the step is durable */
};

static enum err step_look(struct step *step)
{
    struct order_entry entry;
    enum err e =
        order_store_find(step->world->orders, text_of(step->id), &step->world->arena, &step->world->fault, &entry);
    switch (entry.kind) {
    case ORDER_ABSENT: step->actor->next = ACT_RESERVE; break;
    case ORDER_VOID: step->actor->try_count++; break;
    case ORDER_PLACED: step->heard = "placed"; break;
    case ORDER_REFUSED: step->heard = "refused"; break;
    }
    return e;
}

static struct order order_of(struct step *step)
{
    const struct world *world = step->world;
    const struct request *request = &world->requests[step->actor->request];
    struct arena *arena = &step->world->arena;
    struct order order = {.id = text_of(step->id),
                          .number = TEXT("AAAAA-BBBBB"),
                          .user_id = TEXT("usr_1"),
                          .currency = TEXT("EUR"),
                          .version = 1,
                          .created_at = world->now_ms,
                          .updated_at = world->now_ms};
    order.lines.count = request->line_count;
    order.lines.items = arena_alloc(arena, request->line_count * sizeof *order.lines.items);
    for (uint32_t i = 0; i < request->line_count; i++) {
        order.lines.items[i] = (struct order_line){.product_id = request->lines[i].product_id,
                                                   .sku = TEXT("S"),
                                                   .name = TEXT("N"),
                                                   .quantity = request->lines[i].quantity};
    }
    order.history.count = 1;
    order.history.items = arena_alloc(arena, sizeof *order.history.items);
    order.history.items[0] = (struct order_move){.status = ORDER_PENDING, .at = world->now_ms, .by = TEXT("usr_1")};
    return order;
}

static enum err step_place(struct step *step)
{
    struct world *world = step->world;
    struct order order = order_of(step);
    bool taken;
    enum err e = order_store_place(world->orders, &order, text_of(world->requests[step->actor->request].fingerprint),
                                   &world->fault, &taken);
    if (e == ERR_NONE && taken) {
        step->actor->next = ACT_LOOK;
        e = order_store_release(world->orders, text_of(step->id), &world->fault);
    } else {
        step->heard = "placed";
    }
    return e;
}

static enum err step_refuse(struct step *step)
{
    struct world *world = step->world;
    struct order_entry tombstone = {.kind = ORDER_REFUSED,
                                    .due = HOLDS_RELEASE_DUE,
                                    .fingerprint = text_of(world->requests[step->actor->request].fingerprint),
                                    .answer = TEXT("\x80")};
    bool taken;
    enum err e = order_store_refuse(world->orders, text_of(step->id), &tombstone, world->now_ms, &world->fault, &taken);
    if (taken) {
        step->actor->next = ACT_LOOK;
    } else {
        step->heard = "refused";
    }
    return e;
}

/* Somebody moves one of the request's orders, whichever id it has. */
static enum err step_move(struct step *step)
{
    struct world *world = step->world;
    struct order_entry entry = {0};
    struct order moved;
    step->actor->next = ACT_DEAD;
    for (uint32_t n = 0; n < TRIES && entry.kind != ORDER_PLACED; n++) {
        ident_make("ord", world->requests[step->actor->request].id, n, step->id);
        enum err e = order_store_find(world->orders, text_of(step->id), &world->arena, &world->fault, &entry);
        if (e != ERR_NONE || entry.kind == ORDER_ABSENT) {
            return e;
        }
    }
    struct order_step move = {.to = step->actor->move_to,
                              .by = TEXT("usr_2"),
                              .by_admin = true,
                              .now_ms = world->now_ms,
                              .history = arena_alloc(&world->arena, 8 * sizeof *move.history)};
    enum order_status from = entry.order.status;
    if (order_apply(&entry.order, &move, &world->fault, &moved) != ERR_NONE || moved.version == entry.order.version) {
        return ERR_NONE;
    }
    const struct order_rule *rule = order_rule_find(from, moved.status);
    enum holds_due due = !rule->settles               ? HOLDS_NOTHING_DUE
                         : rule->step == HOLD_RELEASE ? HOLDS_RELEASE_DUE
                                                      : HOLDS_COMMIT_DUE;
    return order_store_change(world->orders, &moved, due, &world->fault);
}

static void hold_add(struct product_settle *holds, struct hold_order item)
{
    holds->orders.items[holds->orders.count++] = item;
}

/* What order.arbitrate does, and what the sweeper makes of it. */
static enum err step_arbitrate(struct step *step)
{
    struct world *world = step->world;
    struct text_list ids = step->actor->ids.order_ids;
    struct product_settle holds = {0};
    holds.orders.items = arena_alloc(&world->arena, (ids.count + 1) * sizeof *holds.orders.items);
    for (uint32_t i = 0; i < ids.count; i++) {
        struct order_entry entry, tombstone = {.kind = ORDER_VOID};
        bool taken;
        enum err e = order_store_find(world->orders, ids.items[i], &world->arena, &world->fault, &entry);
        if (e == ERR_NONE && entry.kind == ORDER_ABSENT) {
            e = order_store_refuse(world->orders, ids.items[i], &tombstone, world->now_ms, &world->fault, &taken);
            assert_false(taken);
        }
        if (e != ERR_NONE) {
            return e;
        }
        struct hold_order item = {.order_id = ids.items[i], .step = HOLD_RELEASE};
        if (entry.kind == ORDER_PLACED) {
            enum order_outcome outcome = entry.order.status == ORDER_CANCELLED ? ORDER_OUTCOME_CANCELLED
                                         : entry.order.status >= ORDER_SHIPPED ? ORDER_OUTCOME_SHIPPED
                                                                               : ORDER_OUTCOME_PLACED;
            item.step = hold_step_of(outcome);
            item.fingerprint = entry.fingerprint;
            set_has(hold_order, &item, fingerprint);
        }
        hold_add(&holds, item);
    }
    step->actor->holds = holds;
    step->actor->next = ids.count ? ACT_SETTLE : ACT_SWEEP;
    return ERR_NONE;
}

static enum err step_due(struct step *step)
{
    struct due_list list;
    enum err e = order_store_due(step->world->orders, 1 + below(step->world, 8), &step->world->arena,
                                 &step->world->fault, &list);
    step->actor->holds.orders.items = list.items;
    step->actor->holds.orders.count = list.count;
    step->actor->next = list.count ? ACT_TELL : ACT_DUE;
    return e;
}

static enum err step_told(struct step *step)
{
    struct due_list list = {step->actor->holds.orders.items, step->actor->holds.orders.count};
    step->actor->next = ACT_DUE;
    return order_store_settled(step->world->orders, &list, &step->world->fault);
}

/* ---- steps on the products' store ---- */

static enum err step_reserve(struct step *step)
{
    struct world *world = step->world;
    struct request *request = &world->requests[step->actor->request];
    struct product_reserve in = {.order_id = text_of(step->id), .fingerprint = text_of(request->fingerprint)};
    struct product_reserved out;
    struct product_act act = act_now(world);
    in.lines.items = request->lines;
    in.lines.count = request->line_count;
    enum err e = world->products->ops->reserve(world->products, &act, &in, &out);
    if (e == ERR_CONFLICT) { /* released: the order's document knows more */
        step->actor->next = ACT_LOOK;
    } else if (e == ERR_OUT_OF_STOCK) {
        step->actor->next = ACT_REFUSE;
    } else {
        step->actor->next = ACT_PLACE;
        return e;
    }
    return ERR_NONE; /* an answer, though without effect */
}

static enum err step_settle(struct step *step)
{
    struct product_act act = act_now(step->world);
    step->actor->next = step->actor->next == ACT_TELL ? ACT_TOLD : ACT_SWEEP;
    return step->world->products->ops->settle(step->world->products, &act, &step->actor->holds);
}

static enum err step_sweep(struct step *step)
{
    struct product_act act = act_now(step->world);
    step->actor->next = ACT_ARBITRATE;
    return step->world->products->ops->stale_holds(step->world->products, &act, step->world->now_ms,
                                                   &step->actor->ids.order_ids);
}

static enum err step_restock(struct step *step)
{
    struct world *world = step->world;
    uint8_t id[ID_SIZE];
    int i = below(world, PRODUCTS);
    id_new(id);
    struct product_act act = act_now(world);
    act.request_id = (struct text){arena_copy(&world->arena, id, ID_SIZE), ID_SIZE};
    act.fingerprint = TEXT("f");
    struct product_edit edit = {.id = text_of(world->product_ids[i]), .stock_delta = 1};
    set_has(product_edit, &edit, stock_delta);
    struct product_change change = {.edit = &edit};
    struct product out;
    step->actor->next = ACT_DEAD;
    step->actor->try_count = (uint32_t)i; /* for the books, once it is durable */
    return world->products->ops->edit(world->products, &act, &change, &out);
}

/* ---- one step of one process ---- */

typedef enum err step_take(struct step *step);

static const struct {
    step_take *take;
    bool on_products;
} acts[] = {[ACT_LOOK] = {step_look, false},
            [ACT_RESERVE] = {step_reserve, true},
            [ACT_PLACE] = {step_place, false},
            [ACT_REFUSE] = {step_refuse, false},
            [ACT_MOVE] = {step_move, false},
            [ACT_SWEEP] = {step_sweep, true},
            [ACT_ARBITRATE] = {step_arbitrate, false},
            [ACT_SETTLE] = {step_settle, true},
            [ACT_DUE] = {step_due, false},
            [ACT_TELL] = {step_settle, true},
            [ACT_TOLD] = {step_told, false},
            [ACT_RESTOCK] = {step_restock, true}};

/* lucky: nothing fails. */
static void actor_go(struct world *world, struct actor *actor, bool lucky)
{
    struct actor after = *actor;
    struct step step = {.world = world, .actor = &after};
    enum act act = actor->next;
    if (act == ACT_DEAD) {
        return;
    }
    const struct unit_of_work *unit = acts[act].on_products ? world->products->unit : &sqlite_unit;
    void *handle = acts[act].on_products ? world->products->handle : world->orders_db;
    ident_make("ord", world->requests[actor->request].id, actor->try_count, step.id);
    fault_init(&world->fault, &world->arena);
    assert_int_equal(unit->begin(handle, true, &world->fault), ERR_NONE);
    enum err e = acts[act].take(&step);
    assert_int_equal(e, ERR_NONE);
    if (!lucky && chance(world, 12)) { /* the commit fails: nothing was done */
        unit->rollback(handle);
        return;
    }
    assert_int_equal(unit->commit(handle, &world->fault), ERR_NONE);
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
    int placed = 0, refused = 0;
    for (unsigned seed = 1; seed <= RUNS; seed++) {
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
    assert_true(placed > RUNS && refused > RUNS / 2); /* both ends were reached often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_interleavings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
