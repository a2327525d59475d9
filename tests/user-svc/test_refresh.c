/* Refresh tokens: exchanged once, the same again for the same request, the family's end for any other use. */
#include "tests/user-svc/shop.h"

#include "lib/base/mem.h"

static enum err refresh(struct shop *shop, struct text token, const uint8_t *request_id, struct user_session *out)
{
    struct user_refresh request = {.refresh_token = token};
    return shop_do(shop, OP_user_refresh, &nobody, request_id, &request, out);
}

static void tokens_go_from_one_to_the_next(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"), second, third;
    struct who who = who_of(shop, &first);
    assert_int_equal(refresh(shop, first.refresh_token, NULL, &second), ERR_NONE);
    assert_true(text_equal(second.user->id, first.user->id));
    assert_false(text_equal(second.refresh_token, first.refresh_token));
    assert_false(text_equal(second.token, first.token));
    struct who later = who_of(shop, &second);
    assert_true(text_equal(later.session_id, who.session_id));
    assert_int_equal(refresh(shop, second.refresh_token, NULL, &third), ERR_NONE);
    assert_true(shop_token_good(shop, &later));
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions"), 1);
}

static void a_request_sent_again_gets_the_same_successor(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"), second, again, third;
    uint8_t request_id[ID_SIZE];
    id_new(request_id);
    assert_int_equal(refresh(shop, first.refresh_token, request_id, &second), ERR_NONE);
    assert_int_equal(refresh(shop, first.refresh_token, request_id, &again), ERR_NONE);
    assert_true(text_equal(second.refresh_token, again.refresh_token));
    assert_int_equal(refresh(shop, again.refresh_token, NULL, &third), ERR_NONE);
}

static void a_spent_token_ends_the_session_for_all(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"),
                        other = shop_login(shop, "a@b.de", "password");
    struct user_session second, third;
    struct who who = who_of(shop, &first), bystander = who_of(shop, &other);
    assert_int_equal(refresh(shop, first.refresh_token, NULL, &second), ERR_NONE);
    assert_int_equal(refresh(shop, first.refresh_token, NULL, &third), ERR_UNAUTHENTICATED);
    assert_true(shop_log_has(shop, "user.refresh_reused"));
    assert_false(shop_token_good(shop, &who));
    assert_int_equal(refresh(shop, second.refresh_token, NULL, &third), ERR_UNAUTHENTICATED);
    assert_true(shop_token_good(shop, &bystander)); /* the account's other session goes on */
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions WHERE denial_ends > 0"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM outbox"), 2); /* user.created, session.ended */
}

static void an_old_token_of_the_family_ends_it_too(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"), second, third, none;
    assert_int_equal(refresh(shop, first.refresh_token, NULL, &second), ERR_NONE);
    assert_int_equal(refresh(shop, second.refresh_token, NULL, &third), ERR_NONE);
    assert_int_equal(refresh(shop, first.refresh_token, NULL, &none), ERR_UNAUTHENTICATED);
    assert_int_equal(refresh(shop, third.refresh_token, NULL, &none), ERR_UNAUTHENTICATED);
}

static void inventions_harm_nobody(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"), second;
    char forged[200];
    assert_true(text_to_string(first.refresh_token, forged, sizeof forged));
    forged[40] = forged[40] == 'A' ? 'B' : 'A'; /* still names the session */
    assert_int_equal(refresh(shop, text_of(forged), NULL, &second), ERR_UNAUTHENTICATED);
    assert_int_equal(refresh(shop, TEXT("x"), NULL, &second), ERR_UNAUTHENTICATED);
    assert_int_equal(refresh(shop, first.refresh_token, NULL, &second), ERR_NONE);
}

static void sessions_grow_old(void **state)
{
    struct shop *shop = *state;
    struct user_session idle = shop_register(shop, "a@b.de", "password"), none;
    struct user_session old = shop_login(shop, "a@b.de", "password");
    struct who idle_who = who_of(shop, &idle);
    assert_true(idle_who.session_id.size < 40);
    char sql[200];
    snprintf(sql, sizeof sql, "UPDATE sessions SET used_at = used_at - 1209700000 WHERE id = '%.*s' RETURNING 1",
             TEXT_ARG(idle_who.session_id));
    assert_int_equal(shop_query(shop, sql), 1);
    snprintf(sql, sizeof sql, "UPDATE sessions SET created_at = created_at - 2592100000 WHERE id <> '%.*s' RETURNING 1",
             TEXT_ARG(idle_who.session_id));
    assert_int_equal(shop_query(shop, sql), 1);
    assert_int_equal(refresh(shop, idle.refresh_token, NULL, &none), ERR_UNAUTHENTICATED);
    assert_int_equal(refresh(shop, old.refresh_token, NULL, &none), ERR_UNAUTHENTICATED);
}

/* Two at once with one token: one wins, and the other one ends the session, whichever comes first. */
struct racer {
    struct shop *shop;
    pthread_barrier_t *barrier;
    struct text token;
    enum err result;
    pthread_t thread;
};

static void *racer_run(void *argument)
{
    struct racer *racer = argument;
    struct arena arena = {0};
    struct fault fault;
    struct user_session session;
    struct user_refresh request = {.refresh_token = racer->token};
    pthread_barrier_wait(racer->barrier);
    racer->result = shop_do_in(racer->shop, OP_user_refresh, &nobody, NULL, &request, &arena, &fault, &session);
    arena_release(&arena);
    return NULL;
}

static void a_race_has_at_most_one_winner(void **state)
{
    enum { RACERS = 8 };
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "a@b.de", "password");
    struct who who = who_of(shop, &session);
    struct racer racers[RACERS];
    pthread_barrier_t barrier;
    int won = 0;
    pthread_barrier_init(&barrier, NULL, RACERS);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.shop = shop, .barrier = &barrier, .token = session.refresh_token};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, racer_run, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_true(racers[i].result == ERR_NONE || racers[i].result == ERR_UNAUTHENTICATED);
        won += racers[i].result == ERR_NONE;
    }
    pthread_barrier_destroy(&barrier);
    assert_int_equal(won, 1);
    assert_false(shop_token_good(shop, &who));
}

#define IN_SHOP(name) cmocka_unit_test_setup_teardown(name, shop_open, shop_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SHOP(tokens_go_from_one_to_the_next),      IN_SHOP(a_request_sent_again_gets_the_same_successor),
        IN_SHOP(a_spent_token_ends_the_session_for_all), IN_SHOP(an_old_token_of_the_family_ends_it_too),
        IN_SHOP(inventions_harm_nobody),              IN_SHOP(sessions_grow_old),
        IN_SHOP(a_race_has_at_most_one_winner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
