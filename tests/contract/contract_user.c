#include "tests/contract/contract_user.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { NOW = 1000000 };

struct ground {
    const struct user_place *place;
    char url[200];
    struct store_config config;
    struct user_store *store;
    struct user_store *inner; /* the real one while store is the failing wrapper */
    struct arena arena;
    struct fault fault;
};

static void store_open(struct ground *ground)
{
    fault_init(&ground->fault, &ground->arena);
    if (ground->place->open(&ground->config, true, NULL, &ground->fault, &ground->store) != ERR_NONE) {
        fail_msg("%s (%s)", ground->fault.detail, ground->fault.cause);
    }
}

static int ground_open(void **state)
{
    const struct user_place *place = *state;
    struct ground *ground = mem_alloc(sizeof *ground);
    ground->place = place;
    place->make(ground->url, sizeof ground->url);
    ground->config = (struct store_config){.store = ground->url, .store_busy_ms = 1000};
    store_open(ground);
    *state = ground;
    return 0;
}

static int ground_close(void **state)
{
    struct ground *ground = *state;
    user_store_destroy(&ground->store);
    ground->place->drop(ground->url);
    arena_release(&ground->arena);
    mem_free(ground);
    return 0;
}

/* ---- one act: its effects stay when it succeeds, nothing does when it is refused ---- */

static void act_begin(struct ground *ground)
{
    fault_init(&ground->fault, &ground->arena);
    const struct unit_of_work *unit = ground->store->unit;
    if (unit) {
        assert_int_equal(unit->begin(ground->store->unit_store, true, &ground->fault), ERR_NONE);
        assert_int_equal(unit->savepoint(ground->store->unit_store, &ground->fault), ERR_NONE);
    }
}

static enum err act_end(struct ground *ground, enum err e)
{
    const struct unit_of_work *unit = ground->store->unit;
    if (unit && e == ERR_NONE) {
        assert_int_equal(unit->release(ground->store->unit_store, &ground->fault), ERR_NONE);
    } else if (unit) {
        unit->undo(ground->store->unit_store);
    }
    if (unit) {
        assert_int_equal(unit->commit(ground->store->unit_store, &ground->fault), ERR_NONE);
    }
    return e;
}

#define ACT(call) (act_begin(g), act_end(g, (call)))
#define WELL(call) assert_int_equal(ACT(call), ERR_NONE)

static struct account_new account_of(const char *id, const char *email, int64_t at)
{
    return (struct account_new){.account = {.user = {.id = text_of(id),
                                                     .email = text_of(email),
                                                     .name = TEXT("Name"),
                                                     .role = ROLE_CUSTOMER,
                                                     .created_at = at,
                                                     .updated_at = at,
                                                     .version = 1},
                                            .email_folded = text_of(email),
                                            .password_hash = TEXT("hash of the first password")},
                                .first_role = ROLE_ADMIN};
}

/* except: a session's id, or NULL. */
static struct denial account_denial(const char *user_id, const char *except, int64_t before)
{
    struct denial denial = {.user_id = text_of(user_id), .before = before, .expires_at = before + 10};
    set_has(denial, &denial, user_id);
    if (except) {
        denial.except_session_id = text_of(except);
        set_has(denial, &denial, except_session_id);
    }
    return denial;
}

static struct event_new event_of(const char *id, const char *type, const char *subject)
{
    return (struct event_new){
        .id = text_of(id), .type = text_of(type), .subject = text_of(subject), .source = TEXT("user-svc"), .time = NOW};
}

static enum role account_put(struct ground *g, const char *id, const char *email, int64_t at)
{
    struct account_new account = account_of(id, email, at);
    enum role role = ROLE_CUSTOMER;
    WELL(user_store_account_insert(g->store, &account, &g->arena, &g->fault, &role));
    return role;
}

static struct account account_now(struct ground *g, const char *id)
{
    struct account account;
    WELL(user_store_account_get(g->store, text_of(id), &g->arena, &g->fault, &account));
    return account;
}

static void session_put(struct ground *g, const char *id, const char *user_id)
{
    struct session session = {.id = text_of(id),
                              .user_id = text_of(user_id),
                              .refresh_hash = TEXT("first"),
                              .created_ms = NOW,
                              .used_ms = NOW};
    WELL(user_store_session_insert(g->store, &session, &g->fault));
}

static bool token_is_good(struct ground *g, const char *session_id, const char *user_id, int64_t at)
{
    struct token_check check = {.session_id = text_of(session_id), .user_id = text_of(user_id), .issued_at = at};
    bool good = false;
    WELL(user_store_token_good(g->store, &check, &g->fault, &good));
    return good;
}

