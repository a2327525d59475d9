#include "tests/gateway/check.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "gateway/auth.h"
#include "lib/base/clock.h"
#include "tests/gateway/jwt_maker.h"

/* A user-svc of this test's own. */
struct world {
    struct jwt_maker *maker, *newer;
    struct auth *auth;
    struct arena arena;
    struct fault fault;
    int64_t silence_ms;
    bool knows_newer, distrusts, down, good, misses;
    int keys_count, denials_count, check_count;
    struct denial denial;
    bool denied;
    atomic_int begun;
};

static enum err keys_get(void *user, struct arena *arena, struct fault *fault, struct signing_keys *out)
{
    struct world *w = user;
    w->keys_count++;
    if (w->down) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    struct signing_key *list = arena_alloc(arena, 2 * sizeof *list);
    list[0] = jwt_maker_key(w->maker);
    list[1] = jwt_maker_key(w->newer);
    if (w->distrusts) {
        list[0] = list[1];
    }
    *out = (struct signing_keys){.issuer = TEXT("zmart")};
    out->keys.items = list;
    out->keys.count = w->knows_newer ? 2 : 1;
    return ERR_NONE;
}

static enum err denials_get(void *user, struct arena *arena, struct fault *fault, struct denial_list *out)
{
    struct world *w = user;
    (void)arena;
    w->denials_count++;
    if (w->down) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    *out = (struct denial_list){0};
    out->denials.items = &w->denial;
    out->denials.count = w->denied;
    if (w->misses) { /* while the answer is on its way */
        auth_missed_events(w->auth);
    }
    return ERR_NONE;
}

static enum err check_get(void *user, const struct token_check *ask, struct fault *fault, bool *out_good)
{
    struct world *w = user;
    assert_true(text_is(ask->user_id, "usr_1"));
    w->check_count++;
    if (w->down) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    *out_good = w->good;
    return ERR_NONE;
}

static int64_t silence_get(void *user)
{
    struct world *w = user;
    return w->silence_ms;
}

static int begin(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    w->maker = jwt_maker_new("k1");
    w->newer = jwt_maker_new("k2");
    w->good = true;
    fault_init(&w->fault, &w->arena);
    struct auth_source source = {keys_get, denials_get, check_get, silence_get, w};
    struct auth_settings settings = {.token_count = 100, .leeway_s = 5, .silence_ms = 3000, .refetch_ms = 0};
    w->auth = auth_new(&source, &settings);
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    auth_destroy(&w->auth);
    jwt_maker_destroy(&w->maker);
    jwt_maker_destroy(&w->newer);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static struct text token_by(struct world *w, const struct jwt_maker *maker, const char *session, int64_t at_ms)
{
    char header[200], payload[500];
    long long now_s = clock_wall_ms() / 1000;
    struct signing_key key = jwt_maker_key(maker);
    snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"%.*s\"}", TEXT_ARG(key.kid));
    snprintf(
        payload, sizeof payload,
        "{\"iss\":\"zmart\",\"aud\":\"zmart\",\"sub\":\"usr_1\",\"role\":\"customer\",\"sid\":\"%s\",\"jti\":\"j\","
        "\"iat\":%lld,\"exp\":%lld,\"at\":%lld}",
        session, now_s - 10, now_s + 900, (long long)at_ms);
    return jwt_make(maker, header, payload, &w->arena);
}

static enum err check(struct world *w, struct text token)
{
    struct identity who;
    enum err e = auth_check(w->auth, token, clock_wall_ms(), &w->arena, &w->fault, &who);
    if (e == ERR_NONE) {
        assert_true(text_is(who.user_id, "usr_1"));
        assert_int_equal(who.role, ROLE_CUSTOMER);
    }
    return e;
}

