/* Signing up and in, lists, roles, tickets, keys: over the real bus. */
#include "tests/user-svc/shop.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "proto/ident.h"
#include "user-svc/opaque.h"

/* ---- signing up and in ---- */

static void the_published_first_calls(void **state)
{
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "test@example.com", "password");
    assert_true(ident_is(session.user->id, "usr"));
    assert_true(text_is(session.user->email, "test@example.com"));
    assert_true(text_is(session.user->name, "Test User"));
    assert_int_equal(session.user->role, ROLE_ADMIN); /* the founder */
    assert_int_equal(session.user->version, 1);
    assert_int_equal(session.user->addresses.count, 0);
    assert_true(text_is(session.token_type, "Bearer"));
    assert_int_equal(session.expires_in, 900);
    assert_true(session.refresh_token.size >= 43);
    assert_true(shop_log_has(shop, "user.administrator"));
    assert_false(shop_log_has(shop, "test@example.com"));
    struct user_session again = shop_login(shop, "TEST@example.com", "password");
    assert_true(text_equal(again.user->id, session.user->id));
    assert_false(text_equal(again.refresh_token, session.refresh_token));
    struct who first = who_of(shop, &session), second = who_of(shop, &again);
    assert_int_equal(first.role, ROLE_ADMIN);
    assert_false(text_equal(first.session_id, second.session_id));
    assert_true(shop_token_good(shop, &first));
    assert_true(shop_token_good(shop, &second));
}

static void later_accounts_are_customers(void **state)
{
    struct shop *shop = *state;
    shop_register(shop, "a@b.de", "password");
    struct user_session second = shop_register(shop, "c@d.de", "password");
    assert_int_equal(second.user->role, ROLE_CUSTOMER);
    assert_int_equal(who_of(shop, &second).role, ROLE_CUSTOMER);
}

static void an_address_has_one_account(void **state)
{
    struct shop *shop = *state;
    struct user_session session;
    shop_register(shop, "a@b.de", "password");
    struct user_register request = {.email = TEXT("A@B.de"), .password = TEXT("password2"), .name = TEXT("N")};
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, NULL, &request, &session), ERR_EMAIL_TAKEN);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions"), 1);
}

static void bad_fields_are_named_and_change_nothing(void **state)
{
    struct shop *shop = *state;
    struct user_session session;
    struct user_register request = {.email = TEXT("nobody"), .password = TEXT("short"), .name = TEXT("N")};
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, NULL, &request, &session), ERR_INVALID_BODY);
    assert_true(shop_blames(shop, "/email"));
    assert_true(shop_blames(shop, "/password"));
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users"), 0);
}

static void wrong_passwords_and_unknown_addresses_look_alike(void **state)
{
    struct shop *shop = *state;
    struct problem wrong, unknown;
    shop_register(shop, "a@b.de", "password");
    assert_int_equal(shop_try_login(shop, "a@b.de", "passwort"), ERR_BAD_CREDENTIALS);
    fault_to_problem(&shop->fault, &wrong);
    struct text first = record_pack_in(&problem_record, &wrong, &shop->arena);
    assert_int_equal(shop_try_login(shop, "x@y.de", "passwort"), ERR_BAD_CREDENTIALS);
    fault_to_problem(&shop->fault, &unknown);
    assert_true(text_equal(first, record_pack_in(&problem_record, &unknown, &shop->arena)));
    assert_int_equal(shop_try_login(shop, "no address at all", "passwort"), ERR_BAD_CREDENTIALS);
}

