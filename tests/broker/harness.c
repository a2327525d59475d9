#include "tests/broker/harness.h"

#include <stdlib.h>

#include "proto/fault.h"

void harness_init(struct harness *h)
{
    *h = (struct harness){.metrics = metrics_new(), .now_us = 1000 * SECOND};
    h->settings = (struct broker_settings){.instance = "broker-1",
                                           .metrics = h->metrics,
                                           .first_epoch = 7,
                                           .heartbeat_ms = 1000,
                                           .queue = {.count = 100, .size = 1000000, .age_us = 60 * SECOND},
                                           .peers_max = 100,
                                           .requests_max = 10000,
                                           .client_requests_max = 10000,
                                           .held_size_max = 100000000,
                                           .service_wait_ms = 2000,
                                           .affinity_max = 100,
                                           .letters_max = 10,
                                           .letters_size_max = 100000};
}

void harness_start(struct harness *h)
{
    h->broker = broker_new(&h->settings, h->now_us);
}

void harness_release(struct harness *h)
{
    struct broker_counts counts = broker_counts(h->broker);
    assert_int_equal(counts.accepted, counts.replied + counts.nacked + counts.in_flight);
    broker_stop(h->broker, h->now_us);
    counts = broker_counts(h->broker);
    assert_int_equal(counts.in_flight, 0);
    assert_int_equal(counts.accepted, counts.replied + counts.nacked);
    broker_destroy(&h->broker);
    metrics_destroy(&h->metrics);
    arena_release(&h->arena);
}

void send_frame(struct harness *h, enum plane plane, const char *id, const struct frame_head *head,
                const struct text *parts, int part_count)
{
    uint8_t bytes[FRAME_HEAD_SIZE];
    frame_head_write(head, bytes);
    broker_receive(h->broker, plane, text_of(id), (struct text){(const char *)bytes, sizeof bytes},
                   part_count ? parcel_of(parts, part_count) : NULL, h->now_us);
}

struct frame_head head_of(const struct harness *h, enum frame_type type, uint32_t epoch, uint64_t corr)
{
    struct frame_head head = {
        .type = type, .attempt = 1, .corr = corr, .t_send_us = h->now_us, .budget_ms = 5000, .epoch = epoch};
    memcpy(head.request_id, &corr, sizeof corr);
    return head;
}

uint32_t say_hello(struct harness *h, enum plane plane, const char *id, const char *services)
{
    struct hello_service list[16];
    struct hello hello = {.role = text_of(plane == PLANE_WORKERS ? "worker" : "gateway"),
                          .instance = text_of(id),
                          .version = TEXT("1"),
                          .services = {.items = list},
                          .hb_ms = 1000};
    struct text rest = services[0] ? text_of(services) : (struct text){0}, one, name, parts[PARCEL_MAX_PARTS];
    while (text_cut(&rest, ',', &one)) {
        assert_true(text_cut(&one, ':', &name));
        list[hello.services.count++] = (struct hello_service){.name = name, .credit = atoi(one.data)};
    }
    struct frame_head head = head_of(h, FRAME_HELLO, 0, 0);
    struct text body = record_pack_in(&hello_record, &hello, &h->arena);
    send_frame(h, plane, id, &head, &body, 1);
    struct welcome welcome;
    struct frame_head answer = expect_frame(h, plane, id, FRAME_WELCOME, parts);
    assert_int_equal(record_unpack(&welcome_record, parts[0], &h->arena, NULL, &welcome), ERR_NONE);
    assert_int_equal(answer.epoch, welcome.epoch);
    return answer.epoch;
}

void send_request(struct harness *h, const char *id, const struct frame_head *head, const char *route)
{
    send_frame(h, PLANE_CLIENTS, id, head, (struct text[]){text_of(route), TEXT("\x80"), TEXT("body")}, 3);
}

void send_reply(struct harness *h, const char *id, uint32_t epoch, uint64_t corr)
{
    struct frame_head head = head_of(h, FRAME_REPLY, epoch, corr);
    head.status = 200;
    head.credit = 1;
    send_frame(h, PLANE_WORKERS, id, &head, (struct text[]){TEXT("\x80"), TEXT("answer")}, 2);
}

struct frame_head expect_frame(struct harness *h, enum plane plane, const char *id, enum frame_type type,
                               struct text out_parts[PARCEL_MAX_PARTS])
{
    struct sends *sends = broker_sends(h->broker);
    struct frame_head head;
    assert_true(h->taken < sends->count);
    struct send *send = &sends->list[h->taken++];
    assert_true(frame_head_read((struct text){(const char *)send->head, FRAME_HEAD_SIZE}, &head));
    assert_string_equal(frame_type_name(head.type), frame_type_name(type));
    assert_int_equal(send->plane, plane);
    assert_int_equal(send->to_size, strlen(id));
    assert_memory_equal(send->to, id, send->to_size);
    for (int i = 0; send->parcel && out_parts && i < send->parcel->part_count; i++) {
        struct text part = send->parcel->parts[i];
        out_parts[i] = (struct text){arena_copy(&h->arena, part.data, part.size), part.size};
    }
    if (h->taken == sends->count) {
        sends_clear(sends);
        h->taken = 0;
    }
    return head;
}

struct frame_head expect(struct harness *h, enum plane plane, const char *id, enum frame_type type)
{
    return expect_frame(h, plane, id, type, NULL);
}

void expect_nothing(struct harness *h)
{
    assert_int_equal(h->taken, 0);
    assert_int_equal(broker_sends(h->broker)->count, 0);
}

struct frame_head expect_nack(struct harness *h, const char *id, uint64_t corr, int status)
{
    struct text parts[PARCEL_MAX_PARTS] = {{0}};
    struct problem problem;
    struct frame_head head = expect_frame(h, PLANE_CLIENTS, id, FRAME_NACK, parts);
    assert_int_equal(head.corr, corr);
    assert_int_equal(head.status, status);
    assert_int_equal(record_unpack(&problem_record, parts[1], &h->arena, NULL, &problem), ERR_NONE);
    assert_int_equal(problem.status, status);
    return head;
}

void pass(struct harness *h, int64_t time_us)
{
    enum { STEP_US = 20 * 1000 };
    while (time_us > 0) {
        int64_t step_us = time_us < STEP_US ? time_us : STEP_US;
        h->now_us += step_us;
        time_us -= step_us;
        (void)broker_tick(h->broker, h->now_us);
    }
}

uint32_t poison(struct harness *h, uint32_t client, uint64_t corr, uint8_t flags, const char *route)
{
    struct frame_head head = head_of(h, FRAME_REQUEST, client, corr);
    head.flags = FRAME_REPEATABLE | flags;
    send_request(h, "c", &head, route);
    for (int i = 0; i < 3; i++) {
        expect(h, PLANE_WORKERS, "w", FRAME_REQUEST);
        broker_peer_gone(h->broker, PLANE_WORKERS, TEXT("w"), h->now_us);
        if (i < 2) {
            (void)say_hello(h, PLANE_WORKERS, "w", "echo:4");
        }
    }
    expect_nack(h, "c", corr, 502);
    return say_hello(h, PLANE_WORKERS, "w", "echo:4");
}

struct text dlq_body(struct harness *h, enum mmi_dlq_action action, struct text request_id)
{
    struct mmi_dlq in = {.action = action, .request_id = request_id, .budget_ms = 700};
    set_has(mmi_dlq, &in, action);
    set_has(mmi_dlq, &in, request_id);
    set_has(mmi_dlq, &in, budget_ms);
    return record_pack_in(&mmi_dlq_record, &in, &h->arena);
}