static void test_checks_and_remembers(void **state)
{
    struct world *w = *state;
    struct text token = token_by(w, w->maker, "ses_1", 1000);
    assert_false(auth_ready(w->auth));
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_true(auth_ready(w->auth));
    assert_false(auth_knows(w->auth, token, clock_wall_ms()));
    assert_int_equal(check(w, token), ERR_NONE);
    assert_true(auth_knows(w->auth, token, clock_wall_ms()));
    assert_int_equal(check(w, token), ERR_NONE);
    /* remembered, but not beyond its end */
    struct identity who;
    assert_int_equal(auth_check(w->auth, token, clock_wall_ms() + 1000 * 1000, &w->arena, &w->fault, &who),
                     ERR_UNAUTHENTICATED);
}

static void test_without_keys_nothing_is_good(void **state)
{
    struct world *w = *state;
    w->down = true;
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(check(w, token_by(w, w->maker, "ses_1", 1000)), ERR_SERVICE_UNAVAILABLE);
}

static void test_unknown_kid_fetches_keys(void **state)
{
    struct world *w = *state;
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_int_equal(check(w, token_by(w, w->newer, "ses_1", 1000)), ERR_UNAUTHENTICATED);
    w->knows_newer = true;
    int before = w->keys_count;
    assert_int_equal(check(w, token_by(w, w->newer, "ses_1", 1000)), ERR_NONE);
    assert_int_equal(w->keys_count, before + 1);
    assert_int_equal(check(w, token_by(w, w->maker, "ses_1", 1000)), ERR_NONE);
    assert_int_equal(w->keys_count, before + 1);
}

static void test_distrusted_keys_are_out_at_once(void **state)
{
    struct world *w = *state;
    struct text old = token_by(w, w->maker, "ses_1", 1000), new = token_by(w, w->newer, "ses_1", 2000);
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_int_equal(check(w, old), ERR_NONE);
    assert_true(auth_knows(w->auth, old, clock_wall_ms()));
    w->knows_newer = true; /* a successor beside it is no distrust, */
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_false(auth_take_distrust(w->auth));
    assert_int_equal(check(w, old), ERR_NONE);
    w->distrusts =
        true; /* nor is the end of an old one whose successor is known: its tokens have expired long before */
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_false(auth_take_distrust(w->auth));
    assert_int_equal(check(w, new), ERR_NONE);
    w->knows_newer = w->distrusts = false;
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE); /* none of the keys before */
    assert_true(auth_take_distrust(w->auth));
    assert_false(auth_take_distrust(w->auth)); /* told once */
    assert_false(auth_knows(w->auth, new, clock_wall_ms()));
    assert_int_equal(check(w, new), ERR_UNAUTHENTICATED);
    assert_int_equal(check(w, old), ERR_NONE);
    w->down = true; /* who cannot ask goes on with what it has */
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_SERVICE_UNAVAILABLE);
    assert_false(auth_take_distrust(w->auth));
    assert_int_equal(check(w, old), ERR_NONE);
}

static struct denial denial_of(const char *session, const char *user, int64_t before_ms)
{
    struct denial denial = {.before = before_ms, .expires_at = clock_wall_ms() + 3600 * 1000};
    if (session) {
        denial.session_id = text_of(session);
        set_has(denial, &denial, session_id);
    }
    if (user) {
        denial.user_id = text_of(user);
        set_has(denial, &denial, user_id);
    }
    return denial;
}