static void failures_delay_but_never_lock(void **state)
{
    struct shop *shop = *state;
    shop_register(shop, "a@b.de", "password");
    shop_register(shop, "c@d.de", "password");
    for (int i = 0; i < 6; i++) {
        assert_int_equal(shop_try_login(shop, "a@b.de", "passwort"), ERR_BAD_CREDENTIALS);
    }
    assert_int_equal(shop_try_login(shop, "A@b.de", "password"), ERR_RATE_LIMITED);
    assert_int_equal(shop->fault.retry_after_s, 1);
    assert_int_equal(shop_try_login(shop, "c@d.de", "password"), ERR_NONE);
    /* unknown addresses are delayed just so */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(shop_try_login(shop, "x@y.de", "passwort"), ERR_BAD_CREDENTIALS);
    }
    assert_int_equal(shop_try_login(shop, "x@y.de", "passwort"), ERR_RATE_LIMITED);
    enum err e;
    do {
        e = shop_try_login(shop, "a@b.de", "password"); /* refused ones add nothing to the delay */
    } while (e == ERR_RATE_LIMITED);
    assert_int_equal(e, ERR_NONE);
    /* the store has them, too, for other processes and for later: nobody can read there which address was tried */
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM attempts"), 1);
    assert_int_equal(shop_query(shop, "SELECT failures FROM attempts"), 6);
    assert_int_equal(shop_query(shop, "SELECT instr(name, 'x') FROM attempts"), 0);
}

/* ---- many at once ---- */

enum { CROWD = 64 };

struct visitor {
    struct shop *shop;
    pthread_barrier_t *barrier;
    const char *shared_email; /* all the same one; NULL: everybody has an own */
    int number;
    enum err result;
    bool admin;
    pthread_t thread;
};

static void *visitor_run(void *argument)
{
    struct visitor *visitor = argument;
    struct arena arena = {0};
    struct fault fault;
    char email[40];
    struct user_session session;
    snprintf(email, sizeof email, "visitor%d@example.com", visitor->number);
    struct user_register request = {.email = text_of(visitor->shared_email ? visitor->shared_email : email),
                                    .password = TEXT("password"),
                                    .name = TEXT("Visitor")};
    pthread_barrier_wait(visitor->barrier);
    visitor->result =
        shop_do_in(visitor->shop, OP_user_register, &nobody, NULL, &request, &arena, &fault, &session);
    visitor->admin = visitor->result == ERR_NONE && session.user->role == ROLE_ADMIN;
    arena_release(&arena);
    return NULL;
}

static void crowd_run(struct shop *shop, const char *shared_email, int *out_good, int *out_admins, int *out_taken)
{
    struct visitor visitors[CROWD];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, CROWD);
    for (int i = 0; i < CROWD; i++) {
        visitors[i] = (struct visitor){.shop = shop, .barrier = &barrier, .shared_email = shared_email, .number = i};
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, visitor_run, &visitors[i]), 0);
    }
    *out_good = *out_admins = *out_taken = 0;
    for (int i = 0; i < CROWD; i++) {
        pthread_join(visitors[i].thread, NULL);
        *out_good += visitors[i].result == ERR_NONE;
        *out_taken += visitors[i].result == ERR_EMAIL_TAKEN;
        *out_admins += visitors[i].admin;
    }
    pthread_barrier_destroy(&barrier);
}

static void a_crowd_signs_up_and_has_one_founder(void **state)
{
    struct shop *shop = *state;
    int good, admins, taken;
    crowd_run(shop, NULL, &good, &admins, &taken);
    assert_int_equal(good, CROWD);
    assert_int_equal(admins, 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users WHERE role = 'admin'"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users"), CROWD);
}

/* ---- the same request several times at once, as brokers send it when a worker falls silent and wakes up again ---- */

enum { TWINS = 4 };

struct twin {
    struct shop *shop;
    pthread_barrier_t *barrier;
    pthread_t thread;
    enum op op;
    struct who who;
    const uint8_t *request_id;
    const void *request;
    enum err result;
    char id[IDENT_SIZE], refresh_token[OPAQUE_SIZE]; /* of the answer */
    int64_t version;
};

