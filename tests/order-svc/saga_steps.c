#include "tests/order-svc/saga_steps.h"

int chance(struct world *world, int one_in)
{
    return rand_r(&world->seed) / 7 % one_in == 0;
}

int below(struct world *world, int limit)
{
    return rand_r(&world->seed) / 7 % limit;
}

struct product_act act_now(struct world *world)
{
    fault_init(&world->fault, &world->arena);
    return (struct product_act){.arena = &world->arena, .fault = &world->fault, .now_ms = world->now_ms};
}

/* ---- on the orders' store ---- */

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
                                   NULL, &world->fault, &taken);
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
    return order_store_change(world->orders, &moved, due, NULL, &world->fault);
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

/* ---- on the products' store ---- */

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

const struct saga_act saga_acts[ACT_DEAD] = {[ACT_LOOK] = {step_look, false},
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
