/* The promises about requests, each by itself. */
#include "tests/broker/harness.h"

#include "proto/fault.h"

struct shop {
    struct harness h;
    uint32_t client, worker; /* epochs of "c" and "w" */
};

static void shop_open(struct shop *shop, const char *services)
{
    harness_init(&shop->h);
    harness_start(&shop->h);
    shop->client = say_hello(&shop->h, PLANE_CLIENTS, "c", "");
    shop->worker = say_hello(&shop->h, PLANE_WORKERS, "w", services);
}

static void ask(struct shop *shop, uint64_t corr, const char *route, uint8_t flags, uint8_t priority)
{
    struct frame_head head = head_of(&shop->h, FRAME_REQUEST, shop->client, corr);
    head.flags = flags;
    head.priority = priority;
    send_request(&shop->h, "c", &head, route);
}

static void bye(struct shop *shop, const char *id, uint32_t epoch)
{
    struct frame_head head = head_of(&shop->h, FRAME_BYE, epoch, 0);
    send_frame(&shop->h, PLANE_WORKERS, id, &head, NULL, 0);
}

static void test_a_request_is_answered(void **state)
{
    (void)state;
    struct shop shop;
    struct text parts[PARCEL_MAX_PARTS];
    shop_open(&shop, "echo:2");
    ask(&shop, 42, "echo.say", FRAME_REPEATABLE, 1);
    shop.h.now_us += 3 * MS;
    struct frame_head head = expect_frame(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST, parts);
    assert_true(text_is(parts[0], "echo.say") && text_is(parts[2], "body"));
    assert_int_equal(head.epoch, shop.worker);
    assert_int_equal(head.attempt, 1);
    assert_int_equal(head.budget_ms, 5000);
    assert_int_equal(head.flags, FRAME_REPEATABLE);
    assert_int_not_equal(head.corr, 42);
    send_reply(&shop.h, "w", shop.worker, head.corr);
    struct frame_head answer = expect_frame(&shop.h, PLANE_CLIENTS, "c", FRAME_REPLY, parts);
    assert_int_equal(answer.corr, 42);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.epoch, shop.client);
    assert_memory_equal(answer.request_id, head.request_id, ID_SIZE);
    assert_true(text_is(parts[1], "answer"));
    send_reply(&shop.h, "w", shop.worker, head.corr);
    expect_nothing(&shop.h);
    assert_int_equal(broker_counts(shop.h.broker).late, 1);
    harness_release(&shop.h);
}

static void test_a_worker_answers_only_what_it_was_given(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    uint32_t other = say_hello(&shop.h, PLANE_WORKERS, "v", "other:1");
    ask(&shop, 1, "echo.say", 0, 1);
    struct frame_head head = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    send_reply(&shop.h, "v", other, head.corr);
    send_reply(&shop.h, "w", shop.worker, head.corr + 1);
    expect_nothing(&shop.h);
    send_reply(&shop.h, "w", shop.worker, head.corr);
    expect(&shop.h, PLANE_CLIENTS, "c", FRAME_REPLY);
    harness_release(&shop.h);
}

static void test_credit_bounds_and_idlest_first(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:1");
    uint32_t big = say_hello(&shop.h, PLANE_WORKERS, "v", "echo:3");
    for (uint64_t i = 1; i <= 5; i++) {
        ask(&shop, i, "echo.say", 0, 1);
    }
    struct frame_head first = expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST); /* a tie: the one used longest ago */
    expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    expect_nothing(&shop.h);
    send_reply(&shop.h, "v", big, first.corr);
    expect(&shop.h, PLANE_CLIENTS, "c", FRAME_REPLY);
    struct frame_head fifth = expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    assert_int_equal(fifth.request_id[0], 5);
    harness_release(&shop.h);
}

static void test_a_key_stays_with_its_worker(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    say_hello(&shop.h, PLANE_WORKERS, "v", "echo:9");
    ask(&shop, 1, "echo.say#Key", 0, 1);
    expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    struct frame_head head = head_of(&shop.h, FRAME_CREDIT, 0, 0);
    head.epoch = shop.worker;
    head.credit = 100;
    send_frame(&shop.h, PLANE_WORKERS, "w", &head, NULL, 0);
    ask(&shop, 2, "echo.say#Key", 0, 1);
    expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    ask(&shop, 3, "echo.say#other", 0, 1);
    expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    harness_release(&shop.h);
}

