/* The scenario on a store of orders whose calls fail. */
#include "tests/contract/contract_order.h"

struct failing_store {
    struct order_store base;
    struct order_store *inner; /* borrowed */
    int calls_left;            /* until the one that fails */
    bool afterwards;           /* it fails after it has done its work */
    bool failed;
};

/* True when this call is to fail now. */
static bool failing_now(struct failing_store *self, bool afterwards)
{
    if (self->afterwards != afterwards || self->failed || self->calls_left-- > 0) {
        return false;
    }
    self->failed = true;
    return true;
}

/* Runs the inner store's verb, or fails before or after it. */
#define FAILING_VERB(call)                                                                                             \
    struct failing_store *failing = (struct failing_store *)self;                                                      \
    if (failing_now(failing, false)) {                                                                                 \
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);                                                        \
    }                                                                                                                  \
    enum err e = call;                                                                                                 \
    return failing_now(failing, true) ? fault_set(fault, ERR_OUTCOME_UNKNOWN, NULL) : e

static enum err failing_find(struct order_store *self, struct text id, struct arena *arena, struct fault *fault,
                             struct order_entry *out)
{
    FAILING_VERB(order_store_find(failing->inner, id, arena, fault, out));
}

static enum err failing_place(struct order_store *self, const struct order *order, struct text fingerprint,
                              const struct event_new *event, struct fault *fault, bool *out_taken)
{
    FAILING_VERB(order_store_place(failing->inner, order, fingerprint, event, fault, out_taken));
}

static enum err failing_refuse(struct order_store *self, struct text id, const struct order_entry *tombstone,
                               int64_t now_ms, struct fault *fault, bool *out_taken)
{
    FAILING_VERB(order_store_refuse(failing->inner, id, tombstone, now_ms, fault, out_taken));
}

static enum err failing_change(struct order_store *self, const struct order *order, enum holds_due due,
                               const struct event_new *event, struct fault *fault)
{
    FAILING_VERB(order_store_change(failing->inner, order, due, event, fault));
}

static enum err failing_release(struct order_store *self, struct text id, struct fault *fault)
{
    FAILING_VERB(order_store_release(failing->inner, id, fault));
}

static enum err failing_page(struct order_store *self, const struct order_page_query *query, struct arena *arena,
                             struct fault *fault, struct order_row_list *out)
{
    FAILING_VERB(order_store_page(failing->inner, query, arena, fault, out));
}

static enum err failing_due(struct order_store *self, int limit, struct arena *arena, struct fault *fault,
                            struct due_list *out)
{
    FAILING_VERB(order_store_due(failing->inner, limit, arena, fault, out));
}

static enum err failing_settled(struct order_store *self, const struct due_list *list, struct fault *fault)
{
    FAILING_VERB(order_store_settled(failing->inner, list, fault));
}

static enum err failing_purge(struct order_store *self, int64_t before_ms, int limit, struct fault *fault,
                              int *out_count)
{
    FAILING_VERB(order_store_purge(failing->inner, before_ms, limit, fault, out_count));
}

static void failing_destroy(struct order_store *self)
{
    (void)self;
}

static const struct order_store_ops failing_ops = {failing_find,    failing_place,  failing_refuse, failing_change,
                                                   failing_release, failing_page,   failing_due,    failing_settled,
                                                   failing_purge,   failing_destroy};

enum { TRIES_MAX = 50 };

/* One request against the store: what it returns is committed or rolled back, and it is sent again after a failure. */
typedef enum err scenario_step(struct contract_shop *shop, struct order_store *store);

static enum err step_place(struct contract_shop *shop, struct order_store *store)
{
    struct order order = order_made(shop, 1, "usr_1", 1000);
    struct order_entry entry;
    bool taken;
    enum err e = order_store_find(store, order.id, &shop->arena, &shop->fault, &entry);
    if (e != ERR_NONE || entry.kind == ORDER_PLACED) {
        return e;
    }
    struct event_new event = event_made(&order, "evt_placed");
    return order_store_place(store, &order, TEXT("f-1"), &event, &shop->fault, &taken);
}

static enum err step_refuse(struct contract_shop *shop, struct order_store *store)
{
    struct order_entry tombstone = {
        .kind = ORDER_REFUSED, .due = HOLDS_RELEASE_DUE, .fingerprint = TEXT("f-2"), .answer = TEXT("\x80")};
    bool taken;
    return order_store_refuse(store, TEXT("ord_r"), &tombstone, 1001, &shop->fault, &taken);
}

