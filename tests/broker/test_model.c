/* The core against books of its own: random frames and clock steps, and after each the promises are looked at.
 *     test_model [--steps N] [--seed S]      a failure comes again with the same two numbers */
#include <stdio.h>
#include <stdlib.h>

#include "tests/broker/harness.h"

enum {
    MODEL_STEPS = 2000000,
    MODEL_SEED = 20240229,
    MODEL_PEERS = 6,
    MODEL_CREDIT_MAX = 5,
    MODEL_REQUESTS = 1 << 16,
    MODEL_HELD = 64
};

struct model_options {
    int64_t steps;
    unsigned int seed;
};

struct model_request { /* by serial number, which is its corr and its request id */
    bool open;
    int client;
    int64_t deadline_us;
    bool no_reply;
};

struct model_worker {
    uint32_t epoch; /* 0: no session */
    uint32_t credit;
    struct {
        uint64_t corr, serial;
    } held[MODEL_HELD]; /* given and not answered */
    uint32_t held_count;
    int service;
    bool draining;
};

struct model {
    struct harness h;
    uint32_t clients[MODEL_PEERS];
    struct model_worker workers[MODEL_PEERS];
    struct model_request requests[MODEL_REQUESTS];
    uint64_t serial;
    uint64_t begun, ended;
};

static const char *const peer_names[MODEL_PEERS] = {"0", "1", "2", "3", "4", "5"};
static const char *const service_names[] = {"alpha", "beta"};

static uint32_t pick(uint32_t count)
{
    return (uint32_t)rand() % count;
}

static uint64_t serial_of(const struct frame_head *head)
{
    uint64_t serial;
    memcpy(&serial, head->request_id, sizeof serial);
    return serial;
}

static struct model_request *request_of(struct model *m, uint64_t serial)
{
    assert_true(serial >= 1 && serial <= m->serial);
    return &m->requests[serial % MODEL_REQUESTS];
}

static void see_request(struct model *m, int at, const struct frame_head *head)
{
    struct model_worker *worker = &m->workers[at];
    struct model_request *request = request_of(m, serial_of(head));
    assert_int_equal(head->epoch, worker->epoch);
    assert_false(worker->draining);
    assert_true(worker->held_count < worker->credit); /* credit is never exceeded */
    assert_true(request->open);
    assert_true(head->budget_ms > 0 && m->h.now_us + head->budget_ms * MS <= request->deadline_us); /* nor time */
    assert_true(head->attempt >= 1 && head->attempt <= FRAME_MAX_ATTEMPTS);
    worker->held[worker->held_count].corr = head->corr;
    worker->held[worker->held_count++].serial = serial_of(head);
    m->begun++;
}

static void see_end(struct model *m, int at, const struct frame_head *head)
{
    struct model_request *request = request_of(m, head->corr);
    assert_true(request->open && !request->no_reply); /* exactly one end */
    assert_int_equal(request->client, at);
    assert_int_equal(serial_of(head), head->corr);
    assert_int_equal(head->epoch, m->clients[at]);
    request->open = false;
    m->ended++;
}

static void worker_forget(struct model_worker *worker)
{
    worker->epoch = 0;
    worker->held_count = 0;
    worker->draining = false;
}

static void client_forget(struct model *m, int at)
{
    m->clients[at] = 0;
    for (uint64_t i = 0; i < MODEL_REQUESTS; i++) {
        if (m->requests[i].open && m->requests[i].client == at) {
            m->requests[i].open = false;
        }
    }
}

static void see_sends(struct model *m)
{
    struct sends *sends = broker_sends(m->h.broker);
    for (size_t i = 0; i < sends->count; i++) {
        struct send *send = &sends->list[i];
        struct frame_head head;
        int at = send->to[0] - '0';
        assert_true(frame_head_read((struct text){(const char *)send->head, FRAME_HEAD_SIZE}, &head));
        if (at >= MODEL_PEERS || (head.type == FRAME_NACK && head.epoch == 0)) {
            assert_true(head.type == FRAME_BYE || head.type == FRAME_NACK); /* to garbage */
        } else if (head.type == FRAME_REQUEST) {
            see_request(m, at, &head);
        } else if (head.type == FRAME_REPLY || head.type == FRAME_NACK) {
            see_end(m, at, &head);
        } else if (head.type == FRAME_WELCOME && send->plane == PLANE_CLIENTS) {
            m->clients[at] = head.epoch;
        } else if (head.type == FRAME_WELCOME) {
            m->workers[at].epoch = head.epoch;
        } else if (head.type == FRAME_BYE && send->plane == PLANE_CLIENTS && head.epoch == m->clients[at]) {
            client_forget(m, at);
        } else if (head.type == FRAME_BYE && send->plane == PLANE_WORKERS && head.epoch == m->workers[at].epoch) {
            worker_forget(&m->workers[at]);
        }
    }
    sends_clear(sends);
}

