/* How sessions begin when a request is sent twice, and how they end for everybody. */
#include "tests/user-svc/shop.h"

#include "lib/base/mem.h"
#include "proto/event.h"

static void a_registration_sent_again_is_the_same_account(void **state)
{
    struct shop *shop = *state;
    struct user_register request = {.email = TEXT("a@b.de"), .password = TEXT("password"), .name = TEXT("N")};
    struct user_session first, again;
    uint8_t request_id[ID_SIZE];
    id_new(request_id);
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, request_id, &request, &first), ERR_NONE);
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, request_id, &request, &again), ERR_NONE);
    assert_true(text_equal(first.user->id, again.user->id));
    assert_true(text_equal(first.refresh_token, again.refresh_token));
    assert_int_equal(again.user->role, ROLE_ADMIN);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions"), 1);
    request.password = TEXT("another password"); /* not the one who knows the password: not the one who asked */
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, request_id, &request, &again), ERR_BAD_CREDENTIALS);
}

static void a_login_sent_again_is_the_same_session(void **state)
{
    struct shop *shop = *state;
    struct user_login request = {.email = TEXT("a@b.de"), .password = TEXT("password")};
    struct user_session first, again;
    uint8_t request_id[ID_SIZE];
    id_new(request_id);
    shop_register(shop, "a@b.de", "password");
    shop_register(shop, "c@d.de", "password");
    assert_int_equal(shop_do(shop, OP_user_login, &nobody, request_id, &request, &first), ERR_NONE);
    assert_int_equal(shop_do(shop, OP_user_login, &nobody, request_id, &request, &again), ERR_NONE);
    assert_true(text_equal(first.refresh_token, again.refresh_token));
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions"), 3);
    request.email = TEXT("c@d.de"); /* the id of somebody else's request gives nobody their session */
    assert_int_equal(shop_do(shop, OP_user_login, &nobody, request_id, &request, &again), ERR_CONFLICT);
}

static void logout_ends_one_session(void **state)
{
    struct shop *shop = *state;
    struct user_session first = shop_register(shop, "a@b.de", "password"),
                        second = shop_login(shop, "a@b.de", "password");
    struct who who = who_of(shop, &first), other = who_of(shop, &second);
    struct nothing nothing = {0};
    struct user_session none;
    assert_int_equal(shop_do(shop, OP_user_logout, &nobody, NULL, &nothing, &nothing), ERR_UNAUTHENTICATED);
    assert_int_equal(shop_do(shop, OP_user_logout, &who, NULL, &nothing, &nothing), ERR_NONE);
    assert_false(shop_token_good(shop, &who));
    assert_true(shop_token_good(shop, &other));
    struct user_refresh refresh = {.refresh_token = first.refresh_token};
    assert_int_equal(shop_do(shop, OP_user_refresh, &nobody, NULL, &refresh, &none), ERR_UNAUTHENTICATED);
    assert_int_equal(shop_do(shop, OP_user_logout, &who, NULL, &nothing, &nothing), ERR_NONE); /* sent again */
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions WHERE denial_ends > 0"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM outbox"), 2); /* user.created, session.ended */
}

static void gateways_can_ask_for_all_denials(void **state)
{
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "a@b.de", "password");
    struct who who = who_of(shop, &session);
    struct nothing nothing = {0};
    struct denial_list list;
    assert_int_equal(shop_do(shop, OP_user_denials, &nobody, NULL, &nothing, &list), ERR_FORBIDDEN);
    assert_int_equal(shop_do(shop, OP_user_denials, &a_gateway, NULL, &nothing, &list), ERR_NONE);
    assert_int_equal(list.denials.count, 0);
    assert_int_equal(shop_do(shop, OP_user_logout, &who, NULL, &nothing, &nothing), ERR_NONE);
    assert_int_equal(shop_do(shop, OP_user_denials, &a_gateway, NULL, &nothing, &list), ERR_NONE);
    assert_int_equal(list.denials.count, 1);
    const struct denial *denial = &list.denials.items[0];
    assert_true(text_equal(denial->session_id, who.session_id));
    assert_false(has(denial, denial, user_id));
    assert_true(denial->before >= who.token_at);
    assert_true(denial->expires_at >= who.token_at + session.expires_in * 1000); /* no token of it lives longer */
}

/* What event-svc would be handed. */
static enum err event_stored(struct shop *shop, struct event_new *out)
{
    struct text packed = shop_blob(shop, "SELECT event FROM outbox ORDER BY position DESC");
    return record_unpack(&event_new_record, packed, &shop->arena, &shop->fault, out);
}

static void a_new_account_is_told_without_its_person(void **state)
{
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "a@b.de", "password");
    struct event_new event;
    struct user_event data;
    assert_int_equal(event_stored(shop, &event), ERR_NONE);
    assert_true(text_is(event.type, "user.created"));
    assert_true(text_equal(event.subject, session.user->id));
    assert_false(has(event_new, &event, user_id)); /* administrators only */
    assert_false(has(event_new, &event, private_data));
    assert_int_equal(record_unpack(&user_event_record, event.data, &shop->arena, &shop->fault, &data), ERR_NONE);
    assert_true(text_equal(data.user_id, session.user->id));
    assert_int_equal(data.role, ROLE_ADMIN);
    assert_null(memmem(event.data.data, event.data.size, "a@b", 3));
    assert_null(memmem(event.data.data, event.data.size, "Test", 4));
}

static void the_event_is_for_gateways_only(void **state)
{
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "a@b.de", "password");
    struct who who = who_of(shop, &session);
    struct nothing nothing = {0};
    struct event_new event;
    struct denial denial;
    assert_int_equal(shop_do(shop, OP_user_logout, &who, NULL, &nothing, &nothing), ERR_NONE);
    assert_int_equal(event_stored(shop, &event), ERR_NONE);
    assert_true(text_is(event.type, "session.ended"));
    assert_true(text_equal(event.subject, who.user_id));
    assert_false(has(event_new, &event, data)); /* never leaves towards the outside */
    assert_false(has(event_new, &event, user_id));
    assert_true(has(event_new, &event, private_data));
    assert_int_equal(record_unpack(&denial_record, event.private_data, &shop->arena, &shop->fault, &denial), ERR_NONE);
    assert_true(text_equal(denial.session_id, who.session_id));
}

#define IN_SHOP(name) cmocka_unit_test_setup_teardown(name, shop_open, shop_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SHOP(a_registration_sent_again_is_the_same_account),
        IN_SHOP(a_login_sent_again_is_the_same_session),
        IN_SHOP(logout_ends_one_session),
        IN_SHOP(gateways_can_ask_for_all_denials),
        IN_SHOP(a_new_account_is_told_without_its_person),
        IN_SHOP(the_event_is_for_gateways_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
