/* What a peer may see: own orders, every order, what its filter names, and nothing after a denial. */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/event_types.h"
#include "lib/base/mem.h"
#include "tests/gateway/peer_fixture.h"

static bool sees(struct fixture *f, const char *user, const char *order)
{
    struct ws_message *event = event_of(1, user, order, 2);
    bool result = ws_peer_sees(f->peer, event);
    ws_message_drop(&event);
    return result;
}

static void customers_see_their_own_orders(void **state)
{
    struct fixture *f = *state;
    assert_true(sees(f, "usr_a", "ord_1"));
    assert_false(sees(f, "usr_b", "ord_1"));
    assert_false(sees(f, "usr_", "ord_1"));
    assert_false(sees(f, "", "ord_1"));
}

static struct ws_filter filter_of(const char *first, const char *second)
{
    struct ws_filter filter = {.count = 2, .order_ids = mem_alloc_array(2, WS_ID_SIZE)};
    snprintf(filter.order_ids[0], WS_ID_SIZE, "%s", first);
    snprintf(filter.order_ids[1], WS_ID_SIZE, "%s", second);
    return filter;
}

static void administrators_see_all_and_filters_narrow(void **state)
{
    (void)state;
    struct fixture *f = malloc(sizeof(*f));
    fixture_open_as(f, ROLE_ADMIN, (struct ws_filter){0});
    assert_true(sees(f, "usr_b", "ord_1") && sees(f, "", "ord_1"));
    fixture_close((void **)&f);
    f = malloc(sizeof(*f));
    fixture_open_as(f, ROLE_ADMIN, filter_of("ord_1", "ord_2"));
    assert_true(sees(f, "usr_b", "ord_1") && sees(f, "usr_c", "ord_2"));
    assert_false(sees(f, "usr_b", "ord_3"));
    fixture_close((void **)&f);
    f = malloc(sizeof(*f));
    fixture_open_as(f, ROLE_CUSTOMER, filter_of("ord_1", "ord_2"));
    assert_true(sees(f, "usr_a", "ord_1"));
    assert_false(sees(f, "usr_a", "ord_3"));
    assert_false(sees(f, "usr_b", "ord_1")); /* a filter gives no rights */
    fixture_close((void **)&f);
}

static void denials_end_the_right_sessions(void **state)
{
    (void)state;
    struct ws_identity identity = {.user_id = "usr_a", .session_id = "ses_a", .issued_at_ms = 1000};
    struct denial denial = {.session_id = TEXT("ses_a")};
    set_has(denial, &denial, session_id);
    assert_true(ws_identity_is_denied(&identity, &denial));
    denial.session_id = TEXT("ses_b");
    assert_false(ws_identity_is_denied(&identity, &denial));
    denial = (struct denial){.user_id = TEXT("usr_a"), .before = 1000};
    set_has(denial, &denial, user_id);
    assert_true(ws_identity_is_denied(&identity, &denial));
    denial.before = 999; /* signed in again since */
    assert_false(ws_identity_is_denied(&identity, &denial));
    denial.before = 1000;
    denial.except_session_id = TEXT("ses_a");
    set_has(denial, &denial, except_session_id);
    assert_false(ws_identity_is_denied(&identity, &denial));
    denial.user_id = TEXT("usr_b");
    denial.except_session_id = TEXT("ses_b");
    assert_false(ws_identity_is_denied(&identity, &denial));
}

#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PEER(customers_see_their_own_orders),
        cmocka_unit_test(administrators_see_all_and_filters_narrow),
        cmocka_unit_test(denials_end_the_right_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
