/* What a start finds and makes: keys, secrets, the pinned administrator, settings that cannot be. */
#include "tests/user-svc/shop.h"

#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/mem.h"

static void a_restart_keeps_keys_and_sessions(void **state)
{
    struct shop *shop = *state;
    struct nothing nothing = {0};
    struct signing_keys before, after;
    struct user_session session = shop_register(shop, "a@b.de", "password"), next;
    struct who who = who_of(shop, &session);
    assert_int_equal(shop_do(shop, OP_user_keys, &a_gateway, NULL, &nothing, &before), ERR_NONE);
    shop_restart(shop, NULL);
    assert_int_equal(shop_do(shop, OP_user_keys, &a_gateway, NULL, &nothing, &after), ERR_NONE);
    assert_int_equal(after.keys.count, 1);
    assert_true(text_equal(before.keys.items[0].kid, after.keys.items[0].kid));
    assert_true(shop_token_good(shop, &who));
    struct user_refresh refresh = {.refresh_token = session.refresh_token};
    assert_int_equal(shop_do(shop, OP_user_refresh, &nobody, NULL, &refresh, &next), ERR_NONE);
    assert_int_equal(shop_try_login(shop, "a@b.de", "password"), ERR_NONE);
    struct user_session second = shop_register(shop, "c@d.de", "password");
    assert_int_equal(second.user->role, ROLE_CUSTOMER); /* the place is taken for good */
}

static void a_dearer_hash_comes_with_the_next_login(void **state)
{
    static const char *const dearer[] = {"--argon-passes", "3", NULL};
    struct shop *shop = *state;
    shop_register(shop, "a@b.de", "password");
    shop_restart(shop, dearer);
    assert_int_equal(shop_query(shop, "SELECT password_hash LIKE '%t=1,%' FROM users"), 1);
    shop_login(shop, "a@b.de", "password");
    assert_int_equal(shop_query(shop, "SELECT password_hash LIKE '%t=3,%' FROM users"), 1);
    assert_int_equal(shop_query(shop, "SELECT version FROM users"), 1);
    shop_login(shop, "a@b.de", "password");
}

static void a_pinned_administrator_is_the_only_one(void **state)
{
    static const char *const pinned[] = {"--admin-email", "Boss@b.de", NULL};
    struct shop *shop = *state;
    shop_restart(shop, pinned);
    assert_int_equal(shop_register(shop, "first@b.de", "password").user->role, ROLE_CUSTOMER);
    assert_int_equal(shop_register(shop, "boss@B.de", "password").user->role, ROLE_ADMIN);
    assert_true(shop_log_has(shop, "--admin-email"));
    assert_int_equal(shop_register(shop, "third@b.de", "password").user->role, ROLE_CUSTOMER);
    shop_restart(shop, NULL); /* without the pin nobody inherits the founder's place */
    assert_int_equal(shop_register(shop, "fourth@b.de", "password").user->role, ROLE_CUSTOMER);
}

static void a_stricter_policy_is_a_setting(void **state)
{
    static const char *const strict[] = {"--password-strict", "--password-min", "10", NULL};
    struct shop *shop = *state;
    struct user_session session;
    shop_register(shop, "a@b.de", "password");
    shop_restart(shop, strict);
    struct user_register request = {.email = TEXT("c@d.de"), .password = TEXT("password"), .name = TEXT("N")};
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, NULL, &request, &session), ERR_INVALID_BODY);
    request.password = TEXT("Password12");
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, NULL, &request, &session), ERR_INVALID_BODY);
    request.password = TEXT("kite over the sea");
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, NULL, &request, &session), ERR_NONE);
    assert_int_equal(shop_try_login(shop, "a@b.de", "password"), ERR_NONE); /* who is in stays in */
}

static enum err refresh(struct shop *shop, const struct user_session *session, struct user_session *out)
{
    struct user_refresh request = {.refresh_token = session->refresh_token};
    return shop_do(shop, OP_user_refresh, &nobody, NULL, &request, out);
}

/* Time goes by in the store: so many seconds since this column's time. */
static void age(struct shop *shop, const char *table, const char *column, int seconds)
{
    char sql[160];
    snprintf(sql, sizeof sql, "UPDATE %s SET %s = %s - %d RETURNING 1", table, column, column, seconds * 1000);
    assert_int_equal(shop_query(shop, sql), 1);
}

static void sessions_and_tickets_last_as_long_as_set(void **state)
{
    static const char *const flags[] = {
        "--refresh-idle-s", "3600", "--refresh-total-s", "7200", "--ticket-ttl-s", "600", "--token-ttl-s", "77", NULL};
    struct shop *shop = *state;
    struct nothing nothing = {0};
    struct ws_ticket ticket;
    struct identity identity;
    shop_restart(shop, flags);
    struct user_session first = shop_register(shop, "a@b.de", "password"), second, third, none;
    assert_int_equal(first.expires_in, 77);
    struct who who = who_of(shop, &first);
    for (int late = 0; late <= 1; late++) {
        assert_int_equal(shop_do(shop, OP_user_ticket, &who, NULL, &nothing, &ticket), ERR_NONE);
        assert_int_equal(ticket.expires_in, 600);
        age(shop, "tickets", "expires_at", late ? 600 : 300);
        struct ticket_ref ref = {.ticket = ticket.ticket};
        assert_int_equal(shop_do(shop, OP_user_redeem, &a_gateway, NULL, &ref, &identity),
                         late ? ERR_UNAUTHENTICATED : ERR_NONE);
    }
    age(shop, "sessions", "used_at", 3000);
    assert_int_equal(refresh(shop, &first, &second), ERR_NONE);
    age(shop, "sessions", "created_at", 7000);
    assert_int_equal(refresh(shop, &second, &third), ERR_NONE);
    age(shop, "sessions", "created_at", 201);
    assert_int_equal(refresh(shop, &third, &none), ERR_UNAUTHENTICATED);
    struct user_session idle = shop_login(shop, "a@b.de", "password");
    age(shop, "sessions", "used_at", 3601);
    assert_int_equal(refresh(shop, &idle, &none), ERR_UNAUTHENTICATED);
}

