#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/operator.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proto/mmi.h"

static void places_that_are_none(void **state)
{
    (void)state;
    char message[512];
    struct operator_config bad = {.bus = "http://x", .data = "./data"};
    assert_null(operator_new(&bad, message, sizeof message));
    assert_non_null(strstr(message, "http://x"));
    struct operator_config open = {.bus = "tcp://127.0.0.1:1", .data = ""};
    assert_null(operator_new(&open, message, sizeof message));
    assert_non_null(strstr(message, "--keys"));
    struct operator_config nowhere = {.bus = "", .data = "/no/such/folder"};
    assert_null(operator_new(&nowhere, message, sizeof message));
    assert_non_null(strstr(message, "/no/such/folder"));
    assert_non_null(strstr(message, "zmart up"));
}

static void nobody_answers(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    char message[512];
    struct operator_config place = {.bus = "ipc:///no/such/folder,inproc://nobody", .data = "", .timeout_ms = 50};
    AUTO(operator_destroy) struct console *console = operator_new(&place, message, sizeof message);
    assert_non_null(console);
    assert_int_equal(operator_broker_count(console), 2);
    assert_string_equal(operator_address(console, 1), "inproc://nobody");
    struct mmi_service_ref ref = {.name = TEXT("product")};
    struct operator_question question = {
        .route = "mmi.service", .request = &mmi_service_ref_record, .in = &ref, .reply = &mmi_service_record};
    struct mmi_service out;
    struct fault fault;
    fault_init(&fault, &arena);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(operator_ask(console, 0, &question, &arena, &fault, &out), ERR_EXPIRED);
    assert_true(clock_now_ms() - start_ms >= 50);
    assert_string_equal(fault.detail, "no broker answers at ipc:///no/such/folder (waited 50 ms)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(places_that_are_none), cmocka_unit_test(nobody_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