static void *twin_run(void *argument)
{
    struct twin *twin = argument;
    struct arena arena = {0};
    struct fault fault;
    struct user_session session = {0};
    struct user user = {0};
    bool edits = twin->op == OP_user_update;
    pthread_barrier_wait(twin->barrier);
    twin->result = shop_do_in(twin->shop, twin->op, &twin->who, twin->request_id, twin->request, &arena, &fault,
                              edits ? (void *)&user : (void *)&session);
    if (twin->result == ERR_NONE) {
        user = edits ? user : *session.user;
        twin->version = user.version;
        assert_true(text_to_string(user.id, twin->id, sizeof twin->id));
        assert_true(text_to_string(session.refresh_token, twin->refresh_token, sizeof twin->refresh_token));
    }
    arena_release(&arena);
    return NULL;
}

/* All get the same good answer. */
static struct twin twins_run(struct shop *shop, enum op op, struct who who, const void *request)
{
    struct twin twins[TWINS];
    pthread_barrier_t barrier;
    uint8_t request_id[ID_SIZE];
    id_new(request_id);
    pthread_barrier_init(&barrier, NULL, TWINS);
    for (int i = 0; i < TWINS; i++) {
        twins[i] = (struct twin){
            .shop = shop, .barrier = &barrier, .op = op, .who = who, .request_id = request_id, .request = request};
        assert_int_equal(pthread_create(&twins[i].thread, NULL, twin_run, &twins[i]), 0);
    }
    for (int i = 0; i < TWINS; i++) {
        pthread_join(twins[i].thread, NULL);
    }
    pthread_barrier_destroy(&barrier);
    for (int i = 0; i < TWINS; i++) {
        assert_int_equal(twins[i].result, ERR_NONE);
        assert_string_equal(twins[i].id, twins[0].id);
        assert_string_equal(twins[i].refresh_token, twins[0].refresh_token);
        assert_int_equal(twins[i].version, twins[0].version);
    }
    return twins[0];
}

static void a_request_several_times_at_once_is_one(void **state)
{
    struct shop *shop = *state;
    struct user_register sign_up = {.email = TEXT("a@b.de"), .password = TEXT("password"), .name = TEXT("Name")};
    struct twin account = twins_run(shop, OP_user_register, nobody, &sign_up);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users"), 1);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM sessions"), 1);
    struct user_refresh refresh = {.refresh_token = text_of(account.refresh_token)};
    struct twin refreshed = twins_run(shop, OP_user_refresh, nobody, &refresh);
    assert_string_not_equal(refreshed.refresh_token, account.refresh_token);
    struct user_session session = shop_login(shop, "a@b.de", "password");
    struct who who = who_of(shop, &session);
    struct user_edit edit = {.id = who.user_id, .password = TEXT("password2"), .old_password = TEXT("password")};
    set_has(user_edit, &edit, password);
    set_has(user_edit, &edit, old_password);
    assert_int_equal(twins_run(shop, OP_user_update, who, &edit).version, 2);
    assert_int_equal(shop_query(shop, "SELECT generation FROM users"), 1);
    assert_true(shop_token_good(shop, &who));
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM outbox"),
                     3); /* user.created, user.updated, session.ended */
}

static void one_address_goes_to_one_of_a_crowd(void **state)
{
    struct shop *shop = *state;
    int good, admins, taken;
    crowd_run(shop, "wanted@example.com", &good, &admins, &taken);
    assert_int_equal(good, 1);
    assert_int_equal(admins, 1);
    assert_int_equal(taken, CROWD - 1);
}

/* ---- accounts ---- */

static void accounts_are_for_themselves_and_administrators(void **state)
{
    struct shop *shop = *state;
    struct user_session admin = shop_register(shop, "a@b.de", "password");
    struct user_session customer = shop_register(shop, "c@d.de", "password");
    struct who boss = who_of(shop, &admin), self = who_of(shop, &customer);
    struct user user;
    struct user_ref own = {.id = self.user_id}, other = {.id = boss.user_id}, unknown = {.id = TEXT("usr_unknown")};
    assert_int_equal(shop_do(shop, OP_user_get, &self, NULL, &own, &user), ERR_NONE);
    assert_true(text_is(user.email, "c@d.de"));
    assert_int_equal(shop_do(shop, OP_user_get, &self, NULL, &other, &user), ERR_NOT_FOUND);
    assert_int_equal(shop_do(shop, OP_user_get, &boss, NULL, &own, &user), ERR_NONE);
    assert_int_equal(shop_do(shop, OP_user_get, &boss, NULL, &unknown, &user), ERR_NOT_FOUND);
    assert_int_equal(shop_do(shop, OP_user_get, &nobody, NULL, &own, &user), ERR_UNAUTHENTICATED);
}

