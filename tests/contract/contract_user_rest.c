/* Keys, secrets, counted failures, the sweep, and the events of accounts and sessions. */
#include "tests/contract/user_ground.h"

#include <stdio.h>

static void the_first_key_and_secret_stay(void **state)
{
    struct ground *g = *state;
    static const char point[] = "0123456789012345678901234567890123456789012";
    struct signing_key shown = {
        .kid = TEXT("kid 1"), .public_pem = TEXT("public"), .x = text_of(point), .y = text_of(point)};
    struct key_row row = {.generation = 1, .created_ms = NOW, .shown = shown, .private_pem = TEXT("private 1")};
    struct key_rows rows;
    struct text secret;
    assert_int_equal(ACT(user_store_secret_get(g->store, "server", &g->arena, &g->fault, &secret)), ERR_NOT_FOUND);
    WELL(user_store_key_list(g->store, &g->arena, &g->fault, &rows));
    assert_int_equal(rows.count, 0);
    WELL(user_store_key_add(g->store, &row, &g->fault));
    row.shown.kid = TEXT("kid 2");
    row.private_pem = TEXT("private 2");
    WELL(user_store_key_add(g->store, &row, &g->fault));
    WELL(user_store_key_list(g->store, &g->arena, &g->fault, &rows));
    assert_int_equal(rows.count, 1);
    assert_true(text_is(rows.items[0].shown.kid, "kid 1"));
    assert_true(text_is(rows.items[0].private_pem, "private 1"));
    assert_int_equal(rows.items[0].generation, 1);
    assert_int_equal(rows.items[0].created_ms, NOW);
    WELL(user_store_secret_add(g->store, &(struct secret_row){"server", TEXT("one")}, &g->fault));
    WELL(user_store_secret_add(g->store, &(struct secret_row){"server", TEXT("two")}, &g->fault));
    WELL(user_store_secret_get(g->store, "server", &g->arena, &g->fault, &secret));
    assert_true(text_is(secret, "one"));
}

static struct attempts attempts_now(struct ground *g, const char *name)
{
    struct attempts attempts = {.failures = 77};
    WELL(user_store_attempts_get(g->store, text_of(name), &g->fault, &attempts));
    return attempts;
}

static bool attempts_move(struct ground *g, const char *name, struct attempts from, struct attempts to)
{
    struct attempts_change change = {text_of(name), from, to};
    bool done = false;
    WELL(user_store_attempts_put(g->store, &change, &g->fault, &done));
    return done;
}

static void failures_are_counted_one_after_the_other(void **state)
{
    struct ground *g = *state;
    const struct attempts none = {0}, one = {1, 0, NOW}, two = {2, NOW + 1000, NOW + 1},
                          three = {3, NOW + 2000, NOW + 2};
    assert_int_equal(attempts_now(g, "n").failures, 0);
    assert_true(attempts_move(g, "n", none, one));
    assert_false(attempts_move(g, "n", none, one)); /* somebody else has begun to count */
    assert_true(attempts_move(g, "n", one, two));
    assert_false(attempts_move(g, "n", one, three));
    assert_int_equal(attempts_now(g, "n").failures, 2);
    assert_int_equal(attempts_now(g, "n").blocked_until_ms, NOW + 1000);
    assert_int_equal(attempts_now(g, "n").last_ms, NOW + 1);
    assert_int_equal(attempts_now(g, "m").failures, 0);
    assert_false(attempts_move(g, "n", one, none)); /* a success that knew less forgets nothing */
    assert_true(attempts_move(g, "n", two, none));
    assert_int_equal(attempts_now(g, "n").failures, 0);
    assert_true(attempts_move(g, "n", none, one));
    assert_true(attempts_move(g, "m", none, two));
    struct user_sweep bounds = {.attempts_before_ms = NOW + 1, .row_count = 10};
    WELL(user_store_sweep(g->store, &bounds, &g->fault));
    assert_int_equal(attempts_now(g, "n").failures, 0);
    assert_int_equal(attempts_now(g, "m").failures, 2);
}

static void keys_follow_one_another(void **state)
{
    struct ground *g = *state;
    static const char point[] = "0123456789012345678901234567890123456789012";
    struct key_rows rows;
    for (int i = 1; i <= 3; i++) {
        char kid[16];
        snprintf(kid, sizeof kid, "kid %d", i);
        struct signing_key shown = {
            .kid = text_of(kid), .public_pem = TEXT("public"), .x = text_of(point), .y = text_of(point)};
        struct key_row row = {
            .generation = i, .created_ms = NOW + i, .private_pem = TEXT("private"), .shown = shown};
        WELL(user_store_key_add(g->store, &row, &g->fault));
    }
    WELL(user_store_key_drop(g->store, 2, &g->fault));
    WELL(user_store_key_list(g->store, &g->arena, &g->fault, &rows));
    assert_int_equal(rows.count, 2);
    assert_true(text_is(rows.items[0].shown.kid, "kid 3"));
    assert_true(text_is(rows.items[1].shown.kid, "kid 2"));
}