static void test_priorities_and_shedding(void **state)
{
    (void)state;
    struct shop shop;
    harness_init(&shop.h);
    shop.h.settings.queue.count = 3;
    harness_start(&shop.h);
    shop.client = say_hello(&shop.h, PLANE_CLIENTS, "c", "");
    shop.worker = say_hello(&shop.h, PLANE_WORKERS, "w", "echo:1");
    ask(&shop, 1, "echo.say", 0, 0);
    struct frame_head begun = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    ask(&shop, 2, "echo.say", 0, 0);
    ask(&shop, 3, "echo.say", 0, 1);
    ask(&shop, 4, "echo.say", FRAME_SERVICE, 0);
    expect_nothing(&shop.h);
    ask(&shop, 5, "echo.say", 0, 0); /* nothing is lower than this one */
    expect_nack(&shop.h, "c", 5, 429);
    ask(&shop, 6, "echo.say", 0, 2); /* 2 is lower; 4 is a service's */
    expect_nack(&shop.h, "c", 2, 429);
    for (uint64_t i = 7; i <= 11; i++) {
        ask(&shop, i, "echo.say", FRAME_SERVICE, 3); /* two make others go, three fit in twice the limit */
    }
    expect_nack(&shop.h, "c", 3, 429);
    expect_nack(&shop.h, "c", 6, 429);
    expect_nothing(&shop.h);
    ask(&shop, 12, "echo.say", FRAME_SERVICE, 3);
    expect_nack(&shop.h, "c", 12, 429);
    send_reply(&shop.h, "w", shop.worker, begun.corr);
    expect(&shop.h, PLANE_CLIENTS, "c", FRAME_REPLY);
    assert_int_equal(expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST).request_id[0], 7);
    harness_release(&shop.h);
}

static void test_bytes_and_age_are_bounds_too(void **state)
{
    (void)state;
    struct shop shop;
    harness_init(&shop.h);
    shop.h.settings.queue.size = 30; /* a request here is 13 bytes */
    shop.h.settings.queue.age_us = 300 * MS;
    harness_start(&shop.h);
    shop.client = say_hello(&shop.h, PLANE_CLIENTS, "c", "");
    shop.worker = say_hello(&shop.h, PLANE_WORKERS, "w", "echo:1");
    ask(&shop, 1, "echo.say", 0, 1);
    expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    ask(&shop, 2, "echo.say", 0, 1);
    ask(&shop, 3, "echo.say", FRAME_SERVICE, 1);
    ask(&shop, 4, "echo.say", 0, 1);
    expect_nack(&shop.h, "c", 4, 429);
    pass(&shop.h, 500 * MS);
    expect_nack(&shop.h, "c", 2, 429);
    expect_nothing(&shop.h);
    harness_release(&shop.h);
}

static void test_budgets_end_wherever_they_are(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:1");
    struct frame_head head = head_of(&shop.h, FRAME_REQUEST, shop.client, 1);
    head.budget_ms = 0;
    send_request(&shop.h, "c", &head, "echo.say");
    expect_nack(&shop.h, "c", 1, 504);
    head = head_of(&shop.h, FRAME_REQUEST, shop.client, 2);
    head.budget_ms = 200;
    send_request(&shop.h, "c", &head, "echo.say");
    struct frame_head begun = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    assert_int_equal(begun.budget_ms, 200);
    head.corr = 3;
    head.budget_ms = 400;
    send_request(&shop.h, "c", &head, "echo.say");
    pass(&shop.h, 300 * MS);
    expect_nack(&shop.h, "c", 2, 504);
    expect_nothing(&shop.h); /* the worker still has its credit */
    pass(&shop.h, 300 * MS);
    expect_nack(&shop.h, "c", 3, 504);
    send_reply(&shop.h, "w", shop.worker, begun.corr);
    expect_nothing(&shop.h);
    assert_int_equal(broker_counts(shop.h.broker).late, 1);
    ask(&shop, 4, "echo.say", 0, 1);
    expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    harness_release(&shop.h);
}