static enum err step_void(struct contract_shop *shop, struct order_store *store)
{
    struct order_entry tombstone = {.kind = ORDER_VOID};
    bool taken;
    enum err e = order_store_refuse(store, TEXT("ord_v"), &tombstone, 1002, &shop->fault, &taken);
    return e == ERR_NONE ? order_store_release(store, TEXT("ord_v"), &shop->fault) : e;
}

static enum err step_settle(struct contract_shop *shop, struct order_store *store)
{
    struct due_list list;
    enum err e = order_store_due(store, SETTLE_MAX, &shop->arena, &shop->fault, &list);
    return e == ERR_NONE ? order_store_settled(store, &list, &shop->fault) : e;
}

static enum err cancel_once(struct contract_shop *shop, struct order_store *store)
{
    struct order_entry entry;
    enum err e = order_store_find(store, TEXT("ord_00001"), &shop->arena, &shop->fault, &entry);
    if (e != ERR_NONE || entry.order.status == ORDER_CANCELLED) {
        return e;
    }
    struct order_move *history = arena_alloc(&shop->arena, 2 * sizeof *history);
    history[0] = entry.order.history.items[0];
    entry.order.history.items = history;
    struct order moved = order_moved(&entry.order, ORDER_CANCELLED);
    struct event_new event = event_made(&moved, "evt_moved");
    return order_store_change(store, &moved, HOLDS_RELEASE_DUE, &event, &shop->fault);
}

/* As the handler does it: a write that came late has moved the order between reading and writing. */
static enum err step_cancel(struct contract_shop *shop, struct order_store *store)
{
    enum err e = cancel_once(shop, store);
    return e == ERR_CONFLICT ? cancel_once(shop, store) : e;
}

static enum err step_page(struct contract_shop *shop, struct order_store *store)
{
    struct order_page_query query = {.status = ORDER_CANCELLED, .before_at = INT64_MAX, .limit = 10};
    struct order_row_list rows;
    enum err e = order_store_page(store, &query, &shop->arena, &shop->fault, &rows);
    if (e == ERR_NONE) {
        assert_int_equal(rows.count, 1);
    }
    return e;
}

static enum err step_purge(struct contract_shop *shop, struct order_store *store)
{
    int count;
    return order_store_purge(store, 1002, 10, &shop->fault, &count);
}

void scenario_run(struct contract_shop *shop, struct order_store *store)
{
    static scenario_step *const steps[] = {step_place,  step_refuse, step_void, step_settle,
                                           step_cancel, step_page,   step_purge};
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        enum err e;
        int tries = 0;
        do {
            shop_begin(shop);
            e = steps[i](shop, store);
            if (e == ERR_NONE) {
                shop_commit(shop);
            } else {
                assert_true(e == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN);
                if (shop->unit) {
                    shop->unit->rollback(shop->handle);
                }
            }
            if (e != ERR_NONE && shop->from->recover) {
                shop->from->recover(shop);
            }
        } while (e != ERR_NONE && ++tries < TRIES_MAX);
        assert_int_equal(e, ERR_NONE);
    }
}

void scenario_check(struct contract_shop *shop)
{
    struct order order = {.id = TEXT("ord_00001")};
    assert_events(shop, &order, (const char *const[]){"evt_placed", "evt_moved"}, 2); /* once each */
    shop_begin(shop);
    struct order_entry placed = entry_found(shop, TEXT("ord_00001"));
    assert_int_equal(placed.kind, ORDER_PLACED);
    assert_int_equal(placed.due, HOLDS_RELEASE_DUE);
    assert_int_equal(placed.order.version, 2);
    assert_int_equal(placed.order.history.count, 2);
    assert_int_equal(entry_found(shop, TEXT("ord_r")).kind, ORDER_ABSENT); /* purged */
    assert_int_equal(entry_found(shop, TEXT("ord_v")).kind, ORDER_VOID);
    assert_int_equal(due_count(shop), 1);
    shop_commit(shop);
}

static void failing_from_first_to_last(const struct contract_host *host, bool afterwards)
{
    for (int n = 0;; n++) {
        struct contract_shop *shop = shop_open(host);
        struct failing_store failing = {
            .base.ops = &failing_ops, .inner = shop->store, .calls_left = n, .afterwards = afterwards};
        scenario_run(shop, &failing.base);
        scenario_check(shop);
        shop_close(shop);
        if (!failing.failed) {
            assert_true(n >= 10); /* every verb had its turn */
            return;
        }
    }
}

static void test_every_call_fails_once(void **state)
{
    failing_from_first_to_last(*state, false);
    failing_from_first_to_last(*state, true);
}

int contract_order_failing_run(const struct contract_host *host)
{
    const struct CMUnitTest tests[] = {
        {"test_every_call_fails_once", test_every_call_fails_once, NULL, NULL, (void *)(uintptr_t)host},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
