/* One scenario of a shop's day, run again and again: in run N the N-th call to the store fails, or its commit does, or
 * its commit succeeds and nobody hears of it. After each run the books balance. */
#include <stdio.h>
#include <unistd.h>

#include "tests/contract/failing_product_store.h"

enum { CALLS_MAX = 1000, TRIES_MAX = 3, DAY_ID_SIZE = 40 };
enum {
    REMOTE_TRIES_MAX = 6000,
    REMOTE_PAUSE_US = 10000
}; /* a remote store is left alone for a moment after a failure */

/* ---- the scenario ---- */

enum { CHAIRS, TABLES, GOODS_COUNT };
enum doc { DOC_ABSENT, DOC_PLACED, DOC_CANCELLED, DOC_VOID };

struct day_order {
    char id[DAY_ID_SIZE];
    int64_t pieces[GOODS_COUNT];
    enum doc doc;
};

struct day {
    struct shop *shop;
    int number;     /* of several in one shop, each with goods of its own */
    bool gives_up;  /* whoever meets a failure dies of it; otherwise it tries again, */
    bool is_remote; /* where the store may need a moment */
    struct text goods[GOODS_COUNT];
    struct day_order orders[5];
};

static bool is_failure(enum err e)
{
    return e == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN;
}

/* Tries until the store answers, unless failures are deadly. */
static bool again(struct day *day, enum err e, int *tries)
{
    if (!is_failure(e) || day->gives_up || ++*tries >= (day->is_remote ? REMOTE_TRIES_MAX : TRIES_MAX)) {
        return false;
    }
    return !day->is_remote || usleep(REMOTE_PAUSE_US) == 0;
}

static struct text_list day_stale(struct day *day)
{
    struct text_list list = {0};
    int tries = 0;
    while (again(day, shop_find_stale(day->shop, day->shop->now_ms, &list), &tries)) {
    }
    return list;
}

static enum err day_reserve(struct day *day, struct day_order *order)
{
    struct reserve_line lines[GOODS_COUNT];
    struct product_reserved out = {0};
    struct product_reserve in = {.order_id = text_of(order->id), .fingerprint = TEXT("f"), .lines = {lines, 0}};
    for (int i = 0; i < GOODS_COUNT; i++) {
        if (order->pieces[i]) {
            lines[in.lines.count++] = (struct reserve_line){.product_id = day->goods[i], .quantity = order->pieces[i]};
        }
    }
    enum err e;
    int tries = 0;
    do {
        e = shop_reserve(day->shop, &in, &out);
    } while (again(day, e, &tries));
    return e;
}

static void day_settle(struct day *day, const struct day_order *order, enum hold_step step)
{
    int tries = 0;
    while (again(day, shop_settle(day->shop, text_of(order->id), step, "f"), &tries)) {
    }
}

/* Reserve, then place, or void and release. */
static void day_create(struct day *day, struct day_order *order)
{
    enum err e = day_reserve(day, order);
    if (e == ERR_NONE) {
        order->doc = DOC_PLACED;
        day_settle(day, order, HOLD_CONFIRM);
    } else if (!is_failure(e)) {
        order->doc = DOC_VOID;
        day_settle(day, order, HOLD_RELEASE);
    }
}

static void day_sweep(struct day *day)
{
    struct text_list stale = day_stale(day);
    for (uint32_t i = 0; i < stale.count; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(day->orders); j++) {
            struct day_order *order = &day->orders[j];
            if (text_is(stale.items[i], order->id)) {
                order->doc = order->doc == DOC_ABSENT ? DOC_VOID : order->doc;
                day_settle(day, order, order->doc == DOC_PLACED ? HOLD_CONFIRM : HOLD_RELEASE);
            }
        }
    }
}

static void day_restock(struct day *day)
{
    int tries = 0;
    struct product out;
    struct request request = shop_request(day->shop, false);
    struct product_edit edit = {.id = day->goods[CHAIRS], .stock_delta = 5};
    set_has(product_edit, &edit, stock_delta);
    while (again(day, shop_edit(day->shop, &request, &edit, NULL, &out), &tries)) {
    }
}

static void day_open(struct day *day)
{
    for (int i = 0; i < GOODS_COUNT; i++) {
        int tries = 0;
        struct product out, product = shop_product(day->shop, day->number * GOODS_COUNT + i);
        struct request request = shop_request(day->shop, true);
        product.stock = i == CHAIRS ? 10 : 3;
        day->goods[i] = product.id;
        while (again(day, shop_insert(day->shop, &request, &product, &out), &tries)) {
        }
    }
}

