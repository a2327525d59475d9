/* What the suites of the durable subscribers' stores have in common: a desk with a store on it, verbs in units of work,
 * and a scenario whose N-th call fails. A suite says which store it is for (DESK_STORE) before it includes this. */
#ifndef ZMART_TESTS_CONTRACT_SUBSCRIBER_H
#define ZMART_TESTS_CONTRACT_SUBSCRIBER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/bus/service.h"

struct desk {
    DESK_STORE *store;
    void *host;     /* the host's own */
    int64_t now_ms; /* the scenario's time: it never goes back */
    struct arena arena;
    struct fault fault;
};

struct contract_host {
    void (*open)(struct desk *desk);    /* a fresh store */
    void (*reopen)(struct desk *desk);  /* the same data, later */
    void (*close)(struct desk *desk);
    void (*empty)(struct desk *desk);   /* as it was at first */
    void (*recover)(struct desk *desk); /* waits until the store answers again; NULL: it always does */
    void (*settle)(struct desk *desk);  /* waits for what was sent and not done yet; NULL: there is no such thing */
};

static const struct contract_host *contract_host;

static int desk_setup(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    contract_host->open(desk);
    fault_init(&desk->fault, &desk->arena);
    *state = desk;
    return 0;
}

static int desk_teardown(void **state)
{
    struct desk *desk = *state;
    contract_host->close(desk);
    arena_release(&desk->arena);
    free(desk);
    return 0;
}

static void begin(struct desk *desk)
{
    fault_init(&desk->fault, &desk->arena);
    if (desk->store->unit) {
        assert_int_equal(desk->store->unit->begin(desk->store->handle, true, &desk->fault), ERR_NONE);
    }
}

static void end(struct desk *desk, bool commit)
{
    const struct unit_of_work *unit = desk->store->unit;
    if (unit && commit) {
        assert_int_equal(unit->commit(desk->store->handle, &desk->fault), ERR_NONE);
    } else if (unit) {
        unit->rollback(desk->store->handle);
    }
}

/* One verb, in a unit of work of its own. */
#define VERB(desk, expected, verb, ...)                                                                      \
    do {                                                                                                     \
        begin(desk);                                                                                         \
        enum err got = (desk)->store->ops->verb((desk)->store, __VA_ARGS__);                                 \
        if (got != (expected)) {                                                                             \
            fail_msg(#verb ": %d instead of %d (%s)", got, expected, (desk)->fault.cause);                   \
        }                                                                                                    \
        end(desk, got == ERR_NONE);                                                                          \
    } while (0)

/* ---- the N-th call fails ---- */

struct failing {
    DESK_STORE base;
    DESK_STORE *inner; /* borrowed */
    int calls_left;
    bool afterwards; /* fails after it has done its work: an answer that was lost */
    bool failed;
};

static bool fails_now(struct failing *self, bool afterwards, struct fault *fault)
{
    if (self->afterwards != afterwards || self->failed || self->calls_left-- > 0) {
        return false;
    }
    self->failed = true;
    fault_set(fault, afterwards ? ERR_OUTCOME_UNKNOWN : ERR_SERVICE_UNAVAILABLE, NULL);
    return true;
}

/* The body of a verb. */
#define FAILING(self, fault, verb, ...)                                                        \
    struct failing *failing = (struct failing *)(self);                                        \
    if (fails_now(failing, false, fault)) {                                                    \
        return ERR_SERVICE_UNAVAILABLE;                                                        \
    }                                                                                          \
    enum err e = failing->inner->ops->verb(failing->inner, __VA_ARGS__);                       \
    return e == ERR_NONE && fails_now(failing, true, fault) ? ERR_OUTCOME_UNKNOWN : e

/* What the service does in one unit of work. It is done again after SERVICE_UNAVAILABLE and OUTCOME_UNKNOWN. */
typedef enum err scenario_step(struct desk *desk, DESK_STORE *store);

static void step_run(struct desk *desk, DESK_STORE *store, scenario_step *step)
{
    enum { STEP_MS = 120000 };
    int64_t end_ms = clock_now_ms() + STEP_MS;
    enum err e;
    do {
        begin(desk);
        e = step(desk, store);
        end(desk, e == ERR_NONE);
        if (e != ERR_NONE && e != ERR_SERVICE_UNAVAILABLE && e != ERR_OUTCOME_UNKNOWN) {
            fail_msg("%s (%s)", err_info(e)->slug, desk->fault.cause);
        }
        if (e != ERR_NONE && contract_host->recover) {
            contract_host->recover(desk);
        }
    } while (e != ERR_NONE && clock_now_ms() < end_ms);
    assert_int_equal(e, ERR_NONE);
}

/* The suite's. What comes late is waited for before what undoes it. */
struct scenario {
    scenario_step *steps[8]; /* up to a NULL */
    scenario_step *undo, *check;
};
static const struct scenario scenario;

static void scenario_run(struct desk *desk, DESK_STORE *store)
{
    for (size_t i = 0; scenario.steps[i]; i++) {
        step_run(desk, store, scenario.steps[i]);
    }
    if (contract_host->settle) {
        contract_host->settle(desk);
    }
    step_run(desk, store, scenario.undo);
}

static void scenario_check(struct desk *desk)
{
    step_run(desk, desk->store, scenario.check);
}

/* The failing store; its base has what it is made of. */
static struct failing failing_over(DESK_STORE *inner);

static void failing_from_first_to_last(bool afterwards, int calls_min)
{
    void *state;
    bool failed = true;
    desk_setup(&state);
    struct desk *desk = state;
    for (int calls = 0; failed; calls++) {
        struct failing failing = failing_over(desk->store);
        failing.calls_left = calls;
        failing.afterwards = afterwards;
        scenario_run(desk, &failing.base);
        scenario_check(desk);
        failed = failing.failed;
        assert_true(failed || calls >= calls_min); /* every verb had its turn */
        contract_host->empty(desk);
    }
    desk_teardown(&state);
}

#define CONTRACT_TEST(test) cmocka_unit_test_setup_teardown(test, desk_setup, desk_teardown)

#endif