static void do_hello(struct model *m, enum plane plane, int at)
{
    struct hello_service service = {.credit = 1 + pick(MODEL_CREDIT_MAX)};
    struct hello hello = {.role = text_of(plane == PLANE_WORKERS ? "worker" : "service"),
                          .instance = text_of(peer_names[at]),
                          .version = TEXT("1"),
                          .services = {.items = &service, .count = plane == PLANE_WORKERS},
                          .hb_ms = 1000};
    struct arena arena = {0};
    struct model_worker *worker = &m->workers[at];
    if (plane == PLANE_WORKERS) {
        worker_forget(worker); /* on the same connection: the session before ends */
        worker->credit = (uint32_t)service.credit;
        worker->service = (int)pick(2);
        service.name = text_of(service_names[worker->service]);
    } else {
        client_forget(m, at);
    }
    struct text body = record_pack_in(&hello_record, &hello, &arena);
    struct frame_head head = head_of(&m->h, FRAME_HELLO, 0, 0);
    send_frame(&m->h, plane, peer_names[at], &head, &body, 1);
    arena_release(&arena);
}

static void do_request(struct model *m, int at)
{
    static const char *const routes[] = {"alpha.x", "beta.x", "alpha.x#a", "beta.y#b", "gamma.z", "bad"};
    if (!m->clients[at]) {
        return;
    }
    uint64_t serial = ++m->serial;
    struct frame_head head = head_of(&m->h, FRAME_REQUEST, m->clients[at], serial);
    head.budget_ms = pick(3) ? 1 + pick(4000) : pick(20);
    head.priority = (uint8_t)pick(4);
    head.flags =
        (uint8_t)((pick(4) ? FRAME_REPEATABLE : 0) | (pick(5) ? 0 : FRAME_SERVICE) | (pick(20) ? 0 : FRAME_NO_REPLY));
    *request_of(m, serial) = (struct model_request){.open = true,
                                                    .client = at,
                                                    .deadline_us = m->h.now_us + head.budget_ms * MS,
                                                    .no_reply = (head.flags & FRAME_NO_REPLY) != 0};
    send_request(&m->h, peer_names[at], &head, routes[pick(ARRAY_COUNT(routes))]);
}

static void do_reply(struct model *m, int at)
{
    struct model_worker *worker = &m->workers[at];
    if (!worker->epoch || !worker->held_count) {
        return;
    }
    uint32_t which = pick(worker->held_count);
    uint64_t corr = worker->held[which].corr;
    if (pick(10) == 0) { /* garbled numbers are nobody's */
        send_reply(&m->h, peer_names[at], worker->epoch, corr ^ (UINT64_C(1) << pick(63)) ^ (UINT64_C(1) << 63));
        return;
    }
    worker->held[which] = worker->held[--worker->held_count];
    send_reply(&m->h, peer_names[at], worker->epoch, corr);
    if (pick(10) == 0) { /* twice */
        see_sends(m);
        send_reply(&m->h, peer_names[at], worker->epoch, corr);
    }
}

static void do_small_frame(struct model *m, int at)
{
    static const enum frame_type types[] = {FRAME_PING, FRAME_CREDIT, FRAME_DRAIN, FRAME_BYE, FRAME_CANCEL};
    enum plane plane = pick(2) ? PLANE_WORKERS : PLANE_CLIENTS;
    uint32_t epoch = plane == PLANE_WORKERS ? m->workers[at].epoch : m->clients[at];
    enum frame_type type = types[pick(10) ? pick(2) * 4 : pick(ARRAY_COUNT(types))];
    struct frame_head head = head_of(&m->h, type, epoch, 1 + pick((uint32_t)m->serial + 1));
    bool of_worker = plane == PLANE_WORKERS && epoch;
    if (type == FRAME_CREDIT) {
        head.credit = (uint16_t)pick(MODEL_CREDIT_MAX + 1);
        m->workers[at].credit = of_worker ? head.credit : m->workers[at].credit;
    } else if (type == FRAME_DRAIN && of_worker) {
        m->workers[at].draining = true;
    } else if (type == FRAME_BYE && of_worker) {
        worker_forget(&m->workers[at]);
    } else if (type == FRAME_BYE && epoch) {
        client_forget(m, at);
    }
    send_frame(&m->h, plane, peer_names[at], &head, NULL, 0);
}