static void test_time_in_buffers_is_taken_off(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:9");
    struct frame_head head = head_of(&shop.h, FRAME_REQUEST, shop.client, 1);
    shop.h.now_us += 3 * SECOND; /* the broker was stopped meanwhile */
    send_request(&shop.h, "c", &head, "echo.say");
    assert_int_equal(expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST).budget_ms, 2000);
    head.corr = 2;
    head.budget_ms = 2900;
    send_request(&shop.h, "c", &head, "echo.say");
    expect_nack(&shop.h, "c", 2, 504);
    harness_release(&shop.h);
}

static void test_a_dead_workers_requests_go_again(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    ask(&shop, 1, "echo.say", FRAME_REPEATABLE, 1);
    ask(&shop, 2, "echo.say", 0, 1);
    ask(&shop, 3, "echo.say", FRAME_REPEATABLE, 3);
    struct frame_head first = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    bye(&shop, "w", shop.worker);
    expect_nack(&shop.h, "c", 2, 502);
    expect_nothing(&shop.h);
    uint32_t next = say_hello(&shop.h, PLANE_WORKERS, "v", "echo:2");
    struct frame_head again = expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST); /* before the higher priority */
    assert_int_equal(again.attempt, 2);
    assert_int_equal(again.flags, FRAME_REPEATABLE | FRAME_REDELIVERED);
    assert_memory_equal(again.request_id, first.request_id, ID_SIZE);
    assert_int_not_equal(again.corr, first.corr);
    assert_int_equal(expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST).request_id[0], 3);
    send_reply(&shop.h, "v", next, first.corr); /* the dispatch that died */
    expect_nothing(&shop.h);
    send_reply(&shop.h, "v", next, again.corr);
    assert_int_equal(expect(&shop.h, PLANE_CLIENTS, "c", FRAME_REPLY).attempt, 2);
    harness_release(&shop.h);
}

static void test_what_never_left_was_not_begun(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    ask(&shop, 1, "echo.say", 0, 1); /* not repeatable */
    broker_unsent(shop.h.broker, &broker_sends(shop.h.broker)->list[0]);
    expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_peer_gone(shop.h.broker, PLANE_WORKERS, TEXT("w"), shop.h.now_us);
    expect_nothing(&shop.h);
    shop.worker = say_hello(&shop.h, PLANE_WORKERS, "v", "echo:2");
    struct frame_head head = expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST);
    assert_int_equal(head.attempt, 1);
    assert_int_equal(head.flags, 0);
    bye(&shop, "v", shop.worker); /* this one had it */
    expect_nack(&shop.h, "c", 1, 502);
    harness_release(&shop.h);
}

static void test_three_attempts_then_a_dead_letter(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    ask(&shop, 1, "echo.say", FRAME_REPEATABLE, 1);
    for (int attempt = 1; attempt <= 3; attempt++) {
        struct frame_head head = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
        assert_int_equal(head.attempt, attempt);
        bye(&shop, "w", shop.worker);
        if (attempt < 3) {
            shop.worker = say_hello(&shop.h, PLANE_WORKERS, "w", "echo:2");
        }
    }
    expect_nack(&shop.h, "c", 1, 502);
    assert_int_equal(broker_counts(shop.h.broker).redelivered, 2);
    harness_release(&shop.h);
}

static void test_after_a_part_nothing_goes_again(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    ask(&shop, 1, "echo.say", FRAME_REPEATABLE, 1);
    struct frame_head given = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    struct frame_head head = head_of(&shop.h, FRAME_PARTIAL, shop.worker, given.corr);
    head.status = 200;
    send_frame(&shop.h, PLANE_WORKERS, "w", &head, (struct text[]){TEXT("\x80"), TEXT("half")}, 2);
    assert_int_equal(expect(&shop.h, PLANE_CLIENTS, "c", FRAME_PARTIAL).corr, 1);
    bye(&shop, "w", shop.worker);
    expect_nack(&shop.h, "c", 1, 502);
    harness_release(&shop.h);
}