static void test_ended_sessions_are_refused_at_once(void **state)
{
    struct world *w = *state;
    struct text one = token_by(w, w->maker, "ses_1", 1000), two = token_by(w, w->maker, "ses_2", 1000);
    struct text later = token_by(w, w->maker, "ses_3", 3000);
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_int_equal(check(w, one), ERR_NONE);
    struct denial denial = denial_of("ses_1", NULL, 0);
    auth_deny(w->auth, &denial);
    assert_int_equal(check(w, one), ERR_UNAUTHENTICATED);
    assert_int_equal(check(w, two), ERR_NONE);
    denial = denial_of(NULL, "usr_1", 2000);
    denial.except_session_id = TEXT("ses_2");
    set_has(denial, &denial, except_session_id);
    auth_deny(w->auth, &denial);
    assert_int_equal(check(w, two), ERR_NONE);
    denial = denial_of(NULL, "usr_1", 2000);
    auth_deny(w->auth, &denial);
    assert_int_equal(check(w, two), ERR_UNAUTHENTICATED);
    assert_int_equal(check(w, later), ERR_NONE);
    assert_true(auth_is_denied(w->auth, TEXT("usr_1"), TEXT("x"), 2000));
    assert_false(auth_is_denied(w->auth, TEXT("usr_1"), TEXT("x"), 2001));
    assert_false(auth_is_denied(w->auth, TEXT("usr_2"), TEXT("x"), 2000));
}

static void test_denials_are_loaded(void **state)
{
    struct world *w = *state;
    w->denial = denial_of("ses_1", NULL, 0);
    w->denied = true;
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    assert_int_equal(check(w, token_by(w, w->maker, "ses_1", 1000)), ERR_UNAUTHENTICATED);
}

static void test_silence_asks_for_each_token(void **state)
{
    struct world *w = *state;
    struct text one = token_by(w, w->maker, "ses_1", 1000), two = token_by(w, w->maker, "ses_2", 1000);
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    w->silence_ms = 3001;
    assert_int_equal(check(w, one), ERR_NONE);
    assert_int_equal(w->check_count, 1);
    assert_int_equal(check(w, one), ERR_NONE); /* within the same second */
    assert_int_equal(w->check_count, 1);
    w->good = false;
    assert_int_equal(check(w, two), ERR_UNAUTHENTICATED);
    w->down = true;
    assert_int_equal(check(w, two), ERR_SERVICE_UNAVAILABLE);
    /* heard again, but what was said meanwhile is not known until the denials were loaded */
    w->silence_ms = 0;
    assert_true(auth_is_stale(w->auth));
    assert_int_equal(check(w, two), ERR_SERVICE_UNAVAILABLE);
    w->down = false;
    assert_int_equal(auth_reload_denials(w->auth, &w->fault), ERR_NONE);
    assert_false(auth_is_stale(w->auth));
    assert_int_equal(check(w, two), ERR_NONE);
}

/* A session may have ended after user-svc has listed the denials. */
static void test_what_is_missed_while_denials_come_is_not_forgotten(void **state)
{
    struct world *w = *state;
    struct text token = token_by(w, w->maker, "ses_1", 1000);
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    auth_missed_events(w->auth);
    w->misses = true;
    assert_int_equal(auth_reload_denials(w->auth, &w->fault), ERR_NONE);
    w->misses = false;
    assert_true(auth_is_stale(w->auth));
    w->good = false;
    assert_int_equal(check(w, token), ERR_UNAUTHENTICATED);
    assert_int_equal(auth_reload_denials(w->auth, &w->fault), ERR_NONE);
    assert_false(auth_is_stale(w->auth));
}

static void *load_later(void *argument)
{
    struct world *w = argument;
    struct fault fault;
    fault_init(&fault, NULL);
    while (atomic_load(&w->begun) == 0) {
        sched_yield();
    }
    (void)poll(NULL, 0, 50);
    return auth_load(w->auth, &fault) == ERR_NONE ? NULL : w;
}

static void test_a_token_waits_for_the_first_keys(void **state)
{
    struct world *w = *state;
    struct auth_source source = {keys_get, denials_get, check_get, silence_get, w};
    struct auth_settings settings = {
        .token_count = 100, .leeway_s = 5, .silence_ms = 3000, .refetch_ms = 100000, .ready_ms = 60000};
    struct text token = token_by(w, w->maker, "ses_1", 1000);
    pthread_t thread;
    void *failed;
    auth_destroy(&w->auth);
    w->auth = auth_new(&source, &settings);
    assert_int_equal(pthread_create(&thread, NULL, load_later, w), 0);
    atomic_store(&w->begun, 1);
    assert_int_equal(check(w, token), ERR_NONE);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(w->keys_count, 1); /* it has not asked itself */
    auth_destroy(&w->auth);
    settings.ready_ms = 30;
    w->auth = auth_new(&source, &settings);
    w->down = true;
    assert_int_equal(check(w, token), ERR_SERVICE_UNAVAILABLE);
}