static void administrators_page_through_accounts(void **state)
{
    enum { ACCOUNTS = 7 };
    struct shop *shop = *state;
    struct user_list list;
    struct who boss = {0}, customer = {0};
    for (int i = 0; i < ACCOUNTS; i++) {
        char email[20];
        snprintf(email, sizeof email, "u%d@b.de", i);
        struct user_session session = shop_register(shop, email, "password");
        *(i == 0 ? &boss : &customer) = who_of(shop, &session);
    }
    struct user_query query = {.limit = 3};
    set_has(user_query, &query, limit);
    assert_int_equal(shop_do(shop, OP_user_list, &customer, NULL, &query, &list), ERR_FORBIDDEN);
    int count = 0;
    do {
        assert_int_equal(shop_do(shop, OP_user_list, &boss, NULL, &query, &list), ERR_NONE);
        count += (int)list.data.count;
        query.cursor = list.next_cursor;
        set_has(user_query, &query, cursor);
        assert_int_equal(list.has_more, has(user_list, &list, next_cursor));
    } while (list.has_more);
    assert_int_equal(count, ACCOUNTS);
    query = (struct user_query){.limit = 3};
    set_has(user_query, &query, limit);
    assert_int_equal(shop_do(shop, OP_user_list, &boss, NULL, &query, &list), ERR_NONE);
    query.cursor = list.next_cursor;
    set_has(user_query, &query, cursor);
    query.role = ROLE_CUSTOMER; /* another query */
    set_has(user_query, &query, role);
    assert_int_equal(shop_do(shop, OP_user_list, &boss, NULL, &query, &list), ERR_BAD_CURSOR);
    query = (struct user_query){.email = TEXT("U3@B.de")};
    set_has(user_query, &query, email);
    assert_int_equal(shop_do(shop, OP_user_list, &boss, NULL, &query, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
}

/* As many accounts with as many addresses as no reply could hold. */
static void pages_of_large_accounts_are_short(void **state)
{
    enum { ACCOUNTS = 70, CHARACTER_SIZE = 4, LONG = 200 };
    static char line[LONG * CHARACTER_SIZE];
    struct shop *shop = *state;
    struct address addresses[USER_MAX_ADDRESSES];
    struct who boss = {0};
    struct user_list list;
    struct user user;
    for (int i = 0; i < LONG; i++) {
        memcpy(line + i * CHARACTER_SIZE, "\xf0\x9f\x98\x80", CHARACTER_SIZE);
    }
    struct text words = {line, sizeof line}, half = {line, sizeof line / 2};
    for (int i = 0; i < USER_MAX_ADDRESSES; i++) {
        addresses[i] = (struct address){.name = words, .line1 = words, .line2 = words, .city = half, .region = half,
                                        .postal_code = TEXT("1"), .country = TEXT("DE")};
        set_has(address, &addresses[i], line2);
        set_has(address, &addresses[i], region);
    }
    for (int i = 0; i < ACCOUNTS; i++) {
        char email[20];
        snprintf(email, sizeof email, "u%d@b.de", i);
        struct user_session session = shop_register(shop, email, "password");
        struct who who = who_of(shop, &session);
        struct user_edit edit = {.id = who.user_id, .addresses = {addresses, USER_MAX_ADDRESSES}};
        set_has(user_edit, &edit, addresses);
        assert_int_equal(shop_do(shop, OP_user_update, &who, NULL, &edit, &user), ERR_NONE);
        boss = i == 0 ? who : boss;
    }
    struct user_query query = {.limit = PAGE_MAX};
    set_has(user_query, &query, limit);
    uint32_t count = 0;
    do {
        assert_int_equal(shop_do(shop, OP_user_list, &boss, NULL, &query, &list), ERR_NONE);
        assert_true(list.data.count > 0 && list.data.count < ACCOUNTS);
        count += list.data.count;
        query.cursor = list.next_cursor;
        set_has(user_query, &query, cursor);
    } while (list.has_more);
    assert_int_equal(count, ACCOUNTS);
}

static enum err role_put(struct shop *shop, const struct who *who, struct text id, enum role role)
{
    struct user_role_set request = {.id = id, .role = role};
    struct user user;
    enum err e = shop_do(shop, OP_user_set_role, who, NULL, &request, &user);
    if (e == ERR_NONE) {
        assert_int_equal(user.role, role);
    }
    return e;
}

static void roles_change_and_tokens_with_them(void **state)
{
    struct shop *shop = *state;
    struct user_session admin = shop_register(shop, "a@b.de", "password");
    struct user_session customer = shop_register(shop, "c@d.de", "password");
    struct who boss = who_of(shop, &admin), other = who_of(shop, &customer);
    assert_int_equal(role_put(shop, &other, other.user_id, ROLE_ADMIN), ERR_FORBIDDEN);
    assert_int_equal(role_put(shop, &boss, boss.user_id, ROLE_CUSTOMER), ERR_LAST_ADMIN);
    assert_int_equal(role_put(shop, &boss, TEXT("usr_unknown"), ROLE_ADMIN), ERR_NOT_FOUND);
    assert_int_equal(role_put(shop, &boss, other.user_id, ROLE_CUSTOMER), ERR_NONE); /* has it already */
    assert_true(shop_token_good(shop, &other));
    assert_int_equal(role_put(shop, &boss, other.user_id, ROLE_ADMIN), ERR_NONE);
    assert_false(shop_token_good(shop, &other)); /* it says customer */
    struct user_refresh refresh = {.refresh_token = customer.refresh_token};
    struct user_session refreshed;
    assert_int_equal(shop_do(shop, OP_user_refresh, &nobody, NULL, &refresh, &refreshed), ERR_NONE);
    struct who promoted = who_of(shop, &refreshed);
    assert_int_equal(promoted.role, ROLE_ADMIN);
    assert_true(shop_token_good(shop, &promoted));
    assert_int_equal(role_put(shop, &promoted, boss.user_id, ROLE_CUSTOMER), ERR_NONE);
    assert_false(shop_token_good(shop, &boss));
    assert_int_equal(role_put(shop, &promoted, promoted.user_id, ROLE_CUSTOMER), ERR_LAST_ADMIN);
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM outbox"),
                     6); /* a user.created, a user.role_changed and a session.ended of both */
    assert_int_equal(shop_query(shop, "SELECT count(*) FROM users WHERE denied_all > 0"), 2);
}

/* ---- tickets, and what gateways ask ---- */

static void a_ticket_opens_once(void **state)
{
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "a@b.de", "password");
    struct who who = who_of(shop, &session);
    struct nothing nothing = {0};
    struct ws_ticket ticket, repeated;
    struct identity identity;
    uint8_t request_id[ID_SIZE], redeem_id[ID_SIZE];
    id_new(request_id);
    id_new(redeem_id);
    assert_int_equal(shop_do(shop, OP_user_ticket, &nobody, NULL, &nothing, &ticket), ERR_UNAUTHENTICATED);
    assert_int_equal(shop_do(shop, OP_user_ticket, &who, request_id, &nothing, &ticket), ERR_NONE);
    assert_int_equal(ticket.expires_in, 30);
    assert_int_equal(shop_do(shop, OP_user_ticket, &who, request_id, &nothing, &repeated), ERR_NONE);
    assert_true(text_equal(ticket.ticket, repeated.ticket));
    struct ticket_ref ref = {.ticket = ticket.ticket};
    assert_int_equal(shop_do(shop, OP_user_redeem, &who, NULL, &ref, &identity), ERR_FORBIDDEN); /* not for clients */
    assert_int_equal(shop_do(shop, OP_user_redeem, &a_gateway, redeem_id, &ref, &identity), ERR_NONE);
    assert_true(text_equal(identity.user_id, who.user_id));
    assert_true(text_equal(identity.session_id, who.session_id));
    assert_int_equal(identity.role, ROLE_ADMIN);
    assert_int_equal(identity.issued_at, who.token_at);
    assert_int_equal(shop_do(shop, OP_user_redeem, &a_gateway, redeem_id, &ref, &identity), ERR_NONE); /* sent again */
    assert_int_equal(shop_do(shop, OP_user_redeem, &a_gateway, NULL, &ref, &identity), ERR_UNAUTHENTICATED);
    ref.ticket = TEXT("made up");
    assert_int_equal(shop_do(shop, OP_user_redeem, &a_gateway, NULL, &ref, &identity), ERR_UNAUTHENTICATED);
}

