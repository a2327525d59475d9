/* Sessions, what denies them, and the tickets that stand for them. */
#include "tests/contract/user_ground.h"

#include <stdio.h>

static void a_session_begins_once(void **state)
{
    struct ground *g = *state;
    struct session session = {.id = TEXT("ses_1"), .user_id = TEXT("usr_1"), .refresh_hash = TEXT("first"),
                              .created_ms = 1, .used_ms = 1};
    WELL(user_store_session_insert(g->store, &session, &g->fault));
    WELL(user_store_session_insert(g->store, &session, &g->fault)); /* sent again */
    session.user_id = TEXT("usr_2");
    assert_int_equal(ACT(user_store_session_insert(g->store, &session, &g->fault)), ERR_CONFLICT);
    session.user_id = TEXT("usr_1");
    session.refresh_hash = TEXT("other");
    assert_int_equal(ACT(user_store_session_insert(g->store, &session, &g->fault)), ERR_CONFLICT);
}

static void a_refresh_token_moves_once(void **state)
{
    struct ground *g = *state;
    struct session found;
    session_put(g, "ses_1", "usr_1");
    struct session_move move = {TEXT("ses_1"), TEXT("first"), TEXT("second"), NOW + 5};
    WELL(user_store_session_rotate(g->store, &move, &g->fault));
    assert_int_equal(ACT(user_store_session_rotate(g->store, &move, &g->fault)), ERR_CONFLICT);
    WELL(user_store_session_get(g->store, TEXT("ses_1"), &g->arena, &g->fault, &found));
    assert_true(text_is(found.refresh_hash, "second"));
    assert_int_equal(found.used_ms, NOW + 5);
    assert_int_equal(found.ended_ms, 0);
    assert_true(session_end(g, "ses_1", NOW + 6));
    assert_false(session_end(g, "ses_1", NOW + 6));
    move = (struct session_move){TEXT("ses_1"), TEXT("second"), TEXT("third"), NOW + 7};
    assert_int_equal(ACT(user_store_session_rotate(g->store, &move, &g->fault)), ERR_CONFLICT);
    assert_int_equal(ACT(user_store_session_get(g->store, TEXT("ses_9"), &g->arena, &g->fault, &found)), ERR_NOT_FOUND);
}

static void tokens_are_good_while_nothing_speaks_against_them(void **state)
{
    struct ground *g = *state;
    account_put(g, "usr_1", "a@b", 10);
    account_put(g, "usr_2", "c@d", 11);
    session_put(g, "ses_1", "usr_1");
    session_put(g, "ses_2", "usr_1");
    session_put(g, "ses_3", "usr_2");
    assert_true(token_is_good(g, "ses_1", "usr_1", NOW));
    assert_false(token_is_good(g, "ses_1", "usr_2", NOW));
    assert_false(token_is_good(g, "ses_9", "usr_1", NOW));
    password_put(g, "usr_1", "ses_1", NOW);
    assert_true(token_is_good(g, "ses_1", "usr_1", NOW)); /* the exception */
    assert_false(token_is_good(g, "ses_2", "usr_1", NOW + 1));
    assert_int_equal(role_put(g, "usr_2", ROLE_ADMIN), ERR_NONE);
    assert_false(token_is_good(g, "ses_3", "usr_2", NOW));
    assert_true(token_is_good(g, "ses_3", "usr_2", NOW + 1)); /* issued later */
    assert_int_equal(role_put_at(g, "usr_1", ROLE_CUSTOMER, NOW + 5), ERR_NONE);
    assert_false(token_is_good(g, "ses_1", "usr_1", NOW + 5)); /* the exception was not from that */
    assert_true(token_is_good(g, "ses_1", "usr_1", NOW + 6));
}

static void a_new_password_leaves_one_session(void **state)
{
    struct ground *g = *state;
    struct session found;
    account_put(g, "usr_1", "a@b", 10);
    session_put(g, "ses_1", "usr_1");
    session_put(g, "ses_2", "usr_1");
    password_put(g, "usr_1", "ses_1", NOW);
    WELL(user_store_session_get(g->store, TEXT("ses_1"), &g->arena, &g->fault, &found));
    assert_int_equal(found.ended_ms, 0);
    WELL(user_store_session_get(g->store, TEXT("ses_2"), &g->arena, &g->fault, &found));
    assert_int_not_equal(found.ended_ms, 0);
    struct session_move move = {TEXT("ses_2"), TEXT("first"), TEXT("second"), NOW + 1};
    assert_int_equal(ACT(user_store_session_rotate(g->store, &move, &g->fault)), ERR_CONFLICT);
    move.id = TEXT("ses_1");
    WELL(user_store_session_rotate(g->store, &move, &g->fault));
    session_put(g, "ses_3", "usr_1"); /* its password was verified before the new one came */
    assert_false(token_is_good(g, "ses_3", "usr_1", NOW + 1));
    struct session later = {.id = TEXT("ses_4"),
                            .user_id = TEXT("usr_1"),
                            .generation = 1,
                            .refresh_hash = TEXT("first"),
                            .created_ms = NOW + 1,
                            .used_ms = NOW + 1};
    WELL(user_store_session_insert(g->store, &later, &g->fault));
    assert_true(token_is_good(g, "ses_4", "usr_1", NOW + 1));
    password_put(g, "usr_1", NULL, NOW + 5);
    assert_false(token_is_good(g, "ses_1", "usr_1", NOW + 6));
    assert_false(token_is_good(g, "ses_4", "usr_1", NOW + 6));
}