struct waiting {
    struct world *w;
    struct text token;
    struct arena arena;
    pthread_t thread;
};
static atomic_int refused_count, admitted_count;

static void *check_early(void *argument)
{
    struct waiting *one = argument;
    struct fault fault;
    struct identity who;
    fault_init(&fault, &one->arena);
    enum err e = auth_check(one->w->auth, one->token, clock_wall_ms(), &one->arena, &fault, &who);
    atomic_fetch_add(e == ERR_NONE ? &admitted_count : &refused_count, 1);
    return NULL;
}

/* Of all that come before the first keys some wait; the others are told at once, and keep no thread. */
static void test_so_many_wait_for_the_first_keys(void **state)
{
    enum { CROWD = AUTH_WAITING_MAX + 1 };
    struct world *w = *state;
    struct auth_source source = {keys_get, denials_get, check_get, silence_get, w};
    struct auth_settings settings = {
        .token_count = 100, .leeway_s = 5, .silence_ms = 3000, .refetch_ms = INT32_MAX, .ready_ms = INT32_MAX};
    struct waiting *crowd = mem_alloc(CROWD * sizeof *crowd);
    auth_destroy(&w->auth);
    w->auth = auth_new(&source, &settings);
    struct text token = token_by(w, w->maker, "ses_1", 1000);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct waiting){.w = w, .token = token};
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, check_early, &crowd[i]), 0);
    }
    while (atomic_load(&refused_count) == 0) {
        (void)poll(NULL, 0, 5);
    }
    assert_int_equal(auth_load(w->auth, &w->fault), ERR_NONE);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(pthread_join(crowd[i].thread, NULL), 0);
        arena_release(&crowd[i].arena);
    }
    assert_int_equal(atomic_load(&refused_count), 1);
    assert_int_equal(atomic_load(&admitted_count), AUTH_WAITING_MAX);
    mem_free(crowd);
}

static void test_bearer(void **state)
{
    static const struct {
        const char *header, *token; /* NULL: refused */
    } all[] = {{"Bearer abc", "abc"}, {"bearer abc", "abc"}, {"Bearer", NULL}, {"Bearer ", NULL},
               {"Basic abc", NULL},   {"Bearer a b", NULL},  {"", NULL},       {"Bearerabc", NULL},
               {"Bearer\tabc", NULL}};
    struct world *w = *state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct text token;
        enum err e = auth_bearer(text_of(all[i].header), &w->fault, &token);
        assert_int_equal(e, all[i].token ? ERR_NONE : ERR_UNAUTHENTICATED);
        assert_true(!all[i].token || text_is(token, all[i].token));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_checks_and_remembers, begin, end),
        cmocka_unit_test_setup_teardown(test_without_keys_nothing_is_good, begin, end),
        cmocka_unit_test_setup_teardown(test_unknown_kid_fetches_keys, begin, end),
        cmocka_unit_test_setup_teardown(test_distrusted_keys_are_out_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_ended_sessions_are_refused_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_denials_are_loaded, begin, end),
        cmocka_unit_test_setup_teardown(test_silence_asks_for_each_token, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_missed_while_denials_come_is_not_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(test_a_token_waits_for_the_first_keys, begin, end),
        cmocka_unit_test_setup_teardown(test_so_many_wait_for_the_first_keys, begin, end),
        cmocka_unit_test_setup_teardown(test_bearer, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
