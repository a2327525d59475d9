/* How many commands the verbs of accounts take on MongoDB: the figures of user-svc/README.md. */
#include "tests/contract/user_mongo_place.h"

#include "lib/base/metrics.h"

enum { NOW = 1000000 };

static void commands_add(struct metric *metric, void *sum)
{
    if (strcmp(metric->name, "zmart_store_commands_total") == 0) {
        *(int64_t *)sum += metric_value(metric);
    }
}

static int64_t commands_of(struct metrics *metrics)
{
    int64_t sum = 0;
    metrics_each(metrics, commands_add, &sum);
    return sum;
}

/* The verb must succeed and take so many commands. */
#define TAKES(count, verb)                                   \
    do {                                                     \
        int64_t before = commands_of(metrics);               \
        assert_int_equal(verb, ERR_NONE);                    \
        assert_int_equal(commands_of(metrics) - before, count); \
    } while (0)

static struct account_new account_of(const char *id, const char *email)
{
    return (struct account_new){.account = {.user = {.id = text_of(id),
                                                     .email = text_of(email),
                                                     .name = TEXT("Name"),
                                                     .created_at = NOW,
                                                     .updated_at = NOW,
                                                     .version = 1},
                                            .email_folded = text_of(email),
                                            .password_hash = TEXT("hash")},
                                .first_role = ROLE_ADMIN};
}

static void verbs_take_few_commands(void **state)
{
    char url[400];
    struct store_config config = {.store = url};
    struct metrics *metrics = metrics_new();
    struct user_store *store = NULL;
    struct arena arena = {0};
    struct fault fault;
    enum role role;
    bool yes;
    (void)state;
    fault_init(&fault, &arena);
    user_mongo_place.make(url, sizeof url);
    assert_int_equal(user_mongo_place.open(&config, true, metrics, &fault, &store), ERR_NONE);
    struct account_new founder = account_of("usr_1", "a@b"), later = account_of("usr_2", "c@d");
    struct account account;
    TAKES(1, user_store_shop_is_founded(store, &fault, &yes));
    TAKES(2, user_store_account_insert(store, &founder, &arena, &fault,
                                       &role)); /* the second asks whether it was its own */
    TAKES(1, user_store_account_insert(store, &later, &arena, &fault, &role));
    TAKES(0, user_store_shop_is_founded(store, &fault, &yes));
    TAKES(1, user_store_account_get(store, TEXT("usr_1"), &arena, &fault, &account));
    TAKES(1, user_store_account_find(store, TEXT("a@b"), &arena, &fault, &account));
    struct user_edit edit = {.id = TEXT("usr_1"), .name = TEXT("Other")};
    set_has(user_edit, &edit, name);
    struct account_edit change = {.edit = &edit, .now_ms = NOW};
    TAKES(2, user_store_account_edit(store, &change, &arena, &fault));
    struct denial denial = {.user_id = TEXT("usr_2"), .before = NOW, .expires_at = NOW + 10};
    set_has(denial, &denial, user_id);
    struct role_change up = {.id = TEXT("usr_2"), .role = ROLE_ADMIN, .now_ms = NOW, .denial = &denial};
    assert_int_equal(user_store_account_set_role(store, &up, &arena, &fault), ERR_NONE); /* makes the register */
    up.role = ROLE_CUSTOMER;
    TAKES(7, user_store_account_set_role(store, &up, &arena, &fault));
    struct session session = {.id = TEXT("ses_1"), .user_id = TEXT("usr_1"), .refresh_hash = TEXT("first"),
                              .created_ms = NOW, .used_ms = NOW}, found;
    struct session_move move = {TEXT("ses_1"), TEXT("first"), TEXT("second"), NOW};
    TAKES(1, user_store_session_insert(store, &session, &fault));
    TAKES(2, user_store_session_get(store, TEXT("ses_1"), &arena, &fault, &found));
    TAKES(3, user_store_session_rotate(store, &move, &fault));
    struct token_check check = {.session_id = TEXT("ses_1"), .user_id = TEXT("usr_1"), .issued_at = NOW};
    TAKES(2, user_store_token_good(store, &check, &fault, &yes));
    struct session_end end = {.id = TEXT("ses_1"), .now_ms = NOW, .denial_ends_ms = NOW + 10};
    TAKES(1, user_store_session_end(store, &end, &arena, &fault, &yes));
    user_store_destroy(&store);
    user_mongo_place.drop(url);
    metrics_destroy(&metrics);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verbs_take_few_commands)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