static void denials_are_listed_until_they_expire(void **state)
{
    struct ground *g = *state;
    account_put(g, "usr_1", "a@b", 10);
    account_put(g, "usr_2", "c@d", 11);
    session_put(g, "ses_1", "usr_1");
    assert_int_equal(denials_at(g, 0).denials.count, 0);
    assert_int_equal(role_put_at(g, "usr_2", ROLE_ADMIN, NOW), ERR_NONE);
    password_put(g, "usr_2", "ses_9", NOW + 2);
    assert_true(session_end(g, "ses_1", NOW + 3));
    struct denial_list list = denials_at(g, 0);
    assert_int_equal(list.denials.count, 3);
    assert_true(text_is(list.denials.items[0].session_id, "ses_1"));
    assert_false(has(denial, &list.denials.items[0], user_id));
    assert_int_equal(list.denials.items[0].before, NOW + 3);
    assert_true(text_is(list.denials.items[1].user_id, "usr_2"));
    assert_int_equal(list.denials.items[1].before, NOW);
    assert_false(has(denial, &list.denials.items[1], except_session_id));
    assert_int_equal(list.denials.items[2].before, NOW + 2);
    assert_true(text_is(list.denials.items[2].except_session_id, "ses_9"));
    assert_int_equal(denials_at(g, NOW + 11).denials.count, 3);
    assert_int_equal(denials_at(g, NOW + 12).denials.count, 1);
    assert_int_equal(denials_at(g, NOW + 13).denials.count, 0);
}

static void denials_are_listed_up_to_a_number(void **state)
{
    struct ground *g = *state;
    char newest[16];
    for (int i = 0; i < DENIAL_MAX + 5; i++) {
        snprintf(newest, sizeof newest, "ses_%d", i);
        session_put(g, newest, "usr_1");
        assert_true(session_end(g, newest, NOW + i));
    }
    struct denial_list list = denials_at(g, 0);
    assert_int_equal(list.denials.count, DENIAL_MAX);
    assert_true(text_is(list.denials.items[0].session_id, newest));
    assert_int_equal(denials_at(g, NOW + DENIAL_MAX + 3 + 10).denials.count, 1);
}

static void a_ticket_is_good_once(void **state)
{
    struct ground *g = *state;
    bool fresh = false;
    session_put(g, "ses_1", "usr_1");
    struct ticket ticket = ticket_of("t1", "ses_1");
    WELL(user_store_ticket_add(g->store, &ticket, &g->fault, &fresh));
    assert_true(fresh);
    WELL(user_store_ticket_add(g->store, &ticket, &g->fault, &fresh));
    assert_false(fresh);
    assert_int_equal(ticket_take(g, "t9", "request-1", NOW), ERR_NOT_FOUND);
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW + 30), ERR_NOT_FOUND); /* expired */
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW + 29), ERR_NONE);
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW + 29), ERR_NONE); /* sent again */
    assert_int_equal(ticket_take(g, "t1", "request-2", NOW + 29), ERR_NOT_FOUND);
}

static void a_ticket_ends_with_its_session_or_its_role(void **state)
{
    struct ground *g = *state;
    bool fresh;
    account_put(g, "usr_1", "a@b", 10);
    account_put(g, "usr_2", "c@d", 10);
    assert_int_equal(role_put_at(g, "usr_2", ROLE_ADMIN, NOW - 5), ERR_NONE);
    session_put(g, "ses_1", "usr_1");
    session_put(g, "ses_2", "usr_1");
    struct ticket first = ticket_of("t1", "ses_1"), second = ticket_of("t2", "ses_2");
    WELL(user_store_ticket_add(g->store, &first, &g->fault, &fresh));
    WELL(user_store_ticket_add(g->store, &second, &g->fault, &fresh));
    assert_true(session_end(g, "ses_1", NOW));
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW), ERR_NOT_FOUND);
    assert_int_equal(role_put(g, "usr_1", ROLE_CUSTOMER), ERR_NONE);
    assert_int_equal(ticket_take(g, "t2", "request-2", NOW), ERR_NOT_FOUND);
}

int contract_user_sessions(const struct user_place *place)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(a_session_begins_once),
        CONTRACT(a_refresh_token_moves_once),
        CONTRACT(tokens_are_good_while_nothing_speaks_against_them),
        CONTRACT(a_new_password_leaves_one_session),
        CONTRACT(denials_are_listed_until_they_expire),
        CONTRACT(denials_are_listed_up_to_a_number),
        CONTRACT(a_ticket_is_good_once),
        CONTRACT(a_ticket_ends_with_its_session_or_its_role),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