/* With one failure and another try, the day goes as planned. */
static void assert_as_planned(const struct day *day)
{
    assert_int_equal(day->orders[0].doc, DOC_PLACED);
    assert_int_equal(day->orders[1].doc, DOC_VOID);
    assert_int_equal(day->orders[2].doc, DOC_CANCELLED);
    assert_int_equal(day->orders[3].doc, DOC_VOID);
    assert_int_equal(day->orders[4].doc, DOC_PLACED);
}

static void day_run(struct day *day)
{
    static const struct day_order orders[] = {
        {"ord_fine", {4, 2}, DOC_ABSENT},        {"ord_refused", {1, 2}, DOC_ABSENT},
        {"ord_cancelled", {6, 0}, DOC_ABSENT},   {"ord_given_up", {3, 1}, DOC_ABSENT},
        {"ord_unconfirmed", {1, 0}, DOC_ABSENT},
    };
    memcpy(day->orders, orders, sizeof orders);
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        snprintf(day->orders[i].id, DAY_ID_SIZE, "%s_%d", orders[i].id, day->number);
    }
    day_open(day);
    day_create(day, &day->orders[0]);
    day_create(day, &day->orders[1]);
    day_create(day, &day->orders[2]);
    day_restock(day);
    if (day->orders[2].doc == DOC_PLACED) {
        day->orders[2].doc = DOC_CANCELLED;
        day_settle(day, &day->orders[2], HOLD_RELEASE);
    }
    (void)day_reserve(day, &day->orders[3]); /* and nobody goes on */
    if (day_reserve(day, &day->orders[4]) == ERR_NONE) {
        day->orders[4].doc = DOC_PLACED; /* and nobody confirms */
    }
    day_sweep(day);
}

static int64_t day_sold(const struct day *day, int good)
{
    int64_t pieces = 0;
    for (size_t i = 0; i < ARRAY_COUNT(day->orders); i++) {
        pieces += day->orders[i].doc == DOC_PLACED ? day->orders[i].pieces[good] : 0;
    }
    return pieces;
}

/* What order-svc and the sweeper send again until it is answered, without failures now; then the books. */
static void assert_books(struct day *day, int run)
{
    day_sweep(day);
    assert_int_equal(shop_stale(day->shop, day->shop->now_ms).count, 0);
    for (size_t i = 0; i < ARRAY_COUNT(day->orders); i++) {
        if (day->orders[i].doc == DOC_CANCELLED || day->orders[i].doc == DOC_VOID) {
            day_settle(day, &day->orders[i], HOLD_RELEASE);
        }
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < GOODS_COUNT; i++) {
            struct product product;
            if (shop_get(day->shop, day->goods[i], true, &product) != ERR_NONE) {
                assert_true(day->gives_up && day_sold(day, i) == 0); /* it was never made */
                continue;
            }
            int64_t came = i == CHAIRS ? (product.version > 1 ? 15 : 10) : 3;
            if (product.stock + day_sold(day, i) != came || product.version > 2) {
                fail_msg("call %d: %d left and %d sold of %d", run, (int)product.stock, (int)day_sold(day, i),
                         (int)came);
            }
        }
        for (size_t i = 0; i < ARRAY_COUNT(day->orders); i++) { /* everything back: all of it must come */
            day->orders[i].doc = DOC_VOID;
            day_settle(day, &day->orders[i], HOLD_RELEASE);
        }
    }
}

/* True if the run was long enough for its failure to happen. */
static bool run_once(const struct contract_place *place, int fail_at, bool commits_unheard, bool gives_up)
{
    void *state = (void *)(uintptr_t)place;
    assert_int_equal(shop_open(&state), 0);
    struct shop *shop = state;
    struct day day = {.shop = shop, .gives_up = gives_up};
    struct failing failing = {.fail_at = fail_at, .commits_unheard = commits_unheard};
    failing_product_store_init(&failing, shop->store);
    shop->store = &failing.store;
    day_run(&day);
    int calls = failing.calls;
    shop->store = failing.inner;
    if (!gives_up) {
        assert_as_planned(&day);
    }
    assert_books(&day, fail_at);
    shop_close(&state);
    return calls > fail_at;
}

static void run_all(const struct contract_place *place, bool commits_unheard, bool gives_up)
{
    int run = 0;
    while (run < CALLS_MAX && run_once(place, run, commits_unheard, gives_up)) {
        run++;
    }
    assert_true(run > 20 && run < CALLS_MAX);
}

static void failures_are_tried_again(void **state)
{
    run_all(*state, false, false);
}

static void commits_nobody_heard_of_are_tried_again(void **state)
{
    run_all(*state, true, false);
}

static void whoever_fails_dies(void **state)
{
    run_all(*state, false, true);
}

static void whoever_does_not_hear_of_a_commit_dies(void **state)
{
    run_all(*state, true, true);
}

