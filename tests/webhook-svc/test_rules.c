#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "webhook-svc/rules.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static void test_answers(void **state)
{
    (void)state;
    static const int good[] = {200, 201, 202, 204, 299},
                     again[] = {0, 100, 199, 300, 301, 302, 307, 400, 404, 409, 429, 500, 599};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_int_equal(answer_judge(good[i]), VERDICT_GOOD);
    }
    for (size_t i = 0; i < ARRAY_COUNT(again); i++) {
        assert_int_equal(answer_judge(again[i]), VERDICT_AGAIN);
    }
    assert_int_equal(answer_judge(410), VERDICT_GONE);
}

static void test_waits(void **state)
{
    (void)state;
    static const int64_t waits[] = {0,        5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR,
                                    5 * HOUR, 10 * HOUR,  14 * HOUR,  20 * HOUR,   24 * HOUR};
    for (int i = 0; i < WEBHOOK_MAX_TRIES; i++) {
        assert_int_equal(retry_wait_ms(i, 1000), waits[i]);
        assert_int_equal(retry_wait_ms(i, 10), waits[i] / 100);
        assert_int_equal(retry_wait_ms(i, 0), 0);
    }
    assert_int_equal(retry_wait_ms(WEBHOOK_MAX_TRIES, 1000), -1);
    assert_int_equal(retry_wait_ms(1000000, 1000), -1);
}

static void test_what_a_receiver_may_ask_for(void **state)
{
    (void)state;
    enum { DAY_S = 86400 };
    assert_int_equal(answer_quiet_ms(429, 120, DAY_S), 120 * SECOND);
    assert_int_equal(answer_quiet_ms(503, 1, DAY_S), SECOND);
    assert_int_equal(answer_quiet_ms(503, 0, DAY_S), 0);
    assert_int_equal(answer_quiet_ms(429, DAY_S + 1, DAY_S), DAY_S * INT64_C(1000)); /* no longer than that */
    assert_int_equal(answer_quiet_ms(429, INT64_MAX, DAY_S), DAY_S * INT64_C(1000));
    assert_int_equal(answer_quiet_ms(429, 120, 0), 0); /* not listened to */
    static const int others[] = {0, 200, 301, 404, 410, 500, 502};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_int_equal(answer_quiet_ms(others[i], 120, DAY_S), 0);
    }
}

static const struct outcome again = {.verdict = VERDICT_AGAIN, .now_ms = 1000, .permille = 1000};
static const struct outcome gone = {.verdict = VERDICT_GONE, .now_ms = 1000, .permille = 1000};
static const struct outcome taken = {.verdict = VERDICT_GOOD, .now_ms = 1000, .permille = 1000};

static struct delivery_kept delivery_of(const char *type)
{
    struct delivery_kept delivery = {.type = text_of(type), .state = DELIVERY_PENDING, .next_at = 1};
    set_has(delivery_kept, &delivery, next_at);
    return delivery;
}

static void test_a_delivery_ends(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct delivery_attempt attempt = {.at = 7};
    struct delivery_kept delivery = delivery_of("order.placed");
    for (int i = 1; i < WEBHOOK_MAX_TRIES; i++) {
        delivery_note(&delivery, &attempt, &again, &arena);
        assert_int_equal(delivery.state, DELIVERY_PENDING);
        assert_int_equal(delivery.tries, i);
        assert_true(has(delivery_kept, &delivery, next_at));
        assert_int_equal(delivery.next_at, 1000 + retry_wait_ms(i, 1000));
    }
    delivery_note(&delivery, &attempt, &again, &arena);
    assert_int_equal(delivery.state, DELIVERY_FAILED);
    assert_false(has(delivery_kept, &delivery, next_at));
    delivery = delivery_of("order.placed");
    delivery_note(&delivery, &attempt, &gone, &arena);
    assert_int_equal(delivery.state, DELIVERY_FAILED);
    delivery = delivery_of("order.placed");
    delivery_note(&delivery, &attempt, &taken, &arena);
    assert_int_equal(delivery.state, DELIVERY_DELIVERED);
    assert_false(has(delivery_kept, &delivery, next_at));
    delivery = delivery_of(WEBHOOK_TEST_TYPE);
    delivery_note(&delivery, &attempt, &again, &arena);
    assert_int_equal(delivery.state, DELIVERY_FAILED); /* a test is tried once */
    arena_release(&arena);
}

static void test_waits_are_spread_and_asked_for(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct delivery_attempt attempt = {.at = 7};
    struct delivery_kept delivery = delivery_of("order.placed");
    struct outcome outcome = again;
    outcome.random = 1000; /* of 5 s, 1 s more at most */
    delivery_note(&delivery, &attempt, &outcome, &arena);
    assert_int_equal(delivery.next_at, 1000 + 6 * SECOND);
    outcome.random = 0;
    outcome.quiet_ms = MINUTE; /* 5 min are due: that is longer */
    delivery_note(&delivery, &attempt, &outcome, &arena);
    assert_int_equal(delivery.next_at, 1000 + 5 * MINUTE);
    outcome.quiet_ms = 2 * HOUR; /* longer than the 30 min that are due */
    delivery_note(&delivery, &attempt, &outcome, &arena);
    assert_int_equal(delivery.next_at, 1000 + 2 * HOUR);
    delivery.tries = WEBHOOK_MAX_TRIES - 1;
    delivery_note(&delivery, &attempt, &outcome, &arena);
    assert_int_equal(delivery.state, DELIVERY_FAILED); /* asking for time is no other end */
    arena_release(&arena);
}