static void do_garbage(struct model *m, int at)
{
    uint8_t bytes[FRAME_HEAD_SIZE];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)rand();
    }
    memcpy(bytes, "BUS1", pick(2) ? 4 : 0);
    bytes[4] = bytes[4] % FRAME_TYPE_COUNT;
    bytes[6] %= 4;
    struct text junk[3] = {{(const char *)bytes, pick(64)}, {(const char *)bytes, pick(64)}, TEXT("")};
    int count = (int)pick(4);
    broker_receive(m->h.broker, pick(2) ? PLANE_CLIENTS : PLANE_WORKERS, text_of(pick(2) ? "9" : peer_names[at]),
                   (struct text){(const char *)bytes, pick(9) ? FRAME_HEAD_SIZE : pick(FRAME_HEAD_SIZE)},
                   count ? parcel_of(junk, count) : NULL, m->h.now_us);
}

static void do_time(struct model *m)
{
    m->h.now_us += pick(200) ? pick(3000) : pick(5 * 1000 * 1000);
    (void)broker_tick(m->h.broker, m->h.now_us);
}

static void model_step(struct model *m)
{
    int at = (int)pick(MODEL_PEERS);
    uint32_t what = pick(1000);
    if (what < 400) {
        do_request(m, at);
    } else if (what < 750) {
        do_reply(m, at);
    } else if (what < 850) {
        do_time(m);
    } else if (what < 950) {
        do_small_frame(m, at);
    } else if (what < 970) {
        do_garbage(m, at);
    } else if (what < 990) {
        enum plane plane = pick(2) ? PLANE_WORKERS : PLANE_CLIENTS;
        bool there = plane == PLANE_WORKERS ? m->workers[at].epoch != 0 : m->clients[at] != 0;
        if (!there || pick(8) == 0) {
            do_hello(m, plane, at);
        }
    } else if (pick(4) == 0) {
        worker_forget(&m->workers[at]);
        broker_peer_gone(m->h.broker, PLANE_WORKERS, text_of(peer_names[at]), m->h.now_us);
    }
    see_sends(m);
}

static void test_model(void **state)
{
    const struct model_options *options = *state;
    struct model *m = mem_alloc(sizeof *m);
    harness_init(&m->h);
    m->h.settings.queue.count = 20;
    m->h.settings.affinity_max = 1;
    harness_start(&m->h);
    srand(options->seed);
    for (int64_t step = 0; step < options->steps; step++) {
        model_step(m);
        struct broker_counts counts = broker_counts(m->h.broker);
        assert_int_equal(counts.accepted, counts.replied + counts.nacked + counts.in_flight);
    }
    struct broker_counts counts = broker_counts(m->h.broker);
    if (options->steps >= MODEL_STEPS) { /* else it may not have come to everything */
        assert_true(m->begun > 10000 && m->ended > 20000 && counts.redelivered > 100 && counts.late > 100);
    }
    print_message("%lld steps, seed %u: %llu begun, %llu ended, %llu sent again\n", (long long)options->steps,
                  options->seed, (unsigned long long)m->begun, (unsigned long long)m->ended,
                  (unsigned long long)counts.redelivered);
    broker_stop(m->h.broker, m->h.now_us);
    see_sends(m);
    for (uint64_t i = 0; i < MODEL_REQUESTS; i++) {
        assert_true(!m->requests[i].open || m->requests[i].no_reply); /* all others have heard */
    }
    harness_release(&m->h);
    mem_free(m);
}

static bool options_read(int argc, char **argv, struct model_options *out)
{
    *out = (struct model_options){.steps = MODEL_STEPS, .seed = MODEL_SEED};
    for (int i = 1; i < argc; i += 2) {
        int64_t value = 0;
        if (i + 1 == argc || !text_to_int(text_of(argv[i + 1]), &value) || value < 0) {
            return false;
        }
        if (strcmp(argv[i], "--steps") == 0) {
            out->steps = value;
        } else if (strcmp(argv[i], "--seed") == 0) {
            out->seed = (unsigned int)value;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct model_options options;
    if (!options_read(argc, argv, &options)) {
        fprintf(stderr, "usage: %s [--steps N] [--seed S]\n", argv[0]);
        return 2;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_model, &options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
