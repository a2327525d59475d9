/* The core as a whole: garbage, drain, and a model. The model throws random frames, deaths and jumps of the clock at
 * the core and checks with books of its own that every accepted request ends once, that no worker has more than its
 * credit, and that nothing is begun after its time. */
#include "tests/broker/harness.h"

#include <stdlib.h>

static void test_garbage_is_counted_and_harms_nobody(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t worker = say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    const struct text frames[] = {TEXT(""), TEXT("BUS1"), TEXT("GET / HTTP/1.1\r\n\r\n")};
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        broker_receive(h.broker, PLANE_CLIENTS, TEXT("c"), frames[i], NULL, h.now_us);
        broker_receive(h.broker, PLANE_WORKERS, TEXT("stranger"), frames[i], parcel_of(frames, 3), h.now_us);
    }
    struct frame_head head = head_of(&h, FRAME_WELCOME, client, 1);
    send_frame(&h, PLANE_CLIENTS, "c", &head, NULL, 0); /* nothing that a peer sends */
    head.type = FRAME_REQUEST;
    head.epoch = worker;
    send_frame(&h, PLANE_WORKERS, "w", &head, NULL, 0);
    head.type = FRAME_REPLY;
    head.epoch = client;
    send_frame(&h, PLANE_CLIENTS, "c", &head, frames, 2);
    head.type = FRAME_CREDIT;
    send_frame(&h, PLANE_CLIENTS, "c", &head, NULL, 0);
    head.type = FRAME_PING;
    send_frame(&h, PLANE_CLIENTS, "c", &head, frames, 2);
    expect_nothing(&h);
    assert_int_equal(broker_counts(h.broker).garbage, 11);
    head = head_of(&h, FRAME_REQUEST, client, 1);
    head.flags = FRAME_REPEATABLE;
    send_request(&h, "c", &head, "echo.say");
    struct frame_head given = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    given.type = FRAME_REPLY;
    given.epoch = worker;
    send_frame(&h, PLANE_WORKERS, "w", &given, frames, 1); /* an answer that cannot be read: the worker starts anew */
    expect(&h, PLANE_WORKERS, "w", FRAME_BYE);
    say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    assert_int_equal(expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST).attempt, 2);
    harness_release(&h);
}

static void test_drain_and_stop(void **state)
{
    (void)state;
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t worker = say_hello(&h, PLANE_WORKERS, "w", "echo:1");
    uint32_t client = say_hello(&h, PLANE_CLIENTS, "c", "");
    for (uint64_t corr = 1; corr <= 3; corr++) {
        struct frame_head head = head_of(&h, FRAME_REQUEST, client, corr);
        send_request(&h, "c", &head, "echo.say");
    }
    struct frame_head given = expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_drain(h.broker, h.now_us);
    expect(&h, PLANE_CLIENTS, "c", FRAME_DRAIN);
    expect(&h, PLANE_WORKERS, "w", FRAME_DRAIN);
    struct frame_head head = head_of(&h, FRAME_REQUEST, client, 4);
    send_request(&h, "c", &head, "echo.say");
    expect_nack(&h, "c", 4, 503);
    send_reply(&h, "w", worker, given.corr); /* what was accepted goes on */
    expect(&h, PLANE_CLIENTS, "c", FRAME_REPLY);
    expect(&h, PLANE_WORKERS, "w", FRAME_REQUEST);
    broker_stop(h.broker, h.now_us);
    expect_nack(&h, "c", 3, 503);
    expect_nack(&h, "c", 2, 502);
    expect(&h, PLANE_CLIENTS, "c", FRAME_BYE);
    expect(&h, PLANE_WORKERS, "w", FRAME_BYE);
    expect_nothing(&h);
    harness_release(&h);
}

/* ---- the model ---- */

enum { MODEL_STEPS = 200000, MODEL_PEERS = 6, MODEL_CREDIT_MAX = 5, MODEL_REQUESTS = 1 << 16, MODEL_HELD = 64 };

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
    (void)state;
    struct model *m = mem_alloc(sizeof *m);
    harness_init(&m->h);
    m->h.settings.queue.count = 20;
    m->h.settings.affinity_max = 1;
    harness_start(&m->h);
    srand(20240229);
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(m);
        struct broker_counts counts = broker_counts(m->h.broker);
        assert_int_equal(counts.accepted, counts.replied + counts.nacked + counts.in_flight);
    }
    struct broker_counts counts = broker_counts(m->h.broker);
    assert_true(m->begun > 10000 && m->ended > 20000 && counts.redelivered > 100 && counts.late > 100);
    broker_stop(m->h.broker, m->h.now_us);
    see_sends(m);
    for (uint64_t i = 0; i < MODEL_REQUESTS; i++) {
        assert_true(!m->requests[i].open || m->requests[i].no_reply); /* all others have heard */
    }
    harness_release(&m->h);
    mem_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage_is_counted_and_harms_nobody),
        cmocka_unit_test(test_drain_and_stop),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