static void test_a_webhook_is_left_alone(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct webhook_kept webhook = {.active = true};
    struct delivery_kept pending = delivery_of("order.placed"), test = delivery_of(WEBHOOK_TEST_TYPE);
    struct outcome outcome = again, later = taken;
    test.state = DELIVERY_FAILED;
    assert_true(webhook_listens(&webhook, 1000));
    outcome.quiet_ms = 500;
    assert_true(webhook_note(&webhook, &pending, &outcome, 2, &arena));
    assert_false(webhook_listens(&webhook, 1499));
    assert_true(webhook_listens(&webhook, 1500));
    outcome.quiet_ms = 400;
    assert_false(webhook_note(&webhook, &pending, &outcome, 2, &arena)); /* it stays with the longer one */
    assert_int_equal(webhook.quiet_until, 1500);
    outcome.quiet_ms = 900;
    assert_true(webhook_note(&webhook, &test, &outcome, 2, &arena)); /* a test may be answered so, too */
    assert_int_equal(webhook.quiet_until, 1900);
    assert_int_equal(webhook.failures, 0);
    assert_false(webhook_note(&webhook, &pending, &later, 2, &arena)); /* begun before it had asked */
    assert_false(webhook_listens(&webhook, 1000));
    later.now_ms = 1900;
    assert_true(webhook_note(&webhook, &pending, &later, 2, &arena));
    assert_false(has(webhook_kept, &webhook, quiet_until));
    webhook.active = false;
    assert_false(webhook_listens(&webhook, 5000));
    arena_release(&arena);
}

static void test_the_newest_attempts_are_kept(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct delivery_kept delivery = delivery_of("order.placed");
    for (int i = 0; i < WEBHOOK_MAX_ATTEMPTS_KEPT + 5; i++) {
        struct delivery_attempt attempt = {.at = i};
        delivery_note(&delivery, &attempt, &taken, &arena);
    }
    assert_int_equal(delivery.attempts.count, WEBHOOK_MAX_ATTEMPTS_KEPT);
    for (uint32_t i = 0; i < delivery.attempts.count; i++) {
        assert_int_equal(delivery.attempts.items[i].at, i + 5);
    }
    arena_release(&arena);
}

static void test_a_webhook_is_stopped(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct webhook_kept webhook = {.active = true};
    struct delivery_kept pending = delivery_of("order.placed"), failed = pending, test = delivery_of(WEBHOOK_TEST_TYPE);
    failed.state = test.state = DELIVERY_FAILED;
    assert_false(webhook_note(&webhook, &pending, &again, 2, &arena)); /* it will be tried again */
    assert_false(webhook_note(&webhook, &test, &again, 2, &arena));
    assert_true(webhook_note(&webhook, &failed, &again, 2, &arena));
    assert_true(webhook.active);
    assert_true(webhook_note(&webhook, &failed, &taken, 2, &arena)); /* counts in a row */
    assert_false(webhook_note(&webhook, &failed, &taken, 2, &arena));
    assert_int_equal(webhook.failures, 0);
    assert_true(webhook_note(&webhook, &failed, &again, 2, &arena));
    assert_true(webhook_note(&webhook, &failed, &again, 2, &arena));
    assert_false(webhook.active);
    assert_true(has(webhook_kept, &webhook, stopped));
    assert_true(text_is(webhook.stopped, "2 deliveries in a row were given up."));
    webhook = (struct webhook_kept){.active = true};
    for (int i = 0; i < 50; i++) {
        assert_true(webhook_note(&webhook, &failed, &again, 0, &arena));
    }
    assert_true(webhook.active);
    assert_true(webhook_note(&webhook, &failed, &gone, 0, &arena));
    assert_false(webhook.active);
    arena_release(&arena);
}

static void test_types(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct fault fault;
    struct text items[] = {TEXT("order.*"), TEXT("Order"), TEXT("*"), TEXT("a..b"), TEXT("foo.*")};
    struct text_list list = {items, ARRAY_COUNT(items)}, good = {items, 1};
    fault_init(&fault, &arena);
    assert_int_equal(types_check(&good, &fault), ERR_NONE);
    assert_int_equal(types_check(&list, &fault), ERR_INVALID_BODY);
    assert_int_equal(fault.item_count, 3);
    assert_true(text_is(fault.items[0].pointer, "/types/1"));
    assert_true(text_is(fault.items[1].pointer, "/types/3"));
    assert_true(text_is(fault.items[2].pointer, "/types/4"));
    assert_true(text_is(fault.items[2].message, "matches no type of events; there are order.*, user.*, product.*"));
    arena_release(&arena);
}

