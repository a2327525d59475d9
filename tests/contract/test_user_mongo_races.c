/* Accounts on MongoDB from many handles at once: what is to be decided once is decided once. */
#include "tests/contract/user_mongo_place.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/mem.h"

enum { RACERS = 8, NOW = 1000000, TRIES_MAX = 100 };

struct race;

struct racer {
    struct race *race;
    int number;
    struct user_store *store;
    struct arena arena;
    struct fault fault;
    pthread_t thread;
    enum err outcome;
    enum role role;
};

typedef enum err race_run(struct racer *self);

struct race {
    char url[400];
    struct user_store *store;
    struct arena arena;
    struct fault fault;
    struct racer racers[RACERS];
    pthread_barrier_t start;
    race_run *run;
};

static int race_open(void **state)
{
    struct race *race = mem_alloc(sizeof *race);
    struct store_config config = {.store = race->url};
    user_mongo_place.make(race->url, sizeof race->url);
    fault_init(&race->fault, &race->arena);
    if (user_mongo_place.open(&config, true, NULL, &race->fault, &race->store) != ERR_NONE) {
        fail_msg("%s (%s)", race->fault.detail, race->fault.cause);
    }
    pthread_barrier_init(&race->start, NULL, RACERS);
    for (int i = 0; i < RACERS; i++) {
        struct racer *racer = &race->racers[i];
        racer->race = race;
        racer->number = i;
        racer->store = user_mongo_place_another();
        fault_init(&racer->fault, &racer->arena);
    }
    *state = race;
    return 0;
}

static int race_close(void **state)
{
    struct race *race = *state;
    for (int i = 0; i < RACERS; i++) {
        user_store_destroy(&race->racers[i].store);
        arena_release(&race->racers[i].arena);
    }
    user_store_destroy(&race->store);
    user_mongo_place.drop(race->url);
    pthread_barrier_destroy(&race->start);
    arena_release(&race->arena);
    mem_free(race);
    return 0;
}

static void *racer_main(void *argument)
{
    struct racer *racer = argument;
    pthread_barrier_wait(&racer->race->start);
    racer->outcome = racer->race->run(racer);
    return NULL;
}

/* Lets all run at once; how many had this outcome. */
static int race_go(struct race *race, race_run *run, enum err counted)
{
    int count = 0;
    race->run = run;
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_create(&race->racers[i].thread, NULL, racer_main, &race->racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(race->racers[i].thread, NULL);
        count += race->racers[i].outcome == counted;
        if (race->racers[i].outcome == ERR_SERVICE_UNAVAILABLE || race->racers[i].outcome == ERR_INTERNAL) {
            fail_msg("racer %d: %s", i, race->racers[i].fault.cause);
        }
    }
    return count;
}

/* "usr_3" and so on, in the racer's arena. */
static struct text named(struct racer *racer, const char *prefix)
{
    char name[32];
    snprintf(name, sizeof name, "%s%d", prefix, racer->number);
    return text_of(arena_copy(&racer->arena, name, strlen(name)));
}

/* A server may refuse what collides again and again (FerretDB calls it a deadlock): whoever is told so asks again. */
static bool asks_again(enum err e, int *tries)
{
    return e == ERR_SERVICE_UNAVAILABLE && ++*tries < TRIES_MAX;
}

static enum err sign_up(struct racer *racer, struct text email)
{
    struct text id = named(racer, "usr_");
    struct event_new created = {.id = named(racer, "evt_"), .type = TEXT("user.created"), .subject = id,
                                .source = TEXT("user-svc"), .time = NOW};
    struct account_new new = {.account = {.user = {.id = id,
                                                   .email = email,
                                                   .name = TEXT("Name"),
                                                   .role = ROLE_CUSTOMER,
                                                   .created_at = NOW,
                                                   .updated_at = NOW,
                                                   .version = 1},
                                          .email_folded = email,
                                          .password_hash = TEXT("hash")},
                              .first_role = ROLE_ADMIN,
                              .created = &created};
    racer->role = ROLE_CUSTOMER;
    enum err e;
    int tries = 0;
    do {
        e = user_store_account_insert(racer->store, &new, &racer->arena, &racer->fault, &racer->role);
    } while (asks_again(e, &tries));
    return e;
}

