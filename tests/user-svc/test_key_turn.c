/* Keys over time in a running user-svc: asked for, by age, and forgotten when their last token is over. */
#include "tests/user-svc/shop.h"

#include <poll.h>

#include "lib/base/clock.h"
#include "user-svc/store.h"

static uint32_t key_count(struct shop *shop)
{
    struct nothing nothing = {0};
    struct signing_keys keys;
    assert_int_equal(shop_do(shop, OP_user_keys, &a_gateway, NULL, &nothing, &keys), ERR_NONE);
    return keys.keys.count;
}

static void wait_until(struct shop *shop, const char *what, bool (*is_so)(struct shop *shop))
{
    int64_t end_ms = clock_now_ms() + 60000;
    while (!is_so(shop)) {
        if (clock_now_ms() > end_ms) {
            fail_msg("waited for %s", what);
        }
        poll(NULL, 0, 20);
    }
}

static struct text first_header; /* of the token that the shop's first key signed */

static bool another_signs(struct shop *shop)
{
    struct user_session session = shop_login(shop, "a@b.de", "password");
    return memcmp(session.token.data, first_header.data, first_header.size) != 0;
}

static struct who founder(struct shop *shop)
{
    struct user_session session = shop_register(shop, "a@b.de", "password");
    first_header = (struct text){session.token.data, (uint32_t)(strchr(session.token.data, '.') - session.token.data)};
    return who_of(shop, &session);
}

static void an_administrator_may_ask_for_a_new_key(void **state)
{
    struct shop *shop = *state;
    struct nothing nothing = {0};
    struct key_rotated first, again;
    struct who boss = founder(shop);
    struct user_session customer = shop_register(shop, "c@d.de", "password");
    struct who other = who_of(shop, &customer);
    assert_int_equal(shop_do(shop, OP_user_rotate_key, &other, NULL, &nothing, &first), ERR_FORBIDDEN);
    assert_int_equal(key_count(shop), 1);
    int64_t before_ms = clock_wall_ms();
    assert_int_equal(shop_do(shop, OP_user_rotate_key, &boss, NULL, &nothing, &first), ERR_NONE);
    assert_true(first.signs_at >= before_ms + 3000);
    assert_int_equal(key_count(shop), 2);
    assert_int_equal(shop_do(shop, OP_user_rotate_key, &boss, NULL, &nothing, &again), ERR_NONE);
    assert_true(text_equal(first.kid, again.kid)); /* one is waiting already */
    assert_int_equal(key_count(shop), 2);
    wait_until(shop, "the new key to sign", another_signs);
    assert_true(clock_wall_ms() >= first.signs_at);
    assert_int_equal(key_count(shop), 2); /* the old one's tokens are still good */
}

/* Who asks again and again is told when there would be more keys than gateways are shown; nothing is lost. */
static void so_many_keys_and_no_more(void **state)
{
    static const char *const at_once[] = {"--key-lead-s", "0", NULL};
    struct shop *shop = *state;
    struct nothing nothing = {0};
    struct key_rotated made;
    shop_restart(shop, at_once);
    struct who boss = founder(shop);
    for (int count = 2; count <= SIGNING_KEYS_MAX; count++) {
        assert_int_equal(shop_do(shop, OP_user_rotate_key, &boss, NULL, &nothing, &made), ERR_NONE);
        assert_int_equal(key_count(shop), count);
    }
    assert_int_equal(shop_do(shop, OP_user_rotate_key, &boss, NULL, &nothing, &made), ERR_CONFLICT);
    assert_int_equal(key_count(shop), SIGNING_KEYS_MAX);
    shop_login(shop, "a@b.de", "password");
}

static bool has_two(struct shop *shop)
{
    return key_count(shop) == 2;
}

static bool has_one(struct shop *shop)
{
    return key_count(shop) == 1;
}

static void an_old_key_gets_a_successor_and_is_forgotten(void **state)
{
    struct shop *shop = *state;
    founder(shop);
    shop_query(shop, "UPDATE signing_keys SET created_at = created_at - 91 * 86400000 RETURNING 1");
    wait_until(shop, "a successor", has_two);
    assert_true(shop_log_has(shop, "its predecessor is old"));
    shop_query(shop, "UPDATE signing_keys SET created_at = created_at - 900000 - 240000 RETURNING 1");
    wait_until(shop, "the new key to sign", another_signs);
    assert_int_equal(shop_query(shop, "SELECT min(generation) FROM signing_keys"), 1); /* a token may still be good */
    shop_query(shop, "UPDATE signing_keys SET created_at = created_at - 64000 RETURNING 1");
    wait_until(shop, "the old key to go", has_one);
    assert_int_equal(shop_query(shop, "SELECT generation FROM signing_keys"), 2);
}

int main(void)
{
    static const char *const flags[] = {"--key-lead-s", "3", NULL};
    const struct CMUnitTest tests[] = {
        {"an_administrator_may_ask_for_a_new_key", an_administrator_may_ask_for_a_new_key, shop_open, shop_close,
         (void *)(uintptr_t)flags},
        {"an_old_key_gets_a_successor_and_is_forgotten", an_old_key_gets_a_successor_and_is_forgotten, shop_open,
         shop_close, (void *)(uintptr_t)flags},
        cmocka_unit_test_setup_teardown(so_many_keys_and_no_more, shop_open, shop_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