static void a_ticket_does_not_outlive_its_session(void **state)
{
    struct shop *shop = *state;
    struct user_session session = shop_register(shop, "a@b.de", "password");
    struct who who = who_of(shop, &session);
    struct nothing nothing = {0};
    struct ws_ticket ticket;
    struct identity identity;
    assert_int_equal(shop_do(shop, OP_user_ticket, &who, NULL, &nothing, &ticket), ERR_NONE);
    assert_int_equal(shop_do(shop, OP_user_logout, &who, NULL, &nothing, &nothing), ERR_NONE);
    struct ticket_ref ref = {.ticket = ticket.ticket};
    assert_int_equal(shop_do(shop, OP_user_redeem, &a_gateway, NULL, &ref, &identity), ERR_UNAUTHENTICATED);
    assert_int_equal(shop_do(shop, OP_user_ticket, &who, NULL, &nothing, &ticket), ERR_UNAUTHENTICATED);
}

static void keys_are_for_gateways_and_hold_no_secret(void **state)
{
    struct shop *shop = *state;
    struct nothing nothing = {0};
    struct signing_keys keys;
    assert_int_equal(shop_do(shop, OP_user_keys, &nobody, NULL, &nothing, &keys), ERR_FORBIDDEN);
    assert_int_equal(shop_do(shop, OP_user_keys, &a_gateway, NULL, &nothing, &keys), ERR_NONE);
    assert_int_equal(keys.keys.count, 1);
    assert_true(text_is(keys.issuer, "zmart"));
    assert_true(text_starts_with(keys.keys.items[0].public_pem, "-----BEGIN PUBLIC KEY-----"));
    /* the token's header names it */
    struct user_session session = shop_register(shop, "a@b.de", "password");
    assert_int_equal(keys.keys.items[0].kid.size, 43);
    assert_true(session.token.size > 200);
}

#define IN_SHOP(name) cmocka_unit_test_setup_teardown(name, shop_open, shop_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SHOP(the_published_first_calls),
        IN_SHOP(later_accounts_are_customers),
        IN_SHOP(an_address_has_one_account),
        IN_SHOP(bad_fields_are_named_and_change_nothing),
        IN_SHOP(wrong_passwords_and_unknown_addresses_look_alike),
        IN_SHOP(failures_delay_but_never_lock),
        IN_SHOP(a_crowd_signs_up_and_has_one_founder),
        IN_SHOP(a_request_several_times_at_once_is_one),
        IN_SHOP(one_address_goes_to_one_of_a_crowd),
        IN_SHOP(accounts_are_for_themselves_and_administrators),
        IN_SHOP(administrators_page_through_accounts),
        IN_SHOP(pages_of_large_accounts_are_short),
        IN_SHOP(roles_change_and_tokens_with_them),
        IN_SHOP(a_ticket_opens_once),
        IN_SHOP(a_ticket_does_not_outlive_its_session),
        IN_SHOP(keys_are_for_gateways_and_hold_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