static enum err sign_up_alone(struct racer *racer)
{
    return sign_up(racer, named(racer, "mail@"));
}

static enum err sign_up_with_one_address(struct racer *racer)
{
    return sign_up(racer, TEXT("same@address"));
}

static void a_shop_has_one_founder(void **state)
{
    struct race *race = *state;
    int founder_count = 0;
    assert_int_equal(race_go(race, sign_up_alone, ERR_NONE), RACERS);
    for (int i = 0; i < RACERS; i++) {
        struct account account;
        struct text id = named(&race->racers[i], "usr_");
        assert_int_equal(user_store_account_get(race->store, id, &race->arena, &race->fault, &account), ERR_NONE);
        assert_int_equal(account.user.role, race->racers[i].role);
        founder_count += account.user.role == ROLE_ADMIN;
    }
    assert_int_equal(founder_count, 1);
}

static void an_address_has_one_account(void **state)
{
    struct race *race = *state;
    assert_int_equal(race_go(race, sign_up_with_one_address, ERR_NONE), 1);
    int taken_count = 0;
    for (int i = 0; i < RACERS; i++) {
        taken_count += race->racers[i].outcome == ERR_EMAIL_TAKEN;
    }
    assert_int_equal(taken_count, RACERS - 1);
}

static enum err role_put(struct racer *racer, enum role role)
{
    struct text id = named(racer, "usr_");
    struct denial denial = {.user_id = id, .before = NOW, .expires_at = NOW + 10};
    set_has(denial, &denial, user_id);
    struct role_change change = {.id = id, .role = role, .now_ms = NOW, .denial = &denial};
    enum err e;
    int tries = 0;
    do {
        e = user_store_account_set_role(racer->store, &change, &racer->arena, &racer->fault);
    } while (asks_again(e, &tries));
    return e;
}

static enum err promote(struct racer *racer)
{
    return role_put(racer, ROLE_ADMIN);
}

static enum err demote(struct racer *racer)
{
    return role_put(racer, ROLE_CUSTOMER);
}

/* Everybody at once: also changes that go both ways, again and again. */
static enum err change_often(struct racer *racer)
{
    for (int i = 0; i < 6; i++) {
        enum err e = role_put(racer, i % 2 ? ROLE_CUSTOMER : ROLE_ADMIN);
        if (e != ERR_NONE && e != ERR_LAST_ADMIN) {
            return e;
        }
    }
    return ERR_NONE;
}

static int admin_count(struct race *race)
{
    struct user_query query = {.limit = 100, .role = ROLE_ADMIN};
    struct account_page page = {.query = &query};
    struct user_rows rows;
    set_has(user_query, &query, role);
    assert_int_equal(user_store_account_list(race->store, &page, &race->arena, &race->fault, &rows), ERR_NONE);
    return (int)rows.count;
}

static void the_last_administrator_stays(void **state)
{
    struct race *race = *state;
    assert_int_equal(race_go(race, sign_up_alone, ERR_NONE), RACERS);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(race_go(race, promote, ERR_NONE), RACERS);
        assert_int_equal(admin_count(race), RACERS);
        assert_int_equal(race_go(race, demote, ERR_LAST_ADMIN), 1);
        assert_int_equal(admin_count(race), 1);
    }
    assert_int_equal(race_go(race, change_often, ERR_NONE), RACERS);
    assert_true(admin_count(race) >= 1);
}

static void session_begin(struct race *race)
{
    struct session session = {.id = TEXT("ses_1"), .user_id = TEXT("usr_0"), .refresh_hash = TEXT("first"),
                              .created_ms = NOW, .used_ms = NOW};
    assert_int_equal(user_store_session_insert(race->store, &session, &race->fault), ERR_NONE);
}

static enum err refresh(struct racer *racer)
{
    struct session_move move = {TEXT("ses_1"), TEXT("first"), named(racer, "next "), NOW + 1};
    return user_store_session_rotate(racer->store, &move, &racer->fault);
}

static void a_refresh_token_is_spent_once(void **state)
{
    struct race *race = *state;
    session_begin(race);
    assert_int_equal(race_go(race, refresh, ERR_NONE), 1);
}

static enum err spend(struct racer *racer)
{
    struct ticket_use use = {TEXT("ticket"), named(racer, "request "), NOW};
    struct identity identity;
    return user_store_ticket_spend(racer->store, &use, &racer->arena, &racer->fault, &identity);
}