static void test_missing_and_unknown_services(void **state)
{
    (void)state;
    struct shop shop;
    struct text parts[PARCEL_MAX_PARTS] = {{0}};
    struct problem problem;
    shop_open(&shop, "product:2");
    ask(&shop, 1, "order.create", 0, 1); /* the broker has just begun: the name may still turn up */
    expect_nothing(&shop.h);
    struct frame_head ping = head_of(&shop.h, FRAME_PING, shop.client, 0);
    pass(&shop.h, 2100 * MS);
    expect_nack(&shop.h, "c", 1, 404);
    send_frame(&shop.h, PLANE_CLIENTS, "c", &ping, NULL, 0);
    expect(&shop.h, PLANE_CLIENTS, "c", FRAME_PONG);
    ask(&shop, 2, "produkt.get", 0, 1);
    expect_frame(&shop.h, PLANE_CLIENTS, "c", FRAME_NACK, parts);
    assert_int_equal(record_unpack(&problem_record, parts[1], &shop.h.arena, NULL, &problem), ERR_NONE);
    assert_int_equal(problem.status, 404);
    assert_true(problem.allowed.count == 1 && text_is(problem.allowed.items[0], "product"));
    bye(&shop, "w", shop.worker);
    ask(&shop, 3, "product.get", 0, 1); /* seen just now: waited for */
    expect_nothing(&shop.h);
    pass(&shop.h, 2100 * MS);
    ask(&shop, 4, "product.get", 0, 1);
    expect_nack(&shop.h, "c", 4, 503);
    say_hello(&shop.h, PLANE_WORKERS, "v", "product:2");
    assert_int_equal(expect(&shop.h, PLANE_WORKERS, "v", FRAME_REQUEST).request_id[0], 3);
    harness_release(&shop.h);
}

static void test_malformed_and_too_large(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:2");
    ask(&shop, 1, "echo", 0, 1);
    expect_nack(&shop.h, "c", 1, 400);
    struct frame_head head = head_of(&shop.h, FRAME_REQUEST, shop.client, 2);
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, (struct text[]){TEXT("echo.say")}, 1);
    expect_nack(&shop.h, "c", 2, 400);
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, NULL, 0);
    expect_nack(&shop.h, "c", 2, 400);
    char *body = mem_alloc(FRAME_MAX_BODY + 1);
    struct text large = {body, FRAME_MAX_BODY + 1};
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, (struct text[]){TEXT("echo.say"), TEXT(""), large}, 3);
    expect_nack(&shop.h, "c", 2, 413);
    mem_free(body);
    harness_release(&shop.h);
}

static void test_cancel(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:1");
    ask(&shop, 1, "echo.say", 0, 1);
    ask(&shop, 2, "echo.say", 0, 1);
    struct frame_head begun = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    struct frame_head head = head_of(&shop.h, FRAME_CANCEL, shop.client, 2);
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, NULL, 0);
    expect_nack(&shop.h, "c", 2, 504);
    head.corr = 1;
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, NULL, 0);
    assert_int_equal(expect(&shop.h, PLANE_WORKERS, "w", FRAME_CANCEL).corr, begun.corr);
    head.corr = 99;
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, NULL, 0);
    expect_nothing(&shop.h);
    send_reply(&shop.h, "w", shop.worker, begun.corr);
    expect(&shop.h, PLANE_CLIENTS, "c", FRAME_REPLY);
    harness_release(&shop.h);
}

static void test_a_client_that_leaves_is_answered_no_more(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:1");
    ask(&shop, 1, "echo.say", FRAME_REPEATABLE, 1);
    ask(&shop, 2, "echo.say", 0, 1);
    struct frame_head begun = expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_peer_gone(shop.h.broker, PLANE_CLIENTS, TEXT("c"), shop.h.now_us);
    assert_int_equal(broker_counts(shop.h.broker).in_flight, 0);
    send_reply(&shop.h, "w", shop.worker, begun.corr);
    expect_nothing(&shop.h);
    harness_release(&shop.h);
}

