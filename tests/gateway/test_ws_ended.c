#include "tests/gateway/check.h"

#include <stdio.h>

#include "gateway/ws_ended.h"

static struct ws_identity identity_of(const char *user, const char *session, int64_t issued_at_ms, int64_t checked_ms)
{
    struct ws_identity identity = {.issued_at_ms = issued_at_ms, .checked_ms = checked_ms};
    snprintf(identity.user_id, sizeof(identity.user_id), "%s", user);
    snprintf(identity.session_id, sizeof(identity.session_id), "%s", session);
    return identity;
}

static void copies_say_the_same(void **state)
{
    (void)state;
    struct denial denial = {.user_id = TEXT("usr_a"), .except_session_id = TEXT("ses_2"), .before = 500};
    set_has(denial, &denial, user_id);
    set_has(denial, &denial, except_session_id);
    struct ws_ended ended = ws_ended_of(&denial);
    struct denial copy = ws_ended_denial(&ended);
    assert_true(text_is(copy.user_id, "usr_a") && text_is(copy.except_session_id, "ses_2"));
    assert_false(has(denial, &copy, session_id));
    struct ws_identity ends = identity_of("usr_a", "ses_1", 500, 0), stays = identity_of("usr_a", "ses_2", 500, 0);
    assert_true(ws_identity_is_denied(&ends, &copy));
    assert_false(ws_identity_is_denied(&stays, &copy));
}

static void only_what_came_since_the_check_counts(void **state)
{
    (void)state;
    static struct ws_ends ends;
    struct denial denial = {.session_id = TEXT("ses_1")};
    set_has(denial, &denial, session_id);
    struct ws_ended ended = ws_ended_of(&denial);
    struct ws_identity early = identity_of("usr_a", "ses_1", 1, 100), late = identity_of("usr_a", "ses_1", 1, 101);
    struct ws_identity other = identity_of("usr_a", "ses_2", 1, 0);
    assert_false(ws_ends_hit(&ends, &early));
    ws_ends_add(&ends, &ended, 100);
    assert_true(ws_ends_hit(&ends, &early));
    assert_false(ws_ends_hit(&ends, &late));
    assert_false(ws_ends_hit(&ends, &other));
    struct denial more = {.session_id = TEXT("ses_9")};
    set_has(denial, &more, session_id);
    ended = ws_ended_of(&more);
    for (int i = 0; i < WS_ENDED_COUNT - 1; i++) {
        ws_ends_add(&ends, &ended, 200);
    }
    assert_true(ws_ends_hit(&ends, &early));
    ws_ends_add(&ends, &ended, 200); /* the oldest makes room */
    assert_false(ws_ends_hit(&ends, &early));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_say_the_same),
        cmocka_unit_test(only_what_came_since_the_check_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
