/* What the broker answers about itself. */
#include "tests/broker/harness.h"

#include <stdio.h>

#include "proto/fault.h"
#include "proto/mmi.h"

struct desk {
    struct harness h;
    uint32_t client, worker;
};

static void desk_open(struct desk *desk)
{
    harness_init(&desk->h);
    harness_start(&desk->h);
    desk->client = say_hello(&desk->h, PLANE_CLIENTS, "c", "");
    desk->worker = say_hello(&desk->h, PLANE_WORKERS, "w", "echo:4");
}

/* Asks and unpacks the answer if it has status 200; returns the status. */
static int ask(struct desk *desk, const char *route, struct text body, const struct record *record, void *out)
{
    struct text parts[PARCEL_MAX_PARTS] = {{0}};
    struct frame_head head = head_of(&desk->h, FRAME_REQUEST, desk->client, 9);
    send_frame(&desk->h, PLANE_CLIENTS, "c", &head, (struct text[]){text_of(route), TEXT("\x80"), body}, 3);
    struct frame_head reply = expect_frame(&desk->h, PLANE_CLIENTS, "c", FRAME_REPLY, parts);
    struct reply_meta meta;
    struct problem problem;
    assert_int_equal(reply.corr, 9);
    assert_int_equal(record_unpack(&reply_meta_record, parts[0], &desk->h.arena, NULL, &meta), ERR_NONE);
    if (reply.status == 200) {
        assert_int_equal(record_unpack(record, parts[1], &desk->h.arena, NULL, out), ERR_NONE);
    } else {
        assert_int_equal(record_unpack(&problem_record, parts[1], &desk->h.arena, NULL, &problem), ERR_NONE);
    }
    return reply.status;
}

static struct text service_ref(struct desk *desk, const char *name)
{
    struct mmi_service_ref ref = {.name = text_of(name)};
    return record_pack_in(&mmi_service_ref_record, &ref, &desk->h.arena);
}

static void test_service(void **state)
{
    (void)state;
    struct desk desk;
    struct mmi_service service;
    desk_open(&desk);
    assert_int_equal(ask(&desk, "mmi.service", service_ref(&desk, "echo"), &mmi_service_record, &service), 200);
    assert_int_equal(service.workers, 1);
    assert_int_equal(service.credit, 4);
    assert_int_equal(ask(&desk, "mmi.service", service_ref(&desk, "none"), &mmi_service_record, &service), 404);
    assert_int_equal(ask(&desk, "mmi.service", TEXT("junk"), &mmi_service_record, &service), 400);
    assert_int_equal(ask(&desk, "mmi.nothing", TEXT(""), &mmi_service_record, &service), 404);
    harness_release(&desk.h);
}