/* ---- accounts ---- */

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
    assert_int_equal(ACT(user_store_account_insert(g->store, &same_email, &g->arena, &g->fault, &role)), ERR_EMAIL_TAKEN);
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
    store_open(g);
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

static enum err role_put_at(struct ground *g, const char *id, enum role role, int64_t at)
{
    struct denial denial = account_denial(id, NULL, at);
    struct event_new changed = event_of(id, "user.role_changed", id), ended = event_of(id, "session.ended", id);
    struct role_change change = {
        .id = text_of(id), .role = role, .now_ms = at, .denial = &denial, .changed = &changed, .ended = &ended};
    return ACT(user_store_account_set_role(g->store, &change, &g->arena, &g->fault));
}

static enum err role_put(struct ground *g, const char *id, enum role role)
{
    return role_put_at(g, id, role, NOW);
}

static void password_put(struct ground *g, const char *id, const char *kept, int64_t at)
{
    struct user_edit edit = {.id = text_of(id)};
    struct denial denial = account_denial(id, kept, at);
    struct account_edit change = {.edit = &edit, .password_hash = TEXT("another hash"), .now_ms = at, .denial = &denial};
    WELL(user_store_account_edit(g->store, &change, &g->arena, &g->fault));
}

static bool session_end(struct ground *g, const char *id, int64_t at)
{
    struct session_end end = {.id = text_of(id), .now_ms = at, .denial_ends_ms = at + 10};
    bool went_on = false;
    WELL(user_store_session_end(g->store, &end, &g->arena, &g->fault, &went_on));
    return went_on;
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

/* ---- sessions and what denies them ---- */

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
    struct session later = {.id = TEXT("ses_4"), .user_id = TEXT("usr_1"), .generation = 1, .refresh_hash = TEXT("first"),
                            .created_ms = NOW + 1, .used_ms = NOW + 1};
    WELL(user_store_session_insert(g->store, &later, &g->fault));
    assert_true(token_is_good(g, "ses_4", "usr_1", NOW + 1));
    password_put(g, "usr_1", NULL, NOW + 5);
    assert_false(token_is_good(g, "ses_1", "usr_1", NOW + 6));
    assert_false(token_is_good(g, "ses_4", "usr_1", NOW + 6));
}