static void guesses_are_delayed_as_set(void **state)
{
    static const char *const flags[] = {"--login-failures", "2", "--login-delay-max-s", "1", NULL};
    struct shop *shop = *state;
    shop_register(shop, "a@b.de", "password");
    shop_restart(shop, flags);
    assert_int_equal(shop_try_login(shop, "a@b.de", "passwort"), ERR_BAD_CREDENTIALS);
    assert_int_equal(shop_try_login(shop, "a@b.de", "passwort"), ERR_BAD_CREDENTIALS);
    assert_int_equal(shop_query(shop, "SELECT blocked_until > last_at FROM attempts"), 0);
    for (int failures = 3; failures <= 5;
         failures++) { /* without a most the last two would wait two and four seconds */
        enum err e;
        do {
            e = shop_try_login(shop, "a@b.de", "passwort");
        } while (e == ERR_RATE_LIMITED);
        assert_int_equal(e, ERR_BAD_CREDENTIALS);
        assert_int_equal(shop_query(shop, "SELECT failures FROM attempts"), failures);
        assert_int_equal(shop_query(shop, "SELECT blocked_until - last_at FROM attempts"), 1000);
    }
}

static void impossible_settings_refuse_to_start(void **state)
{
    static const char *const no_address[] = {"--admin-email", "nobody", NULL};
    static const char *const no_number[] = {"--token-ttl-s", "long", NULL};
    struct shop *shop = *state;
    shop_stop(shop);
    assert_int_equal(shop_start(shop, no_address), PROCESS_FAILED);
    assert_true(shop_log_has(shop, "--admin-email is no e-mail address"));
    shop_stop(shop);
    assert_int_equal(shop_start(shop, no_number), PROCESS_BAD_CONFIG);
}

struct attempt {
    struct shop *shop;
    int number;
    enum err result;
    int64_t retry_after_s;
    pthread_t thread;
};

static void *attempt_run(void *argument)
{
    struct attempt *attempt = argument;
    struct arena arena = {0};
    struct fault fault;
    char email[40];
    struct user_session session;
    snprintf(email, sizeof email, "u%d@b.de", attempt->number);
    struct user_register request = {.email = text_of(email), .password = TEXT("password"), .name = TEXT("N")};
    attempt->result = shop_do_in(attempt->shop, OP_user_register, &nobody, NULL, &request, &arena, &fault, &session);
    attempt->retry_after_s = fault.retry_after_s;
    arena_release(&arena);
    return NULL;
}

static void a_full_queue_says_when_to_come_back(void **state)
{
    enum { CROWD = 48 };
    static const char *const narrow[] = {
        "--password-threads", "1", "--password-queue", "1", "--argon-memory-kib", "65536", NULL};
    struct shop *shop = *state;
    struct attempt attempts[CROWD];
    int full = 0;
    shop_restart(shop, narrow);
    for (int i = 0; i < CROWD; i++) {
        attempts[i] = (struct attempt){.shop = shop, .number = i};
        assert_int_equal(pthread_create(&attempts[i].thread, NULL, attempt_run, &attempts[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(attempts[i].thread, NULL);
        bool refused = attempts[i].result == ERR_SERVICE_UNAVAILABLE && attempts[i].retry_after_s > 0;
        assert_true(attempts[i].result == ERR_NONE || refused);
        full += refused;
    }
    assert_true(full > 0 && full < CROWD);
}

static void secrets_are_the_owners_alone(void **state)
{
    static const char *const names[] = {"user.db", "user.db-wal", "user.db-shm", "user.db.lock"};
    struct shop *shop = *state;
    struct stat status;
    char path[120];
    shop_register(shop, "a@b.de", "password");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", shop->folder, names[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
    /* what clients hold is stored only as hashes */
    assert_int_equal(shop_query(shop, "SELECT length(refresh_hash) FROM sessions"), 32);
    assert_int_equal(shop_query(shop, "SELECT length(value) FROM secrets"), 32);
}

#define IN_SHOP(name) cmocka_unit_test_setup_teardown(name, shop_open, shop_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SHOP(sessions_and_tickets_last_as_long_as_set), IN_SHOP(guesses_are_delayed_as_set),
        IN_SHOP(a_restart_keeps_keys_and_sessions),      IN_SHOP(a_dearer_hash_comes_with_the_next_login),
        IN_SHOP(a_pinned_administrator_is_the_only_one), IN_SHOP(a_stricter_policy_is_a_setting),
        IN_SHOP(impossible_settings_refuse_to_start),    IN_SHOP(a_full_queue_says_when_to_come_back),
        IN_SHOP(secrets_are_the_owners_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
