/* What the pool does with one job: in which order, with which delays, and what it leaves out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "user-svc/job.h"

static const struct attempt_policy policy = {2, 60000};

struct bench {
    struct user_shared shared;
    struct metrics *metrics;
    struct token_key key;
    char hash[PASSWORD_HASH_SIZE];
};

static int bench_open(void **state)
{
    struct bench *bench = mem_alloc(sizeof *bench);
    assert_true(password_start());
    bench->metrics = metrics_new();
    bench->shared.password_cost = (struct password_cost){64, 1};
    bench->shared.throttle = throttle_new(&policy);
    bench->shared.hash_time = metrics_get(bench->metrics, METRIC_TIME, "zmart_hash_seconds", "", "Time.");
    password_dummy(&bench->shared.password_cost, bench->shared.dummy_hash);
    assert_true(token_key_make(&bench->key));
    bench->shared.keyring = keyring_new(&(struct key_policy){.lead_ms = 1000});
    struct key_row row = {.generation = 1,
                          .shown = {.kid = text_of(bench->key.kid)},
                          .private_pem = text_of(bench->key.private_pem)};
    struct fault fault;
    fault_init(&fault, NULL);
    assert_int_equal(keyring_take(bench->shared.keyring, &(struct key_rows){&row, 1}, 0, &fault), ERR_NONE);
    assert_true(password_hash(&bench->shared.password_cost, TEXT("password"), bench->hash));
    *state = bench;
    return 0;
}

static int bench_close(void **state)
{
    struct bench *bench = *state;
    keyring_destroy(&bench->shared.keyring);
    throttle_destroy(&bench->shared.throttle);
    metrics_destroy(&bench->metrics);
    mem_free(bench);
    return 0;
}

static void job_make(struct bench *bench, const char *password, struct job *out)
{
    memset(out, 0, sizeof *out);
    out->shared = &bench->shared;
    out->deadline_ms = clock_now_ms() + 60000;
    out->verify = true;
    out->password = text_of(password);
    out->limit_name = TEXT("a@b.de");
    memcpy(out->known_hash, bench->hash, sizeof bench->hash);
    out->claims = (struct token_claims){
        .issuer = "zmart", .user_id = "usr_1", .session_id = "ses_1", .at_ms = 1000, .ttl_s = 900};
    out->roles[0] = ROLE_CUSTOMER;
    out->roles[1] = ROLE_ADMIN;
    out->token_count = 2;
}

static void the_right_password_gets_its_tokens(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    job_make(bench, "password", job);
    job_run(job);
    assert_int_equal(job->outcome, ERR_NONE);
    assert_int_equal(job->fresh_hash[0], 0);
    assert_true(job->tokens[0][0] && job->tokens[1][0]);
    assert_string_not_equal(job->tokens[0], job->tokens[1]);
    mem_free(job);
}

static void the_wrong_one_gets_nothing(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    job_make(bench, "passwort", job);
    job->hash = true;
    job->new_password = TEXT("password2");
    job_run(job);
    assert_int_equal(job->outcome, ERR_BAD_CREDENTIALS);
    assert_int_equal(job->tokens[0][0], 0);
    assert_int_equal(job->fresh_hash[0], 0);
    mem_free(job);
}

static void an_unknown_account_costs_a_hash_and_fails(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    job_make(bench, "password", job);
    job->known_hash[0] = '\0';
    job_run(job);
    assert_int_equal(job->outcome, ERR_BAD_CREDENTIALS);
    int64_t hash_count = 0;
    for (int i = 0; i < METRIC_BUCKET_COUNT; i++) {
        hash_count += atomic_load(&bench->shared.hash_time->buckets[i]);
    }
    assert_int_equal(hash_count, 1);
    mem_free(job);
}

static void too_early_an_attempt_is_not_even_looked_at(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    for (int i = 0; i < 12; i++) { /* the delay has outgrown this test by then */
        throttle_fail(bench->shared.throttle, TEXT("a@b.de"), clock_now_ms());
    }
    job_make(bench, "password", job);
    job_run(job);
    assert_int_equal(job->outcome, ERR_RATE_LIMITED);
    assert_true(job->wait_ms > 0 && job->wait_ms <= 60000);
    job->limit_name = TEXT("c@d.de");
    job_run(job);
    assert_int_equal(job->outcome, ERR_NONE);
    mem_free(job);
}

static void success_forgets_failures(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 2; i++) {
            job_make(bench, "passwort", job);
            job_run(job);
            assert_int_equal(job->outcome, ERR_BAD_CREDENTIALS);
        }
        job_make(bench, "password", job);
        job_run(job);
        assert_int_equal(job->outcome, ERR_NONE);
    }
    mem_free(job);
}

static void a_dated_hash_is_renewed(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    bench->shared.password_cost = (struct password_cost){128, 2};
    job_make(bench, "password", job);
    job_run(job);
    assert_int_equal(job->outcome, ERR_NONE);
    assert_true(password_verify(TEXT("password"), job->fresh_hash));
    assert_false(password_is_dated(&bench->shared.password_cost, job->fresh_hash));
    mem_free(job);
}

static void what_came_too_late_is_not_begun(void **state)
{
    struct bench *bench = *state;
    struct job *job = mem_alloc(sizeof *job);
    job_make(bench, "passwort", job);
    job->deadline_ms = clock_now_ms();
    job_run(job);
    assert_int_equal(job->outcome, ERR_EXPIRED);
    assert_int_equal(throttle_wait_ms(bench->shared.throttle, TEXT("a@b.de"), clock_now_ms()), 0);
    mem_free(job);
}

#define ON_BENCH(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(the_right_password_gets_its_tokens),    ON_BENCH(the_wrong_one_gets_nothing),
        ON_BENCH(an_unknown_account_costs_a_hash_and_fails), ON_BENCH(too_early_an_attempt_is_not_even_looked_at),
        ON_BENCH(success_forgets_failures),              ON_BENCH(a_dated_hash_is_renewed),
        ON_BENCH(what_came_too_late_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