static void distrusted_keys_go_with_their_tickets(void **state)
{
    struct ground *g = *state;
    static const char point[] = "0123456789012345678901234567890123456789012";
    struct key_rows rows;
    struct account_new asker = account_of("usr_1", "a@b", 10);
    enum role role;
    bool fresh;
    WELL(user_store_account_insert(g->store, &asker, &g->arena, &g->fault, &role));
    session_put(g, "ses_1", "usr_1");
    for (int i = 1; i <= 3; i++) {
        char kid[16];
        snprintf(kid, sizeof kid, "kid %d", i);
        struct signing_key shown = {
            .kid = text_of(kid), .public_pem = TEXT("public"), .x = text_of(point), .y = text_of(point)};
        struct key_row row = {.generation = i, .created_ms = NOW + i, .private_pem = TEXT("private"), .shown = shown};
        WELL(user_store_key_add(g->store, &row, &g->fault));
    }
    struct ticket ticket = ticket_of("t1", "ses_1");
    WELL(user_store_ticket_add(g->store, &ticket, &g->fault, &fresh));
    struct event_new ended = event_of("evt_1", "session.ended", "usr_1");
    ended.private_data = TEXT("\x80");
    set_has(event_new, &ended, private_data);
    struct key_distrust change = {.below_generation = 3, .user_id = TEXT("usr_1"), .ended = &ended};
    (void)events_take(g);
    WELL(user_store_key_distrust(g->store, &change, &g->arena, &g->fault));
    WELL(user_store_key_list(g->store, &g->arena, &g->fault, &rows));
    assert_int_equal(rows.count, 1);
    assert_true(text_is(rows.items[0].shown.kid, "kid 3"));
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW), ERR_NOT_FOUND);
    struct outbox_page page = events_take(g);
    assert_int_equal(page.append.events.count, 1);
    assert_true(text_is(page.append.events.items[0].type, "session.ended"));
    WELL(user_store_ticket_add(g->store, &ticket, &g->fault, &fresh)); /* what is asked for from now on is good */
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW), ERR_NONE);
}

static void the_first_answer_stays(void **state)
{
    struct ground *g = *state;
    struct text found;
    bool fresh = false;
    struct kept_answer one = {.request_id = TEXT("0123456789abcdef"), .body = TEXT("first\0answer"), .now_ms = NOW};
    struct kept_answer other = {.request_id = TEXT("0123456789abcdeX"), .body = TEXT("other"), .now_ms = NOW + 1};
    assert_int_equal(one.request_id.size, ID_SIZE);
    assert_int_equal(ACT(user_store_answer_get(g->store, one.request_id, &g->arena, &g->fault, &found)), ERR_NOT_FOUND);
    WELL(user_store_answer_add(g->store, &one, &g->fault, &fresh));
    assert_true(fresh);
    WELL(user_store_answer_add(g->store, &other, &g->fault, &fresh));
    assert_true(fresh);
    struct kept_answer again = {.request_id = one.request_id, .body = TEXT("second"), .now_ms = NOW + 2};
    WELL(user_store_answer_add(g->store, &again, &g->fault, &fresh));
    assert_false(fresh);
    WELL(user_store_answer_get(g->store, one.request_id, &g->arena, &g->fault, &found));
    assert_true(text_equal(found, one.body));
    struct user_sweep bounds = {.answers_before_ms = NOW + 1, .row_count = 10};
    WELL(user_store_sweep(g->store, &bounds, &g->fault));
    assert_int_equal(ACT(user_store_answer_get(g->store, one.request_id, &g->arena, &g->fault, &found)), ERR_NOT_FOUND);
    WELL(user_store_answer_get(g->store, other.request_id, &g->arena, &g->fault, &found));
}

static void sweeping_takes_only_what_is_over(void **state)
{
    struct ground *g = *state;
    bool fresh;
    struct session found;
    session_put(g, "ses_1", "usr_1");
    session_put(g, "ses_2", "usr_1");
    struct session_move move = {TEXT("ses_1"), TEXT("first"), TEXT("second"), NOW + 100};
    WELL(user_store_session_rotate(g->store, &move, &g->fault));
    struct ticket ticket = ticket_of("t1", "ses_1"), old = ticket_of("t2", "ses_1");
    old.expires_ms = NOW + 4;
    WELL(user_store_ticket_add(g->store, &ticket, &g->fault, &fresh));
    WELL(user_store_ticket_add(g->store, &old, &g->fault, &fresh));
    struct user_sweep bounds = {
        .now_ms = NOW + 5, .sessions_before_ms = NOW + 1, .ended_before_ms = NOW, .row_count = 10};
    WELL(user_store_sweep(g->store, &bounds, &g->fault));
    WELL(user_store_ticket_add(g->store, &old, &g->fault, &fresh));
    assert_true(fresh);
    assert_int_equal(ACT(user_store_session_get(g->store, TEXT("ses_2"), &g->arena, &g->fault, &found)), ERR_NOT_FOUND);
    WELL(user_store_session_get(g->store, TEXT("ses_1"), &g->arena, &g->fault, &found));
    assert_int_equal(ticket_take(g, "t1", "request-1", NOW + 5), ERR_NONE);
    assert_true(session_end(g, "ses_1", NOW + 200));
    bounds.ended_before_ms = NOW + 200;
    WELL(user_store_sweep(g->store, &bounds, &g->fault));
    WELL(user_store_session_get(g->store, TEXT("ses_1"), &g->arena, &g->fault, &found));
    bounds.ended_before_ms = NOW + 201;
    WELL(user_store_sweep(g->store, &bounds, &g->fault));
    assert_int_equal(ACT(user_store_session_get(g->store, TEXT("ses_1"), &g->arena, &g->fault, &found)), ERR_NOT_FOUND);
}

