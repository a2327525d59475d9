/* The broker's core taking any bytes for frames of any peers. The input is a list of steps:
 *     0x80 | n             the clock goes on by 2^(n mod 24) microseconds
 *     plane and peer       bits 0..2 the peer, bit 3 the plane, bits 4..5 how many parts; then a byte with the size of
 * the first frame, and for each part one with its size; then their bytes Epochs cannot be guessed, so a frame whose
 * epoch is 0xffffffff gets the peer's own, and a `corr` of 0xff.. the last dispatch's. Nothing may crash, and the books
 * must balance. */
#include <string.h>

#include "broker/broker.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { PEERS = 8, CORR_AT = 24, EPOCH_AT = 48, STEPS_MAX = 4000 };

struct world {
    struct broker *broker;
    int64_t now_us;
    uint32_t epochs[PLANE_COUNT][PEERS];
    uint64_t dispatched[PEERS];
};

struct input {
    const uint8_t *at, *end;
};

static uint8_t byte_take(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static struct text bytes_take(struct input *input, size_t size)
{
    size_t left = (size_t)(input->end - input->at);
    struct text bytes = {(const char *)input->at, (uint32_t)(size < left ? size : left)};
    input->at += bytes.size;
    return bytes;
}

static void books_check(const struct world *world)
{
    struct broker_counts counts = broker_counts(world->broker);
    ASSERT(counts.accepted == counts.replied + counts.nacked + counts.in_flight);
}

/* What peers would learn from what they are sent. */
static void sends_look(struct world *world)
{
    struct sends *sends = broker_sends(world->broker);
    for (size_t i = 0; i < sends->count; i++) {
        const struct send *send = &sends->list[i];
        struct frame_head head;
        ASSERT(frame_head_read((struct text){(const char *)send->head, FRAME_HEAD_SIZE}, &head));
        ASSERT(send->to_size == 1 && send->to[0] < PEERS);
        if (head.type == FRAME_WELCOME) {
            world->epochs[send->plane][send->to[0]] = head.epoch;
        } else if (head.type == FRAME_REQUEST) {
            ASSERT(send->plane == PLANE_WORKERS && head.budget_ms > 0);
            world->dispatched[send->to[0]] = head.corr;
        } else if (head.type == FRAME_REPLY || head.type == FRAME_NACK) {
            ASSERT(head.type == FRAME_NACK || send->plane == PLANE_CLIENTS);
        }
    }
    sends_clear(sends);
}

static void placeholders_fill(const struct world *world, enum plane plane, uint8_t peer, uint8_t *head)
{
    static const uint8_t marks[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t epoch = world->epochs[plane][peer];
    uint64_t corr = world->dispatched[peer];
    if (memcmp(head + EPOCH_AT, marks, 4) == 0) {
        for (int i = 0; i < 4; i++) {
            head[EPOCH_AT + i] = (uint8_t)(epoch >> (24 - 8 * i));
        }
    }
    if (memcmp(head + CORR_AT, marks, 8) == 0) {
        for (int i = 0; i < 8; i++) {
            head[CORR_AT + i] = (uint8_t)(corr >> (56 - 8 * i));
        }
    }
}

static void frame_give(struct world *world, uint8_t step, struct input *input)
{
    uint8_t peer = step & 7;
    enum plane plane = step & 8 ? PLANE_WORKERS : PLANE_CLIENTS;
    int part_count = step >> 4 & 3;
    uint8_t head[UINT8_MAX];
    size_t sizes[4] = {0};
    struct text parts[3];
    for (int i = 0; i <= part_count; i++) {
        sizes[i] = byte_take(input);
    }
    struct text first = bytes_take(input, sizes[0]);
    memcpy(head, first.data, first.size);
    if (first.size == FRAME_HEAD_SIZE) {
        placeholders_fill(world, plane, peer, head);
    }
    for (int i = 0; i < part_count; i++) {
        parts[i] = bytes_take(input, sizes[i + 1]);
    }
    broker_receive(world->broker, plane, (struct text){(const char *)&peer, 1},
                   (struct text){(const char *)head, first.size}, part_count ? parcel_of(parts, part_count) : NULL,
                   world->now_us);
}

static struct broker *broker_open(struct metrics *metrics, int64_t now_us)
{
    struct broker_settings settings = {.instance = "fuzz",
                                       .metrics = metrics,
                                       .first_epoch = 7,
                                       .heartbeat_ms = 1000,
                                       .queue = {.count = 8, .size = 10000, .age_us = 1000000},
                                       .peers_max = 10,
                                       .requests_max = 32,
                                       .client_requests_max = 16,
                                       .held_size_max = 100000,
                                       .service_wait_ms = 500,
                                       .affinity_max = 4,
                                       .letters_max = 3,
                                       .letters_size_max = 1000};
    return broker_new(&settings, now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, data + size};
    struct metrics *metrics = metrics_new();
    struct world world = {.now_us = 1000000000};
    world.broker = broker_open(metrics, world.now_us);
    for (int steps = 0; input.at < input.end && steps < STEPS_MAX; steps++) {
        uint8_t step = byte_take(&input);
        if (step & 0x80) {
            world.now_us += INT64_C(1) << (step & 0x7f) % 24;
            (void)broker_tick(world.broker, world.now_us);
        } else {
            frame_give(&world, step, &input);
        }
        sends_look(&world);
        books_check(&world);
    }
    broker_stop(world.broker, world.now_us);
    ASSERT(broker_counts(world.broker).in_flight == 0);
    books_check(&world);
    broker_destroy(&world.broker);
    metrics_destroy(&metrics);
    return 0;
}
