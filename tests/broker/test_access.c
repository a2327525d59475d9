/* What the core lets a key do. */
#include "tests/broker/harness.h"

#include <stdio.h>

#include "proto/fault.h"

#define KEY_1 "1111111111111111111111111111111111111111"
#define KEY_2 "2222222222222222222222222222222222222222"

static const struct key_grant gateway = {.name = "gw", .key = KEY_1, .role = KEY_GATEWAY, .calls = "order,mmi"};
static const struct key_grant worker = {
    .name = "order-svc", .key = KEY_2, .role = KEY_WORKER, .services = "order", .calls = "product"};

static int64_t denied(struct harness *h, const char *labels)
{
    return metric_value(metrics_get(h->metrics, METRIC_COUNTER, "zmart_broker_denied_total", labels, ""));
}

static void send_hello(struct harness *h, enum plane plane, const char *id, const char *role, const char *service)
{
    struct hello_service served = {.name = text_of(service), .credit = 4};
    struct hello hello = {.role = text_of(role),
                          .instance = TEXT("x"),
                          .version = TEXT("1"),
                          .services = {.items = &served, .count = service[0] ? 1 : 0},
                          .hb_ms = 1000};
    struct text body = record_pack_in(&hello_record, &hello, &h->arena);
    struct frame_head head = {.type = FRAME_HELLO, .attempt = 1, .corr = 9, .t_send_us = h->now_us};
    send_frame(h, plane, id, &head, &body, 1);
}

/* The problem's detail of a NACK with status 403. */
static void expect_forbidden(struct harness *h, enum plane plane, const char *id, const char *said)
{
    struct text parts[PARCEL_MAX_PARTS];
    struct problem problem;
    struct frame_head head = expect_frame(h, plane, id, FRAME_NACK, parts);
    assert_int_equal(head.status, 403);
    assert_int_equal(record_unpack(&problem_record, parts[1], &h->arena, NULL, &problem), ERR_NONE);
    assert_true(text_is(problem.code, "forbidden"));
    char detail[256];
    assert_true(text_to_string(problem.detail, detail, sizeof detail));
    assert_non_null(strstr(detail, said));
}

static void test_a_hello_beyond_the_key(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    broker_speaker_set(h.broker, &gateway);
    send_hello(&h, PLANE_WORKERS, "a", "worker", "order");
    expect_forbidden(&h, PLANE_WORKERS, "a", "The key gw has the role gateway");
    send_hello(&h, PLANE_CLIENTS, "b", "operator", "");
    expect_forbidden(&h, PLANE_CLIENTS, "b", "operator");
    send_hello(&h, PLANE_CLIENTS, "c", "gateway", "");
    expect(&h, PLANE_CLIENTS, "c", FRAME_WELCOME);
    broker_speaker_set(h.broker, &worker);
    send_hello(&h, PLANE_WORKERS, "d", "worker", "user");
    expect_forbidden(&h, PLANE_WORKERS, "d", "may not serve user");
    send_hello(&h, PLANE_WORKERS, "d", "worker", "order");
    expect(&h, PLANE_WORKERS, "d", FRAME_WELCOME);
    assert_int_equal(denied(&h, "at=\"hello\""), 3);
    harness_release(&h);
}

static void test_a_call_beyond_the_key(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    broker_speaker_set(h.broker, &worker);
    uint32_t served = say_hello(&h, PLANE_WORKERS, "w", "order:4");
    broker_speaker_set(h.broker, &gateway);
    uint32_t epoch = say_hello(&h, PLANE_CLIENTS, "gw", "");
    struct frame_head head = head_of(&h, FRAME_REQUEST, epoch, 1);
    send_request(&h, "gw", &head, "user.get");
    expect_forbidden(&h, PLANE_CLIENTS, "gw", "The key gw may not call user.get.");
    head.corr = 2;
    send_request(&h, "gw", &head, "mmi.dlq");
    expect_forbidden(&h, PLANE_CLIENTS, "gw", "mmi.dlq");
    head.corr = 3;
    send_request(&h, "gw", &head, "order.get"); /* the session goes on */
    struct frame_head sent = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_speaker_set(h.broker, &worker);
    send_reply(&h, "w", served, sent.corr);
    assert_int_equal(expect(&h, PLANE_CLIENTS, "gw", FRAME_REPLY).corr, 3);
    assert_int_equal(denied(&h, "at=\"request\""), 2);
    assert_int_equal(broker_counts(h.broker).accepted, 3);
    assert_int_equal(broker_counts(h.broker).nacked, 2);
    harness_release(&h);
}

static void test_a_session_belongs_to_its_key(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    broker_speaker_set(h.broker, &gateway);
    uint32_t epoch = say_hello(&h, PLANE_CLIENTS, "gw", "");
    struct frame_head head = head_of(&h, FRAME_REQUEST, epoch, 1);
    broker_speaker_set(h.broker, &worker); /* the same routing id, another connection */
    send_request(&h, "gw", &head, "product.get");
    expect(&h, PLANE_CLIENTS, "gw", FRAME_BYE);
    broker_speaker_set(h.broker, NULL);
    send_request(&h, "gw", &head, "order.get");
    expect(&h, PLANE_CLIENTS, "gw", FRAME_BYE);
    assert_int_equal(broker_counts(h.broker).accepted, 0);
    harness_release(&h);
}

static void test_sessions_of_revoked_keys_end(void **state)
{
    (void)state;
    struct harness h;
    struct key_grant list[] = {gateway, worker};
    struct key_grants grants = {list, 2};
    harness_init(&h);
    harness_start(&h);
    broker_speaker_set(h.broker, &worker);
    uint32_t served = say_hello(&h, PLANE_WORKERS, "w", "order:4");
    broker_speaker_set(h.broker, &gateway);
    say_hello(&h, PLANE_CLIENTS, "gw", "");
    broker_speaker_set(h.broker, NULL);
    say_hello(&h, PLANE_CLIENTS, "local", ""); /* over ipc: keys are none of its affair */
    broker_grants_changed(h.broker, &grants, h.now_us);
    expect_nothing(&h);
    snprintf(list[1].services, sizeof list[1].services, "user"); /* it may no longer serve what it serves */
    broker_grants_changed(h.broker, &grants, h.now_us);
    assert_int_equal(expect(&h, PLANE_WORKERS, "w", FRAME_BYE).epoch, served);
    expect_nothing(&h);
    grants.count = 0;
    broker_grants_changed(h.broker, &grants, h.now_us);
    expect(&h, PLANE_CLIENTS, "gw", FRAME_BYE);
    expect_nothing(&h);
    harness_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hello_beyond_the_key), cmocka_unit_test(test_a_call_beyond_the_key),
        cmocka_unit_test(test_a_session_belongs_to_its_key), cmocka_unit_test(test_sessions_of_revoked_keys_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