/* ---- events ---- */

static void event_check(struct ground *g, const struct event_new *event, const char *id, enum role role,
                        int64_t version)
{
    struct user_event data;
    assert_true(text_is(event->id, id));
    assert_false(has(event_new, event, user_id)); /* administrators only */
    assert_int_equal(record_unpack(&user_event_record, event->data, &g->arena, &g->fault, &data), ERR_NONE);
    assert_true(text_equal(data.user_id, event->subject));
    assert_int_equal(data.role, role);
    assert_int_equal(data.version, version);
}

static void what_is_done_to_an_account_is_told(void **state)
{
    struct ground *g = *state;
    enum role role;
    struct account_new first = account_of("usr_1", "a@b", 10), second = account_of("usr_2", "c@d", 11);
    struct event_new created = event_of("evt_1", "user.created", "usr_1");
    first.created = &created;
    WELL(user_store_account_insert(g->store, &first, &g->arena, &g->fault, &role));
    struct outbox_page page = events_take(g);
    assert_int_equal(page.append.events.count, 1);
    event_check(g, &page.append.events.items[0], "evt_1", ROLE_ADMIN, 1);
    created = event_of("evt_2", "user.created", "usr_2");
    second.created = &created;
    WELL(user_store_account_insert(g->store, &second, &g->arena, &g->fault, &role));
    assert_int_equal(role_put(g, "usr_1", ROLE_CUSTOMER), ERR_LAST_ADMIN); /* refused: nothing to tell */
    page = events_take(g);
    assert_int_equal(page.append.events.count, 1);
    event_check(g, &page.append.events.items[0], "evt_2", ROLE_CUSTOMER, 1);
    assert_int_equal(role_put(g, "usr_2", ROLE_ADMIN), ERR_NONE);
    assert_int_equal(role_put(g, "usr_2", ROLE_ADMIN), ERR_NONE); /* no change, no event */
    page = events_take(g);
    assert_int_equal(page.append.events.count, 2);
    event_check(g, &page.append.events.items[0], "usr_2", ROLE_ADMIN, 2);
    assert_true(text_is(page.append.events.items[1].type, "session.ended"));
    struct user_edit edit = {.id = TEXT("usr_2"), .name = TEXT("Other")};
    set_has(user_edit, &edit, name);
    struct event_new updated = event_of("evt_3", "user.updated", "usr_2");
    struct account_edit change = {.edit = &edit, .version = 1, .now_ms = NOW, .updated = &updated};
    assert_int_equal(ACT(user_store_account_edit(g->store, &change, &g->arena, &g->fault)), ERR_CONFLICT);
    change.version = 2;
    WELL(user_store_account_edit(g->store, &change, &g->arena, &g->fault));
    page = events_take(g);
    assert_int_equal(page.append.events.count, 1);
    event_check(g, &page.append.events.items[0], "evt_3", ROLE_ADMIN, 3);
    assert_int_equal(events_take(g).append.events.count, 0);
}

static void a_session_that_ends_is_told_once(void **state)
{
    struct ground *g = *state;
    bool went_on;
    session_put(g, "ses_1", "usr_1");
    struct event_new ended = event_of("evt_1", "session.ended", "usr_1");
    ended.private_data = TEXT("\x80");
    set_has(event_new, &ended, private_data);
    struct session_end end = {.id = TEXT("ses_1"), .now_ms = NOW, .denial_ends_ms = NOW + 10, .ended = &ended};
    WELL(user_store_session_end(g->store, &end, &g->arena, &g->fault, &went_on));
    struct outbox_page page = events_take(g);
    assert_int_equal(page.append.events.count, 1);
    assert_true(text_is(page.append.events.items[0].private_data, "\x80"));
    WELL(user_store_session_end(g->store, &end, &g->arena, &g->fault, &went_on));
    assert_int_equal(events_take(g).append.events.count, 0);
}

int contract_user_rest(const struct user_place *place)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(the_first_key_and_secret_stay),
        CONTRACT(failures_are_counted_one_after_the_other),
        CONTRACT(keys_follow_one_another),
        CONTRACT(distrusted_keys_go_with_their_tickets),
        CONTRACT(the_first_answer_stays),
        CONTRACT(sweeping_takes_only_what_is_over),
        CONTRACT(what_is_done_to_an_account_is_told),
        CONTRACT(a_session_that_ends_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