int contract_product_failing(const struct contract_place *place)
{
    void *state = (void *)(uintptr_t)place;
    const struct CMUnitTest failing[] = {
        cmocka_unit_test_prestate(failures_are_tried_again, state),
        cmocka_unit_test_prestate(commits_nobody_heard_of_are_tried_again, state),
        cmocka_unit_test_prestate(whoever_fails_dies, state),
        cmocka_unit_test_prestate(whoever_does_not_hear_of_a_commit_dies, state),
    };
    return cmocka_run_group_tests(failing, NULL, NULL);
}

/* ---- commands that are lost on their way ---- */

static struct product_store *spoilt_store_open(struct shop *shop, const char *url, int64_t answer_ms)
{
    struct store_config config = shop->config;
    struct product_store *store = NULL;
    enum err e;
    int tries = 0;
    config.store = url;
    config.store_answer_ms = answer_ms;
    do { /* it may give up soon, on a server that may be busy */
        e = product_store_open(&config, &(struct product_access){.writer = true}, &shop->fault, &store);
    } while (is_failure(e) && ++tries < REMOTE_TRIES_MAX && usleep(REMOTE_PAUSE_US) == 0);
    assert_int_equal(e, ERR_NONE);
    return store;
}

/* The shop's store answers again, so that a day begins well. */
static void store_wait(struct shop *shop)
{
    struct text_list list;
    enum err e;
    int tries = 0;
    do {
        e = shop_find_stale(shop, 0, &list);
    } while (is_failure(e) && ++tries < REMOTE_TRIES_MAX && usleep(REMOTE_PAUSE_US) == 0);
    assert_int_equal(e, ERR_NONE);
}

/* Which commands: whoever dies, dies in every verb, if not at each of its commands; silence and lateness take time, and
 * share the commands between them. */
static int first_of(int how)
{
    return how == CONTRACT_BE_LATE ? 1 : 0;
}

static int step_of(int how, bool gives_up)
{
    return gives_up ? 3 : how >= CONTRACT_KEEP_SILENT ? 2 : 1;
}

/* One day after the other in the same shop; in day N the N-th command is spoilt. */
static void spoil_all(const struct contract_place *place, const struct contract_spoiler *spoiler, int how,
                      bool gives_up)
{
    void *state = (void *)(uintptr_t)place;
    char url[512];
    bool spoilt = true;
    assert_int_equal(shop_open(&state), 0);
    struct shop *shop = state;
    struct product_store *store = shop->store;
    spoiler->open(shop->url, url);
    struct product_store *spoilt_store = spoilt_store_open(shop, url, spoiler->answer_ms(how));
    for (int n = first_of(how); spoilt; n += step_of(how, gives_up)) {
        struct day day = {.shop = shop, .number = n, .gives_up = gives_up, .is_remote = true};
        shop->store = spoilt_store;
        store_wait(shop);
        spoiler->spoil(n, how);
        day_run(&day);
        spoilt = spoiler->spoilt();
        spoiler->spoil(-1, how);
        spoiler->settle();
        shop->store = store;
        if (!gives_up) {
            assert_as_planned(&day);
        }
        assert_books(&day, n);
        assert_true(n < CALLS_MAX && (spoilt || n > 20)); /* every verb had its turn */
    }
    product_store_destroy(&spoilt_store);
    spoiler->close();
    shop_close(&state);
}

static const struct contract_spoiler *spoiler_of;

static void commands_that_are_lost_are_tried_again(void **state)
{
    spoil_all(*state, spoiler_of, CONTRACT_LOSE_COMMAND, false);
}

static void answers_that_are_lost_are_asked_for_again(void **state)
{
    spoil_all(*state, spoiler_of, CONTRACT_LOSE_ANSWER, false);
}

static void answers_that_never_come_are_asked_for_again(void **state)
{
    spoil_all(*state, spoiler_of, CONTRACT_KEEP_SILENT, false);
}

static void commands_that_are_late_change_nothing_more(void **state)
{
    spoil_all(*state, spoiler_of, CONTRACT_BE_LATE, false);
}

static void whoever_gets_no_answer_dies(void **state)
{
    spoil_all(*state, spoiler_of, CONTRACT_LOSE_ANSWER, true);
}

int contract_product_spoilt(const struct contract_place *place, const struct contract_spoiler *spoiler)
{
    void *state = (void *)(uintptr_t)place;
    const struct CMUnitTest spoilt[] = {
        cmocka_unit_test_prestate(commands_that_are_lost_are_tried_again, state),
        cmocka_unit_test_prestate(answers_that_are_lost_are_asked_for_again, state),
        cmocka_unit_test_prestate(answers_that_never_come_are_asked_for_again, state),
        cmocka_unit_test_prestate(commands_that_are_late_change_nothing_more, state),
        cmocka_unit_test_prestate(whoever_gets_no_answer_dies, state),
    };
    spoiler_of = spoiler;
    return cmocka_run_group_tests(spoilt, NULL, NULL);
}
