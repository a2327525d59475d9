/* Changing an account: fields, the present password, other sessions, versions, repeats. */
#include "tests/user-svc/shop.h"

#include <stdio.h>

#include "lib/base/mem.h"

static struct user_edit edit_of(const struct who *who)
{
    return (struct user_edit){.id = who->user_id};
}

static struct user_edit password_edit(const struct who *who, const char *old_password, const char *password)
{
    struct user_edit edit = {.id = who->user_id, .password = text_of(password), .old_password = text_of(old_password)};
    set_has(user_edit, &edit, password);
    set_has(user_edit, &edit, old_password);
    return edit;
}

static struct who signed_up(struct shop *shop, const char *email)
{
    struct user_session session = shop_register(shop, email, "password");
    return who_of(shop, &session);
}

static struct who signed_in(struct shop *shop, const char *email, const char *password)
{
    struct user_session session = shop_login(shop, email, password);
    return who_of(shop, &session);
}

static void profiles_change_as_far_as_given(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user;
    struct address address = {.name = TEXT("N"), .line1 = TEXT("L"), .city = TEXT("C"), .postal_code = TEXT("P"),
                              .country = TEXT("DE")};
    struct user_edit edit = edit_of(&who);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
    assert_int_equal(user.version, 1); /* nothing given, nothing changed */
    edit.addresses.items = &address;
    edit.addresses.count = 1;
    set_has(user_edit, &edit, addresses);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
    assert_int_equal(user.version, 2);
    assert_true(text_is(user.name, "Test User"));
    assert_int_equal(user.addresses.count, 1);
    assert_true(text_is(user.addresses.items[0].line1, "L"));
    edit = edit_of(&who);
    edit.name = TEXT("Other");
    set_has(user_edit, &edit, name);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
    assert_true(text_is(user.name, "Other"));
    assert_int_equal(user.addresses.count, 1);
}

static void countries_are_checked(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user;
    struct address addresses[2] = {{.name = TEXT("N"), .line1 = TEXT("L"), .city = TEXT("C"), .postal_code = TEXT("P"),
                                    .country = TEXT("FR")}};
    struct user_edit edit = edit_of(&who);
    addresses[1] = addresses[0];
    addresses[1].country = TEXT("ZZ");
    edit.addresses.items = addresses;
    edit.addresses.count = 2;
    set_has(user_edit, &edit, addresses);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_INVALID_BODY);
    assert_true(shop_blames(shop, "/addresses/1/country"));
    assert_false(shop_blames(shop, "/addresses/0/country"));
}

static void strangers_see_nothing_and_administrators_no_passwords(void **state)
{
    struct shop *shop = *state;
    struct who boss = signed_up(shop, "a@b.de"), who = signed_up(shop, "c@d.de"), other = signed_up(shop, "e@f.de");
    struct user user;
    struct user_edit edit = edit_of(&who);
    edit.name = TEXT("New");
    set_has(user_edit, &edit, name);
    assert_int_equal(shop_do(shop, OP_user_update, &other, NULL, &edit, &user), ERR_NOT_FOUND);
    assert_int_equal(shop_do(shop, OP_user_update, &boss, NULL, &edit, &user), ERR_NONE);
    assert_true(text_is(user.name, "New"));
    edit = password_edit(&who, "password", "password2");
    assert_int_equal(shop_do(shop, OP_user_update, &boss, NULL, &edit, &user), ERR_FORBIDDEN);
    assert_true(shop_blames(shop, "/password"));
    assert_int_equal(shop_do(shop, OP_user_update, &other, NULL, &edit, &user), ERR_NOT_FOUND);
    edit = edit_of(&boss);
    edit.id = TEXT("usr_unknown");
    assert_int_equal(shop_do(shop, OP_user_update, &boss, NULL, &edit, &user), ERR_NOT_FOUND);
}

static void a_new_password_needs_the_old_one(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user;
    struct user_edit edit = password_edit(&who, "", "password2");
    edit.present &= ~(UINT64_C(1) << user_edit_at_old_password);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_INVALID_BODY);
    assert_true(shop_blames(shop, "/old_password"));
    edit = password_edit(&who, "wrong password", "password2");
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_FORBIDDEN);
    assert_true(shop_blames(shop, "/old_password"));
    edit = password_edit(&who, "password", "short");
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_INVALID_BODY);
    assert_true(shop_blames(shop, "/password"));
    assert_int_equal(shop_try_login(shop, "a@b.de", "password"), ERR_NONE);
}

static void wrong_old_passwords_delay_as_wrong_logins_do(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user;
    struct user_edit edit = password_edit(&who, "wrong password", "password2");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_FORBIDDEN);
    }
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_RATE_LIMITED);
    assert_true(shop->fault.retry_after_s >= 1);
}

