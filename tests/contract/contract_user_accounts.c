/* Accounts: the founder, what is unique, edits, roles, lists. */
#include "tests/contract/user_ground.h"

#include <stdio.h>

static void the_first_account_is_the_founder(void **state)
{
    struct ground *g = *state;
    bool founded = true;
    WELL(user_store_shop_is_founded(g->store, &g->fault, &founded));
    assert_false(founded);
    assert_int_equal(account_put(g, "usr_1", "a@b", 10), ROLE_ADMIN);
    assert_int_equal(account_put(g, "usr_2", "c@d", 11), ROLE_CUSTOMER);
    WELL(user_store_shop_is_founded(g->store, &g->fault, &founded));
    assert_true(founded);
    assert_int_equal(account_now(g, "usr_1").user.role, ROLE_ADMIN);
    assert_int_equal(account_now(g, "usr_2").user.role, ROLE_CUSTOMER);
}

static void a_pinned_founder_takes_the_place_all_the_same(void **state)
{
    struct ground *g = *state;
    struct account_new first = account_of("usr_1", "a@b", 10);
    first.first_role = ROLE_CUSTOMER; /* --admin-email names somebody else */
    enum role role = ROLE_ADMIN;
    WELL(user_store_account_insert(g->store, &first, &g->arena, &g->fault, &role));
    assert_int_equal(role, ROLE_CUSTOMER);
    assert_int_equal(account_put(g, "usr_2", "c@d", 11), ROLE_CUSTOMER);
}

static void ids_and_addresses_are_unique(void **state)
{
    struct ground *g = *state;
    enum role role = ROLE_CUSTOMER;
    account_put(g, "usr_1", "a@b", 10);
    struct account_new same_email = account_of("usr_2", "a@b", 11);
    assert_int_equal(ACT(user_store_account_insert(g->store, &same_email, &g->arena, &g->fault, &role)),
                     ERR_EMAIL_TAKEN);
    struct account_new same_id = account_of("usr_1", "c@d", 11);
    assert_int_equal(ACT(user_store_account_insert(g->store, &same_id, &g->arena, &g->fault, &role)), ERR_CONFLICT);
    account_put(g, "usr_2", "c@d", 12);
    struct user_edit edit = {.id = TEXT("usr_2"), .email = TEXT("A@B")};
    set_has(user_edit, &edit, email);
    struct account_edit change = {.edit = &edit, .email_folded = TEXT("a@b"), .now_ms = NOW};
    assert_int_equal(ACT(user_store_account_edit(g->store, &change, &g->arena, &g->fault)), ERR_EMAIL_TAKEN);
    assert_true(text_is(account_now(g, "usr_2").user.email, "c@d"));
}

static void accounts_come_back_whole(void **state)
{
    struct ground *g = *state;
    struct address address = {.name = TEXT("N"), .line1 = TEXT("L"), .city = TEXT("C"), .postal_code = TEXT("P"),
                              .country = TEXT("DE")};
    struct account_new in = account_of("usr_1", "a@b", 10);
    struct account out;
    enum role role;
    in.account.user.addresses.items = &address;
    in.account.user.addresses.count = 1;
    in.account.changed_by = TEXT("0123456789abcdef");
    WELL(user_store_account_insert(g->store, &in, &g->arena, &g->fault, &role));
    WELL(user_store_account_find(g->store, TEXT("a@b"), &g->arena, &g->fault, &out));
    assert_true(text_is(out.user.id, "usr_1"));
    assert_true(text_is(out.password_hash, "hash of the first password"));
    assert_true(text_is(out.changed_by, "0123456789abcdef"));
    assert_int_equal(out.denied_until_ms, 0);
    assert_int_equal(out.generation, 0);
    assert_int_equal(out.user.addresses.count, 1);
    assert_true(text_is(out.user.addresses.items[0].country, "DE"));
    assert_int_equal(ACT(user_store_account_find(g->store, TEXT("x@y"), &g->arena, &g->fault, &out)), ERR_NOT_FOUND);
    assert_int_equal(ACT(user_store_account_get(g->store, TEXT("usr_9"), &g->arena, &g->fault, &out)), ERR_NOT_FOUND);
    user_store_destroy(&g->store);
    ground_store_open(g);
    assert_int_equal(account_now(g, "usr_1").user.created_at, 10);
}

static void edits_change_only_what_is_given(void **state)
{
    struct ground *g = *state;
    account_put(g, "usr_1", "a@b", 10);
    struct user_edit edit = {.id = TEXT("usr_1"), .name = TEXT("Other")};
    set_has(user_edit, &edit, name);
    struct account_edit change = {.edit = &edit, .now_ms = NOW, .request_id = TEXT("0123456789abcdef")};
    WELL(user_store_account_edit(g->store, &change, &g->arena, &g->fault));
    struct account now = account_now(g, "usr_1");
    assert_true(text_is(now.user.name, "Other"));
    assert_true(text_is(now.user.email, "a@b"));
    assert_true(text_is(now.password_hash, "hash of the first password"));
    assert_true(text_is(now.changed_by, "0123456789abcdef"));
    assert_int_equal(now.user.version, 2);
    assert_int_equal(now.user.updated_at, NOW);
    assert_int_equal(now.denied_until_ms, 0);
    change.version = 1;
    assert_int_equal(ACT(user_store_account_edit(g->store, &change, &g->arena, &g->fault)), ERR_CONFLICT);
    change.version = 2;
    change.verified_hash = TEXT("another hash");
    assert_int_equal(ACT(user_store_account_edit(g->store, &change, &g->arena, &g->fault)), ERR_CONFLICT);
    change.verified_hash = now.password_hash;
    change.password_hash = TEXT("hash of the second password");
    struct denial denial = account_denial("usr_1", "ses_1", NOW);
    change.denial = &denial;
    WELL(user_store_account_edit(g->store, &change, &g->arena, &g->fault));
    now = account_now(g, "usr_1");
    assert_true(text_is(now.password_hash, "hash of the second password"));
    assert_int_equal(now.denied_until_ms, NOW);
    assert_int_equal(now.denied_all_ms, 0);
    assert_int_equal(now.generation, 1);
    assert_true(text_is(now.kept_session, "ses_1"));
    edit.id = TEXT("usr_9");
    change = (struct account_edit){.edit = &edit, .now_ms = NOW};
    assert_int_equal(ACT(user_store_account_edit(g->store, &change, &g->arena, &g->fault)), ERR_CONFLICT);
}