static void test_no_reply_means_none(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, "echo:1");
    ask(&shop, 1, "echo.say", FRAME_NO_REPLY, 1);
    send_reply(&shop.h, "w", shop.worker, expect(&shop.h, PLANE_WORKERS, "w", FRAME_REQUEST).corr);
    ask(&shop, 2, "nobody", FRAME_NO_REPLY, 1);
    expect_nothing(&shop.h);
    assert_int_equal(broker_counts(shop.h.broker).replied, 1);
    assert_int_equal(broker_counts(shop.h.broker).nacked, 1);
    harness_release(&shop.h);
}

static void test_limits_of_clients_and_of_all(void **state)
{
    (void)state;
    struct shop shop;
    harness_init(&shop.h);
    shop.h.settings.client_requests_max = 2;
    shop.h.settings.requests_max = 3;
    harness_start(&shop.h);
    shop.client = say_hello(&shop.h, PLANE_CLIENTS, "c", "");
    uint32_t other = say_hello(&shop.h, PLANE_CLIENTS, "d", "");
    ask(&shop, 1, "echo.say", 0, 1);
    ask(&shop, 2, "echo.say", 0, 1);
    ask(&shop, 3, "echo.say", 0, 1);
    expect_nack(&shop.h, "c", 3, 429);
    struct frame_head head = head_of(&shop.h, FRAME_REQUEST, other, 1);
    send_request(&shop.h, "d", &head, "echo.say");
    expect_nothing(&shop.h);
    head.corr = 2;
    send_request(&shop.h, "d", &head, "echo.say");
    expect_nack(&shop.h, "d", 2, 429);
    harness_release(&shop.h);
}

static void test_bytes_of_all_and_of_meta(void **state)
{
    (void)state;
    struct shop shop;
    enum { BODY = 600 * 1000, META_MOST = 8 * 1024 };
    harness_init(&shop.h);
    shop.h.settings.held_size_max = 1000 * 1000;
    harness_start(&shop.h);
    shop.client = say_hello(&shop.h, PLANE_CLIENTS, "c", "");
    char *bytes = mem_alloc(BODY);
    struct text parts[] = {TEXT("echo.say"), {bytes, META_MOST}, {bytes, BODY}};
    struct frame_head head = head_of(&shop.h, FRAME_REQUEST, shop.client, 1);
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, parts, 3);
    expect_nothing(&shop.h);
    head.corr = 2;
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, parts, 3);
    expect_nack(&shop.h, "c", 2, 429);
    head.corr = 3;
    parts[2].size = 10;
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, parts, 3);
    expect_nothing(&shop.h);
    head.corr = 4;
    parts[1].size++;
    send_frame(&shop.h, PLANE_CLIENTS, "c", &head, parts, 3);
    expect_nack(&shop.h, "c", 4, 400);
    mem_free(bytes);
    harness_release(&shop.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_answered),
        cmocka_unit_test(test_a_worker_answers_only_what_it_was_given),
        cmocka_unit_test(test_credit_bounds_and_idlest_first),
        cmocka_unit_test(test_a_key_stays_with_its_worker),
        cmocka_unit_test(test_priorities_and_shedding),
        cmocka_unit_test(test_bytes_and_age_are_bounds_too),
        cmocka_unit_test(test_budgets_end_wherever_they_are),
        cmocka_unit_test(test_time_in_buffers_is_taken_off),
        cmocka_unit_test(test_a_dead_workers_requests_go_again),
        cmocka_unit_test(test_what_never_left_was_not_begun),
        cmocka_unit_test(test_three_attempts_then_a_dead_letter),
        cmocka_unit_test(test_after_a_part_nothing_goes_again),
        cmocka_unit_test(test_missing_and_unknown_services),
        cmocka_unit_test(test_malformed_and_too_large),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_a_client_that_leaves_is_answered_no_more),
        cmocka_unit_test(test_no_reply_means_none),
        cmocka_unit_test(test_limits_of_clients_and_of_all),
        cmocka_unit_test(test_bytes_of_all_and_of_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