static struct webhook_kept keyed(struct webhook_key *keys, uint32_t count)
{
    struct webhook_kept webhook = {0};
    webhook.keys.items = keys;
    webhook.keys.count = count;
    return webhook;
}

/* The example of the specification (standardwebhooks' own test vector). */
static void test_a_known_signature(void **state)
{
    (void)state;
    char out[SIGNATURES_SIZE];
    struct webhook_key key = {.secret = TEXT("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")};
    struct webhook_kept webhook = keyed(&key, 1);
    assert_int_equal(signatures_make(&webhook, TEXT("msg_p5jXN8AQM9LWM0D4loKWxJek"), INT64_C(1614265330) * 1000 + 999,
                                     TEXT("{\"test\": 2432232314}"), out),
                     ERR_NONE);
    assert_string_equal(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void test_keys_overlap(void **state)
{
    (void)state;
    struct arena arena = {0};
    char secrets[8][SECRET_SIZE], before[SIGNATURES_SIZE], after[SIGNATURES_SIZE];
    uint8_t bytes[SECRET_BYTES] = {0};
    struct webhook_key first = {0};
    struct webhook_kept webhook = keyed(&first, 1);
    for (int i = 0; i < 8; i++) {
        bytes[0] = (uint8_t)i;
        secret_make(bytes, secrets[i]);
    }
    first.secret = text_of(secrets[0]);
    assert_int_equal(signatures_make(&webhook, TEXT("id"), 1000, TEXT("body"), before), ERR_NONE);
    struct webhook_key next = {.secret = text_of(secrets[1])};
    keys_rotate(&webhook, &next, 1000, 500, &arena);
    assert_int_equal(webhook.keys.count, 2);
    assert_int_equal(signatures_make(&webhook, TEXT("id"), 1499, TEXT("body"), after), ERR_NONE);
    assert_string_equal(strchr(after, ' ') + 1, before); /* the newest first, the old one beside it */
    assert_int_equal(signatures_make(&webhook, TEXT("id"), 1500, TEXT("body"), after), ERR_NONE);
    assert_null(strchr(after, ' '));
    assert_string_not_equal(after, before);
    for (int i = 2; i < 8; i++) {
        next.secret = text_of(secrets[i]);
        keys_rotate(&webhook, &next, 1600, 1000, &arena);
    }
    assert_int_equal(webhook.keys.count, WEBHOOK_MAX_KEYS);
    assert_true(text_is(webhook.keys.items[0].secret, secrets[7]));
    assert_false(has(webhook_key, &webhook.keys.items[0], until));
    assert_int_equal(signatures_make(&webhook, TEXT("id"), 1700, TEXT("body"), after), ERR_NONE);
    assert_int_equal(strlen(after), WEBHOOK_MAX_KEYS * 48 - 1);
    arena_release(&arena);
}

static void test_bad_secrets_sign_nothing(void **state)
{
    (void)state;
    char out[SIGNATURES_SIZE];
    static const char *const bad[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%",
                                      "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct webhook_key key = {.secret = text_of(bad[i])};
        struct webhook_kept webhook = keyed(&key, 1);
        if (signatures_make(&webhook, TEXT("id"), 0, TEXT("body"), out) != ERR_INTERNAL) {
            fail_msg("%s signs", bad[i]);
        }
    }
    struct webhook_kept none = keyed(NULL, 0);
    assert_int_equal(signatures_make(&none, TEXT("id"), 0, TEXT("body"), out), ERR_INTERNAL);
}

static void test_bodies(void **state)
{
    (void)state;
    struct buffer out;
    struct webhook_ping ping = {.webhook_id = TEXT("whk_\"1")};
    buffer_init(&out, 200);
    assert_true(body_write(TEXT("webhook.test"), 1, &webhook_ping_record, &ping, &out));
    assert_true(text_is(buffer_text(&out), "{\"type\":\"webhook.test\",\"timestamp\":\"1970-01-01T00:00:00.001Z\","
                                           "\"data\":{\"webhook_id\":\"whk_\\\"1\"}}"));
    buffer_release(&out);
    buffer_init(&out, 60);
    assert_false(body_write(TEXT("webhook.test"), 1, &webhook_ping_record, &ping, &out));
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),          cmocka_unit_test(test_waits),
        cmocka_unit_test(test_what_a_receiver_may_ask_for), cmocka_unit_test(test_waits_are_spread_and_asked_for),
        cmocka_unit_test(test_a_webhook_is_left_alone),
        cmocka_unit_test(test_a_delivery_ends),  cmocka_unit_test(test_the_newest_attempts_are_kept),
        cmocka_unit_test(test_a_webhook_is_stopped), cmocka_unit_test(test_types),
        cmocka_unit_test(test_a_known_signature), cmocka_unit_test(test_keys_overlap),
        cmocka_unit_test(test_bad_secrets_sign_nothing), cmocka_unit_test(test_bodies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