static void a_hash_is_renewed_only_from_the_one_that_was_verified(void **state)
{
    struct ground *g = *state;
    account_put(g, "usr_1", "a@b", 10);
    struct hash_change stale = {TEXT("usr_1"), TEXT("another hash"), TEXT("wrong")};
    WELL(user_store_account_rehash(g->store, &stale, &g->fault));
    assert_true(text_is(account_now(g, "usr_1").password_hash, "hash of the first password"));
    struct hash_change change = {TEXT("usr_1"), TEXT("hash of the first password"), TEXT("stronger")};
    WELL(user_store_account_rehash(g->store, &change, &g->fault));
    assert_true(text_is(account_now(g, "usr_1").password_hash, "stronger"));
    assert_int_equal(account_now(g, "usr_1").user.version, 1);
}

static void the_last_administrator_stays(void **state)
{
    struct ground *g = *state;
    account_put(g, "usr_1", "a@b", 10);
    account_put(g, "usr_2", "c@d", 11);
    assert_int_equal(role_put(g, "usr_9", ROLE_ADMIN), ERR_NOT_FOUND);
    assert_int_equal(role_put(g, "usr_1", ROLE_CUSTOMER), ERR_LAST_ADMIN);
    assert_int_equal(account_now(g, "usr_1").user.role, ROLE_ADMIN);
    assert_int_equal(role_put(g, "usr_2", ROLE_CUSTOMER), ERR_NONE); /* already one: nothing to refuse, or to do */
    assert_int_equal(account_now(g, "usr_2").user.version, 1);
    assert_int_equal(role_put(g, "usr_2", ROLE_ADMIN), ERR_NONE);
    assert_int_equal(role_put(g, "usr_1", ROLE_CUSTOMER), ERR_NONE);
    assert_int_equal(account_now(g, "usr_1").denied_until_ms, NOW);
    assert_int_equal(role_put(g, "usr_2", ROLE_CUSTOMER), ERR_LAST_ADMIN);
}

static struct user_rows list_page(struct ground *g, const struct user_query *query, const struct user *after)
{
    struct user_rows rows;
    struct account_page page = {.query = query};
    if (after) {
        page.created_at = after->created_at;
        page.id = after->id;
    }
    if (has(user_query, query, email)) {
        page.email_folded = query->email;
    }
    WELL(user_store_account_list(g->store, &page, &g->arena, &g->fault, &rows));
    return rows;
}

static void lists_are_newest_first_and_lose_nobody(void **state)
{
    enum { COUNT = 23, PAGE = 4 };
    struct ground *g = *state;
    struct user_query query = {.limit = PAGE};
    bool seen[COUNT] = {false};
    int count = 0;
    for (int i = 0; i < COUNT; i++) {
        char id[16], email[16];
        snprintf(id, sizeof id, "usr_%02d", i);
        snprintf(email, sizeof email, "%d@x", i);
        account_put(g, id, email, 100 + i / 5); /* ties */
    }
    struct user last = {.created_at = INT64_MAX};
    struct user_rows rows = {.more = true};
    for (struct user *after = NULL; rows.more; after = &rows.items[rows.count - 1]) {
        rows = list_page(g, &query, after);
        assert_true(rows.count == PAGE || !rows.more);
        for (uint32_t i = 0; i < rows.count; i++) {
            struct user *user = &rows.items[i];
            int number = (user->id.data[4] - '0') * 10 + user->id.data[5] - '0';
            assert_false(seen[number]);
            seen[number] = true;
            count++;
            assert_true(user->created_at < last.created_at ||
                        (user->created_at == last.created_at && text_compare(user->id, last.id) < 0));
            last = *user;
        }
    }
    assert_int_equal(count, COUNT);
    query.role = ROLE_ADMIN;
    set_has(user_query, &query, role);
    rows = list_page(g, &query, NULL);
    assert_int_equal(rows.count, 1);
    assert_false(rows.more);
    assert_true(text_is(rows.items[0].id, "usr_00"));
    query = (struct user_query){.limit = PAGE, .email = TEXT("7@x")};
    set_has(user_query, &query, email);
    rows = list_page(g, &query, NULL);
    assert_int_equal(rows.count, 1);
    assert_true(text_is(rows.items[0].id, "usr_07"));
}

int contract_user_accounts(const struct user_place *place)
{
    const struct CMUnitTest tests[] = {
        CONTRACT(the_first_account_is_the_founder),
        CONTRACT(a_pinned_founder_takes_the_place_all_the_same),
        CONTRACT(ids_and_addresses_are_unique),
        CONTRACT(accounts_come_back_whole),
        CONTRACT(edits_change_only_what_is_given),
        CONTRACT(a_hash_is_renewed_only_from_the_one_that_was_verified),
        CONTRACT(the_last_administrator_stays),
        CONTRACT(lists_are_newest_first_and_lose_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