static struct denial_list denials_at(struct ground *g, int64_t now)
{
    struct denial_list list;
    WELL(user_store_denial_list(g->store, now, &g->arena, &g->fault, &list));
    return list;
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

/* ---- tickets, keys, secrets ---- */

static struct ticket ticket_of(const char *hash, const char *session_id)
{
    return (struct ticket){.hash = text_of(hash),
                           .identity = {.user_id = TEXT("usr_1"), .role = ROLE_ADMIN, .session_id = text_of(session_id),
                                        .issued_at = NOW},
                           .expires_ms = NOW + 30};
}

static enum err ticket_take(struct ground *g, const char *hash, const char *request_id, int64_t now)
{
    struct identity identity = {.role = ROLE_CUSTOMER};
    struct ticket_use use = {text_of(hash), text_of(request_id), now};
    enum err e = ACT(user_store_ticket_spend(g->store, &use, &g->arena, &g->fault, &identity));
    if (e == ERR_NONE) {
        assert_true(text_is(identity.user_id, "usr_1"));
        assert_int_equal(identity.role, ROLE_ADMIN);
        assert_int_equal(identity.issued_at, NOW);
    }
    return e;
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
    const struct attempts none = {0}, one = {1, 0, NOW}, two = {2, NOW + 1000, NOW + 1}, three = {3, NOW + 2000, NOW + 2};
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
    struct user_sweep bounds = {.now_ms = NOW + 5, .sessions_before_ms = NOW + 1, .ended_before_ms = NOW, .row_count = 10};
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

/* What waits in the outbox, and is then handed over. */
static struct outbox_page events_take(struct ground *g)
{
    struct outbox_page page = {0};
    struct outbox_source *outbox = g->store->outbox;
    if (outbox->ops->sweep) {
        outbox->ops->sweep(outbox);
    }
    WELL(outbox->ops->look(outbox, &g->arena, &g->fault, &page));
    if (page.append.events.count > 0) {
        WELL(outbox->ops->clear(outbox, &page, &g->fault));
    }
    return page;
}

static void event_check(struct ground *g, const struct event_new *event, const char *id, enum role role, int64_t version)
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

/* ---- every call may fail: what was begun is done once when it is tried again ---- */

static enum err step_register(struct ground *g, const char *id, const char *email, const char *session_id)
{
    struct account account;
    struct account_new new = account_of(id, email, NOW);
    struct session session = {.id = text_of(session_id), .user_id = text_of(id), .refresh_hash = TEXT("first"),
                              .created_ms = NOW, .used_ms = NOW};
    enum role role;
    enum err e = user_store_account_get(g->store, text_of(id), &g->arena, &g->fault, &account);
    if (e == ERR_NOT_FOUND) {
        e = user_store_account_insert(g->store, &new, &g->arena, &g->fault, &role);
    }
    return e == ERR_NONE ? user_store_session_insert(g->store, &session, &g->fault) : e;
}

static enum err step_password(struct ground *g)
{
    struct account account;
    struct user_edit edit = {.id = TEXT("usr_1")};
    struct denial denial = account_denial("usr_1", "ses_1", NOW);
    enum err e = user_store_account_get(g->store, TEXT("usr_1"), &g->arena, &g->fault, &account);
    if (e != ERR_NONE || text_is(account.changed_by, "password-request")) {
        return e;
    }
    struct event_new updated = event_of("evt_password", "user.updated", "usr_1");
    struct account_edit change = {.edit = &edit, .password_hash = TEXT("second"), .verified_hash = account.password_hash,
                                  .now_ms = NOW, .request_id = TEXT("password-request"), .denial = &denial,
                                  .updated = &updated};
    return user_store_account_edit(g->store, &change, &g->arena, &g->fault);
}

static enum err step_role(struct ground *g, const char *id, enum role role)
{
    struct account account;
    struct denial denial = account_denial(id, NULL, NOW);
    struct event_new changed = event_of(role == ROLE_ADMIN ? "evt_up" : "evt_down", "user.role_changed", id);
    struct role_change change = {.id = text_of(id), .role = role, .now_ms = NOW, .denial = &denial, .changed = &changed};
    enum err e = user_store_account_get(g->store, change.id, &g->arena, &g->fault, &account);
    if (e != ERR_NONE || account.user.role == role) {
        return e;
    }
    return user_store_account_set_role(g->store, &change, &g->arena, &g->fault);
}

static enum err step_ticket(struct ground *g)
{
    struct ticket ticket = ticket_of("t1", "ses_1");
    struct ticket_use use = {TEXT("t1"), TEXT("redeem-request"), NOW};
    struct identity identity;
    bool fresh;
    ticket.identity.issued_at = NOW + 1; /* after what the new password has denied */
    enum err e = user_store_ticket_add(g->store, &ticket, &g->fault, &fresh);
    return e == ERR_NONE ? user_store_ticket_spend(g->store, &use, &g->arena, &g->fault, &identity) : e;
}

/* As the handlers do it: a write of ours that came late is what was in the way, so the next look finds it. */
static enum err late_register(struct ground *g, const char *id, const char *email, const char *session_id)
{
    enum err e = step_register(g, id, email, session_id);
    return e == ERR_CONFLICT ? step_register(g, id, email, session_id) : e;
}

static enum err late_password(struct ground *g)
{
    enum err e = step_password(g);
    return e == ERR_CONFLICT ? step_password(g) : e;
}

static enum err scenario(struct ground *g)
{
    enum err e = ACT(late_register(g, "usr_1", "a@b", "ses_1"));
    e = e == ERR_NONE ? ACT(late_register(g, "usr_2", "c@d", "ses_2")) : e;
    e = e == ERR_NONE ? ACT(step_role(g, "usr_2", ROLE_ADMIN)) : e;
    e = e == ERR_NONE ? ACT(step_role(g, "usr_1", ROLE_CUSTOMER)) : e;
    e = e == ERR_NONE ? ACT(late_password(g)) : e;
    return e == ERR_NONE ? ACT(step_ticket(g)) : e;
}

static void scenario_check(struct ground *g)
{
    struct account first = account_now(g, "usr_1"), second = account_now(g, "usr_2");
    assert_int_equal(first.user.role, ROLE_CUSTOMER);
    assert_int_equal(second.user.role, ROLE_ADMIN);
    assert_true(text_is(first.password_hash, "second"));
    assert_int_equal(denials_at(g, 0).denials.count, 2); /* one for each account that has lost something */
    assert_int_equal(ticket_take(g, "t1", "another-request", NOW), ERR_NOT_FOUND);
    struct outbox_page page = events_take(g);
    uint32_t count = 0;
    static const char *const ids[] = {"evt_up", "evt_down", "evt_password"};
    for (uint32_t i = 0; i < page.append.events.count; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(ids); j++) {
            count += text_is(page.append.events.items[i].id, ids[j]);
        }
    }
    assert_int_equal(count, ARRAY_COUNT(ids)); /* each once: what was done twice would be told twice */
}

/* True if a call failed. */
static bool scenario_fails_once(const struct user_place *place, int good_calls, bool after)
{
    void *state = (void *)(uintptr_t)place;
    assert_int_equal(ground_open(&state), 0);
    struct ground *g = state;
    struct user_store *inner = g->store;
    g->store = failing_user_store_new(inner, good_calls, after);
    enum err e = scenario(g);
    bool failed = failing_user_store_failed(g->store);
    assert_int_equal(e, failed ? ERR_SERVICE_UNAVAILABLE : ERR_NONE);
    user_store_destroy(&g->store);
    g->store = inner;
    assert_int_equal(scenario(g), ERR_NONE);
    scenario_check(g);
    assert_int_equal(ground_close(&state), 0);
    return failed;
}

static void any_call_may_fail(void **state)
{
    const struct user_place *place = *state;
    int before = 0, after = 0;
    while (scenario_fails_once(place, before, false)) {
        before++;
    }
    while (scenario_fails_once(place, after, true)) {
        after++;
    }
    assert_true(before >= 12 && after == before);
}

/* A store that was cut off refuses for a moment; whoever asks again is let in after it. */
static void scenario_repeat(struct ground *g)
{
    enum { PAUSE_US = 20000, PATIENCE_MS = 30000 };
    int64_t end_ms = clock_now_ms() + PATIENCE_MS;
    enum err e;
    while ((e = scenario(g)) == ERR_SERVICE_UNAVAILABLE && clock_now_ms() < end_ms) {
        usleep(PAUSE_US);
    }
    if (e != ERR_NONE) {
        fail_msg("%s (%s)", err_info(e)->slug, g->fault.cause);
    }
}

/* True if the command was reached. */
static bool scenario_spoilt(const struct user_place *place, const struct user_spoiler *spoiler, int n, int how)
{
    void *state = (void *)(uintptr_t)place;
    assert_int_equal(ground_open(&state), 0);
    struct ground *g = state;
    spoiler->arm(n, how);
    enum err e = scenario(g);
    bool happened = spoiler->happened();
    if (e != ERR_NONE && e != ERR_SERVICE_UNAVAILABLE) {
        fail_msg("command %d spoilt as %d: %s (%s)", n, how, err_info(e)->slug, g->fault.cause);
    }
    spoiler->settle();
    spoiler->arm(-1, how);
    scenario_repeat(g);
    scenario_check(g);
    assert_int_equal(ground_close(&state), 0);
    return happened || e != ERR_NONE; /* what ended too early without us says nothing of the commands behind it */
}

void contract_user_spoil(const struct user_place *place, const struct user_spoiler *spoiler)
{
    for (int how = 0; how < spoiler->how_count; how++) {
        bool slow = how >= 2; /* those share the commands between them */
        int n = slow ? how - 2 : 0;
        while (scenario_spoilt(place, spoiler, n, how)) {
            n += slow ? 2 : 1;
        }
        assert_true(n >= 20);
    }
}

#define CONTRACT(name)                                                                                     \
    {                                                                                                      \
        #name, name, ground_open, ground_close, (void *)(uintptr_t)place                                   \
    }

int contract_user_run(const struct user_place *place)
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
        CONTRACT(a_session_begins_once),
        CONTRACT(a_refresh_token_moves_once),
        CONTRACT(tokens_are_good_while_nothing_speaks_against_them),
        CONTRACT(a_new_password_leaves_one_session),
        CONTRACT(denials_are_listed_until_they_expire),
        CONTRACT(denials_are_listed_up_to_a_number),
        CONTRACT(a_ticket_is_good_once),
        CONTRACT(a_ticket_ends_with_its_session_or_its_role),
        CONTRACT(the_first_key_and_secret_stay),
        CONTRACT(failures_are_counted_one_after_the_other),
        CONTRACT(keys_follow_one_another),
        CONTRACT(sweeping_takes_only_what_is_over),
        CONTRACT(what_is_done_to_an_account_is_told),
        CONTRACT(a_session_that_ends_is_told_once),
        {"any_call_may_fail", any_call_may_fail, NULL, NULL, (void *)(uintptr_t)place},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