static void a_ticket_is_spent_once(void **state)
{
    struct race *race = *state;
    bool fresh = false;
    session_begin(race);
    struct ticket ticket = {.hash = TEXT("ticket"),
                            .identity = {.user_id = TEXT("usr_0"), .session_id = TEXT("ses_1"), .issued_at = NOW},
                            .expires_ms = NOW + 10};
    assert_int_equal(user_store_ticket_add(race->store, &ticket, &race->fault, &fresh), ERR_NONE);
    assert_int_equal(race_go(race, spend, ERR_NONE), 1);
}

/* Even racers sign in with the password that odd ones change: only the kept session may be good afterwards. */
static enum err password_or_session(struct racer *racer)
{
    struct text user_id = TEXT("usr_0");
    if (racer->number % 2) {
        struct user_edit edit = {.id = user_id};
        struct denial denial = {.user_id = user_id, .before = NOW, .expires_at = NOW + 10};
        set_has(denial, &denial, user_id);
        struct account_edit change = {.edit = &edit,
                                      .password_hash = named(racer, "hash "),
                                      .verified_hash = TEXT("hash"),
                                      .now_ms = NOW,
                                      .denial = &denial};
        return user_store_account_edit(racer->store, &change, &racer->arena, &racer->fault);
    }
    struct account account;
    enum err e = user_store_account_get(racer->store, user_id, &racer->arena, &racer->fault, &account);
    if (e != ERR_NONE || !text_is(account.password_hash, "hash")) {
        return ERR_BAD_CREDENTIALS;
    }
    struct session session = {.id = named(racer, "ses_"), .user_id = user_id, .generation = account.generation,
                              .refresh_hash = TEXT("first"), .created_ms = NOW, .used_ms = NOW};
    return user_store_session_insert(racer->store, &session, &racer->fault);
}

static void no_session_survives_a_new_password(void **state)
{
    struct race *race = *state;
    int changed_count = 0;
    race->racers[0].outcome = sign_up_alone(&race->racers[0]);
    assert_int_equal(race->racers[0].outcome, ERR_NONE);
    race_go(race, password_or_session, ERR_NONE);
    for (int i = 0; i < RACERS; i++) {
        struct token_check check = {
            .session_id = named(&race->racers[i], "ses_"), .user_id = TEXT("usr_0"), .issued_at = NOW + 5};
        bool good = true;
        assert_int_equal(user_store_token_good(race->store, &check, &race->fault, &good), ERR_NONE);
        assert_false(good);
        changed_count += i % 2 && race->racers[i].outcome == ERR_NONE;
    }
    assert_int_equal(changed_count, 1); /* the others found another hash */
}

static enum err key_make(struct racer *racer)
{
    static const char point[] = "0123456789012345678901234567890123456789012";
    struct signing_key shown = {
        .kid = named(racer, "kid "), .public_pem = TEXT("public"), .x = text_of(point), .y = text_of(point)};
    struct key_row row = {.generation = 1, .shown = shown, .private_pem = TEXT("private"), .created_ms = NOW};
    struct key_rows rows = {0};
    enum err e = user_store_key_add(racer->store, &row, &racer->fault);
    e = e == ERR_NONE ? user_store_key_list(racer->store, &racer->arena, &racer->fault, &rows) : e;
    racer->number = rows.count == 1 ? rows.items[0].shown.kid.data[4] - '0' : -1; /* whose it was */
    return e;
}

static void all_sign_with_one_key(void **state)
{
    struct race *race = *state;
    assert_int_equal(race_go(race, key_make, ERR_NONE), RACERS);
    for (int i = 0; i < RACERS; i++) {
        assert_int_equal(race->racers[i].number, race->racers[0].number);
    }
    assert_true(race->racers[0].number >= 0);
}

#define RACE(name) cmocka_unit_test_setup_teardown(name, race_open, race_close)

int main(void)
{
    const struct CMUnitTest tests[] = {RACE(a_shop_has_one_founder),
                                       RACE(an_address_has_one_account),
                                       RACE(the_last_administrator_stays),
                                       RACE(a_refresh_token_is_spent_once),
                                       RACE(a_ticket_is_spent_once),
                                       RACE(no_session_survives_a_new_password),
                                       RACE(all_sign_with_one_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