static void a_new_password_leaves_only_this_session(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"),
                        second = shop_login(shop, "a@b.de", "password");
    struct who who = who_of(shop, &first), elsewhere = who_of(shop, &second);
    struct user user;
    struct user_session refreshed;
    struct user_edit edit = password_edit(&who, "password", "password2");
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
    assert_int_equal(user.version, 2);
    assert_true(shop_token_good(shop, &who));
    assert_false(shop_token_good(shop, &elsewhere));
    struct user_refresh refresh = {.refresh_token = second.refresh_token};
    assert_int_equal(shop_do(shop, OP_user_refresh, &nobody, NULL, &refresh, &refreshed), ERR_UNAUTHENTICATED);
    refresh.refresh_token = first.refresh_token;
    assert_int_equal(shop_do(shop, OP_user_refresh, &nobody, NULL, &refresh, &refreshed), ERR_NONE);
    assert_int_equal(shop_try_login(shop, "a@b.de", "password"), ERR_BAD_CREDENTIALS);
    struct who again = signed_in(shop, "a@b.de", "password2");
    assert_true(shop_token_good(shop, &again)); /* later than what was denied */
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM outbox"),
                     3); /* user.created, user.updated, session.ended */
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users WHERE kept_session <> '' AND denial_ends > 0"), 1);
}

/* A gateway that has not heard yet lets a session of before in: it must not become the one that stays. */
static void an_ended_session_cannot_stay(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"),
                        second = shop_login(shop, "a@b.de", "password");
    struct who who = who_of(shop, &first), stale = who_of(shop, &second);
    struct user user;
    struct user_edit edit = password_edit(&who, "password", "password2");
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
    edit = password_edit(&stale, "password2", "password3");
    assert_int_equal(shop_do(shop, OP_user_update, &stale, NULL, &edit, &user), ERR_UNAUTHENTICATED);
    assert_false(shop_token_good(shop, &stale));
    assert_true(shop_token_good(shop, &who));
    assert_int_equal(shop_try_login(shop, "a@b.de", "password2"), ERR_NONE);
}

static void a_new_address_is_checked_and_unique(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user;
    signed_up(shop, "c@d.de");
    struct user_edit edit = edit_of(&who);
    edit.email = TEXT("C@D.de");
    edit.old_password = TEXT("password");
    set_has(user_edit, &edit, email);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user),
                     ERR_INVALID_BODY); /* without the old password */
    set_has(user_edit, &edit, old_password);
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_EMAIL_TAKEN);
    edit.email = TEXT("no address");
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_INVALID_BODY);
    assert_true(shop_blames(shop, "/email"));
    edit.email = TEXT("New@b.de");
    assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
    assert_true(text_is(user.email, "New@b.de"));
    assert_true(shop_token_good(shop, &who));
    assert_int_equal(shop_try_login(shop, "new@B.de", "password"), ERR_NONE);
    assert_int_equal(shop_try_login(shop, "a@b.de", "password"), ERR_BAD_CREDENTIALS);
}

static void versions_are_honoured(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user;
    struct user_edit edit = edit_of(&who);
    edit.name = TEXT("New");
    set_has(user_edit, &edit, name);
    assert_int_equal(shop_do_if(shop, OP_user_update, &who, "\"2\"", &edit, &user), ERR_PRECONDITION_FAILED);
    assert_int_equal(shop_do_if(shop, OP_user_update, &who, "\"1\"", &edit, &user), ERR_NONE);
    assert_int_equal(user.version, 2);
    assert_int_equal(shop_do_if(shop, OP_user_update, &who, "\"1\"", &edit, &user), ERR_PRECONDITION_FAILED);
    assert_int_equal(shop_do_if(shop, OP_user_update, &who, "*", &edit, &user), ERR_NONE);
}

static void a_request_sent_again_changes_nothing(void **state)
{
    struct shop *shop = *state;
    struct who who = signed_up(shop, "a@b.de");
    struct user user, again;
    uint8_t request_id[ID_SIZE];
    id_new(request_id);
    struct user_edit edit = password_edit(&who, "password", "password2");
    assert_int_equal(shop_do(shop, OP_user_update, &who, request_id, &edit, &user), ERR_NONE);
    assert_int_equal(shop_do(shop, OP_user_update, &who, request_id, &edit, &again), ERR_NONE);
    assert_int_equal(again.version, user.version);
    assert_int_equal(shop_query(shop, "SELECT generation FROM users"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM outbox"), 3);
}

#define IN_SHOP(name) cmocka_unit_test_setup_teardown(name, shop_open, shop_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SHOP(profiles_change_as_far_as_given),
        IN_SHOP(countries_are_checked),
        IN_SHOP(strangers_see_nothing_and_administrators_no_passwords),
        IN_SHOP(a_new_password_needs_the_old_one),
        IN_SHOP(wrong_old_passwords_delay_as_wrong_logins_do),
        IN_SHOP(a_new_password_leaves_only_this_session),
        IN_SHOP(an_ended_session_cannot_stay), IN_SHOP(a_new_address_is_checked_and_unique),
        IN_SHOP(versions_are_honoured),
        IN_SHOP(a_request_sent_again_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