static void test_workers_and_queues(void **state)
{
    (void)state;
    struct desk desk;
    struct mmi_worker_list workers;
    struct mmi_queue_list queues;
    desk_open(&desk);
    for (uint64_t corr = 1; corr <= 6; corr++) {
        struct frame_head head = head_of(&desk.h, FRAME_REQUEST, desk.client, corr);
        send_request(&desk.h, "c", &head, "echo.say");
    }
    for (int i = 0; i < 4; i++) {
        expect(&desk.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    }
    pass(&desk.h, 100 * MS);
    assert_int_equal(ask(&desk, "mmi.workers", TEXT(""), &mmi_worker_list_record, &workers), 200);
    assert_int_equal(workers.workers.count, 1);
    assert_int_equal(workers.clients, 1);
    assert_true(text_is(workers.workers.items[0].instance, "w"));
    assert_int_equal(workers.workers.items[0].epoch, desk.worker);
    assert_int_equal(workers.workers.items[0].silent_ms, 100);
    assert_int_equal(workers.workers.items[0].services.items[0].in_flight, 4);
    assert_int_equal(ask(&desk, "mmi.queues", TEXT("\x80"), &mmi_queue_list_record, &queues), 200);
    assert_int_equal(queues.queues.count, 1);
    assert_int_equal(queues.queues.items[0].length, 2);
    assert_int_equal(queues.queues.items[0].oldest_ms, 100);
    assert_int_equal(queues.accepted, 8);
    assert_int_equal(queues.in_flight, 6);
    harness_release(&desk.h);
}

/* More than fit in one list; all of them are in mmi.service's numbers. */
static void test_workers_are_listed_up_to_a_number(void **state)
{
    (void)state;
    struct desk desk;
    struct mmi_worker_list workers;
    struct mmi_service service;
    char id[16];
    harness_init(&desk.h);
    desk.h.settings.peers_max = MMI_MAX_WORKERS + 10;
    harness_start(&desk.h);
    desk.client = say_hello(&desk.h, PLANE_CLIENTS, "c", "");
    for (int i = 0; i <= MMI_MAX_WORKERS; i++) {
        snprintf(id, sizeof id, "w%d", i);
        (void)say_hello(&desk.h, PLANE_WORKERS, id, "echo:1");
    }
    assert_int_equal(ask(&desk, "mmi.workers", TEXT(""), &mmi_worker_list_record, &workers), 200);
    assert_int_equal(workers.workers.count, MMI_MAX_WORKERS);
    assert_int_equal(ask(&desk, "mmi.service", service_ref(&desk, "echo"), &mmi_service_record, &service), 200);
    assert_int_equal(service.workers, MMI_MAX_WORKERS + 1);
    harness_release(&desk.h);
}

static void worker_ping(struct desk *desk, struct text body)
{
    struct frame_head head = head_of(&desk->h, FRAME_PING, desk->worker, 0);
    send_frame(&desk->h, PLANE_WORKERS, "w", &head, &body, 1);
    expect(&desk->h, PLANE_WORKERS, "w", FRAME_PONG);
}

static void test_metrics_are_spliced(void **state)
{
    (void)state;
    struct desk desk;
    struct metric_report report;
    struct metric_series series = {
        .name = TEXT("zmart_x_total"), .labels = TEXT(""), .help = TEXT("X."), .kind = 0, .value = 5};
    struct metric_list list = {.instance = TEXT("w-1"), .series = {.items = &series, .count = 1}};
    desk_open(&desk);
    worker_ping(&desk, TEXT("\xdf\x7f\xff\xff\xff no map at all"));
    assert_int_equal(ask(&desk, "mmi.metrics", TEXT(""), &metric_report_record, &report), 200);
    assert_int_equal(report.processes.count, 1);
    assert_true(text_is(report.processes.items[0].instance, "broker-1"));
    worker_ping(&desk, record_pack_in(&metric_list_record, &list, &desk.h.arena));
    assert_int_equal(ask(&desk, "mmi.metrics", TEXT(""), &metric_report_record, &report), 200);
    assert_int_equal(report.processes.count, 2);
    assert_true(text_is(report.processes.items[1].instance, "w-1"));
    assert_int_equal(report.processes.items[1].series.items[0].value, 5);
    harness_release(&desk.h);
}

static void test_dead_letters(void **state)
{
    (void)state;
    struct desk desk;
    struct mmi_dead_letters letters;
    desk_open(&desk);
    desk.worker = poison(&desk.h, desk.client, 1, 0, "echo.say");
    desk.worker = poison(&desk.h, desk.client, 2, FRAME_SECRET, "echo.say");
    assert_int_equal(ask(&desk, "mmi.dlq", TEXT(""), &mmi_dead_letters_record, &letters), 200);
    assert_int_equal(letters.count, 2);
    assert_true(letters.partial); /* nobody is here who keeps any */
    const struct mmi_dead_letter *secret = &letters.letters.items[0], *plain = &letters.letters.items[1];
    assert_true(secret->secret && secret->bytes == 0 && !plain->secret && plain->bytes > 0);
    assert_true(text_is(plain->route, "echo.say"));
    assert_int_equal(plain->attempts, 3);
    struct text body = dlq_body(&desk.h, MMI_DLQ_REQUEUE, secret->request_id);
    assert_int_equal(ask(&desk, "mmi.dlq", body, &mmi_dead_letters_record, &letters), 409);
    struct frame_head head = head_of(&desk.h, FRAME_REQUEST, desk.client, 9);
    body = dlq_body(&desk.h, MMI_DLQ_REQUEUE, plain->request_id);
    send_frame(&desk.h, PLANE_CLIENTS, "c", &head, (struct text[]){TEXT("mmi.dlq"), TEXT(""), body}, 3);
    struct frame_head again = expect(&desk.h, PLANE_WORKERS, "w", FRAME_REQUEST);
    assert_int_equal(again.request_id[0], 1);
    assert_int_equal(again.budget_ms, 700);
    assert_true(again.flags & FRAME_REDELIVERED);
    expect(&desk.h, PLANE_CLIENTS, "c", FRAME_REPLY);
    send_reply(&desk.h, "w", desk.worker, again.corr);
    expect_nothing(&desk.h);
    body = dlq_body(&desk.h, MMI_DLQ_DROP, plain->request_id);
    assert_int_equal(ask(&desk, "mmi.dlq", body, &mmi_dead_letters_record, &letters), 503);
    body = dlq_body(&desk.h, MMI_DLQ_DROP, secret->request_id);
    assert_int_equal(ask(&desk, "mmi.dlq", body, &mmi_dead_letters_record, &letters), 200);
    assert_int_equal(letters.count, 0);
    harness_release(&desk.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_workers_and_queues), cmocka_unit_test(test_workers_are_listed_up_to_a_number),
        cmocka_unit_test(test_metrics_are_spliced),
        cmocka_unit_test(test_dead_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
