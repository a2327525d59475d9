/* Both ends of a way that is measured: direct (DEALER to ROUTER), bare (through the bare forwarder), broker (through
 * ours).
 *
 *     load worker MODE BASE [1 0 KEYS]               answers until it is killed
 *     load client MODE BASE IN_FLIGHT SECONDS [KEYS] prints requests a second, median and 99 % latency in microseconds,
 *                                                    and how many there were, warm-up included
 *     load idle MODE BASE COUNT                      COUNT peers that say nothing; prints "ready", ends with its input
 *     load churn MODE BASE COUNT                     COUNT peers one after the other; every tenth one leaves without
 *                                                    a word
 *
 * KEYS is a folder with the keys of client, worker and broker: then it is CURVE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "lib/bus/peer.h"

enum {
    BODY_SIZE = 200,
    CREDIT = 4000,
    PASS_MAX = 64,
    HIGH_WATER = 10000,
    LATENCY_MAX_COUNT = 1 << 20,
    IDLE_HEARTBEAT_MS = 60000,
    SECOND_US = 1000000,
    WAIT_MS = 10,
    START_MS = 20000,
    SILENT_EVERY = 10
};

enum mode { MODE_DIRECT, MODE_BARE, MODE_BROKER, MODE_COUNT };
static const char *const mode_names[MODE_COUNT] = {"direct", "bare", "broker"};

struct way {
    enum mode mode;
    void *context;
    const char *base;
    struct credentials credentials; /* of this end; known with CURVE only */
};

/* One end of the way. */
struct line {
    enum mode mode;
    bool with_id; /* messages have the client's routing id in front */
    void *socket;
    struct peer_settings settings;
    struct peer peer; /* of MODE_BROKER; socket is its */
};

static const struct hello_service echo_service = {.name = {"bench", 5}, .credit = CREDIT};

static void *socket_open(const struct way *way, int type, const char *address, bool binds)
{
    int high_water = HIGH_WATER, linger = 0, immediate = 1, on = 1;
    void *socket = zmq_socket(way->context, type);
    ASSERT(socket != NULL);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof high_water);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_IMMEDIATE, &immediate, sizeof immediate);
    if (!binds) {
        credentials_set(&way->credentials, socket, address);
    } else if (way->credentials.known) {
        ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) == 0);
        ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, way->credentials.own.secret_key, KEY_TEXT_SIZE) == 0);
    }
    ASSERT((binds ? zmq_bind(socket, address) : zmq_connect(socket, address)) == 0);
    return socket;
}

static void patiently_send(void *socket, const char *bytes, size_t size)
{
    int64_t until_ms = clock_now_ms() + START_MS;
    while (zmq_send(socket, bytes, size, ZMQ_DONTWAIT) < 0) { /* not connected yet */
        ASSERT(clock_now_ms() < until_ms);
        zmq_poll(NULL, 0, 1);
    }
}

static void session_begin(struct line *line, const struct way *way, const char *address, bool worker,
                          int64_t heartbeat_ms)
{
    struct message message;
    int64_t until_ms = clock_now_ms() + START_MS;
    line->settings = (struct peer_settings){.context = way->context,
                                            .role = worker ? "worker" : "gateway",
                                            .instance = worker ? "bench-worker" : "bench-client",
                                            .services = worker ? &echo_service : NULL,
                                            .service_count = worker,
                                            .heartbeat_ms = heartbeat_ms,
                                            .credentials = &way->credentials};
    peer_open(&line->peer, &line->settings, address);
    while (!line->peer.up) {
        zmq_pollitem_t item = {.socket = line->peer.socket, .events = peer_poll_events(&line->peer)};
        ASSERT(clock_now_ms() < until_ms);
        zmq_poll(&item, 1, WAIT_MS);
        if (peer_receive(&line->peer, &message) == PEER_MESSAGE) {
            message_release(&message);
        }
        (void)peer_tick(&line->peer, clock_now_ms());
    }
    line->socket = line->peer.socket;
}

static void line_open(struct line *line, const struct way *way, bool worker, int64_t heartbeat_ms)
{
    enum mode mode = way->mode;
    char address[BUS_ADDRESS_SIZE];
    *line = (struct line){.mode = mode, .with_id = worker && mode != MODE_BROKER};
    ASSERT(bus_address(way->base, worker || mode == MODE_DIRECT ? BUS_WORKERS : BUS_CLIENTS, address));
    if (mode == MODE_BROKER) {
        session_begin(line, way, address, worker, heartbeat_ms);
        return;
    }
    bool binds = worker && mode == MODE_DIRECT;
    line->socket = socket_open(way, binds ? ZMQ_ROUTER : ZMQ_DEALER, address, binds);
    if (!binds && (worker || mode == MODE_BARE)) {
        patiently_send(line->socket, "x", 1); /* I am here */
    }
}

static bool line_receive(struct line *line, struct message *out)
{
    if (line->mode == MODE_BROKER) {
        enum peer_news news;
        while ((news = peer_receive(&line->peer, out)) == PEER_NOTHING) {
        }
        ASSERT(news != PEER_LOST);
        return news == PEER_MESSAGE;
    }
    return message_receive(line->socket, out) == MESSAGE_GOOD;
}

static void line_wait(struct line *line)
{
    zmq_pollitem_t item = {.socket = line->socket, .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, WAIT_MS);
    if (line->mode == MODE_BROKER && peer_ping_due(&line->peer, clock_now_ms())) {
        peer_ping(&line->peer, clock_now_ms(), (struct text){0}, 0);
    }
}

static void message_go(struct line *line, struct message *message)
{
    while (!message_send(line->socket, message)) {
        zmq_poll(NULL, 0, 1);
    }
}

/* ---- worker ---- */

static bool answer_one(struct line *line)
{
    struct message request;
    struct message reply = {.head = {.type = FRAME_REPLY, .attempt = 1, .status = 200, .credit = 1}};
    zmq_msg_t id;
    zmq_msg_init(&id);
    if (line->with_id && zmq_msg_recv(&id, line->socket, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    if (!line_receive(line, &request)) {
        zmq_msg_close(&id);
        return line->with_id;
    }
    reply.head.corr = request.head.corr;
    memcpy(reply.head.request_id, request.head.request_id, ID_SIZE);
    reply.head.epoch = line->mode == MODE_BROKER ? line->peer.epoch : 0;
    message_add(&reply, TEXT("\x80"));
    message_add(&reply, message_part(&request, 2));
    if (line->with_id) {
        zmq_msg_send(&id, line->socket, ZMQ_SNDMORE);
    }
    message_go(line, &reply);
    zmq_msg_close(&id);
    message_release(&request);
    message_release(&reply);
    return true;
}

static void worker_run(struct line *line)
{
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = 0;
        while (count < PASS_MAX && answer_one(line)) {
            count++;
        }
        if (count == 0) {
            line_wait(line);
        }
    }
}

/* ---- client ---- */

struct measure {
    int64_t *begun_us;   /* by slot */
    int32_t *latency_us; /* the last LATENCY_MAX_COUNT */
    int64_t count;
};

static void request_go(struct line *line, struct measure *measure, uint64_t slot)
{
    static const char body[BODY_SIZE];
    struct message message = {.head = {.type = FRAME_REQUEST,
                                       .attempt = 1,
                                       .priority = 1,
                                       .flags = FRAME_REPEATABLE,
                                       .corr = slot + 1,
                                       .budget_ms = 30000,
                                       .epoch = line->mode == MODE_BROKER ? line->peer.epoch : 0}};
    int64_t now_us = clock_now_us();
    memcpy(message.head.request_id, &now_us, sizeof now_us);
    memcpy(message.head.request_id + 8, &slot, sizeof slot);
    message_add(&message, TEXT("bench.echo"));
    message_add(&message, TEXT("\x80"));
    message_add(&message, (struct text){body, sizeof body});
    measure->begun_us[slot] = now_us;
    message_go(line, &message);
    message_release(&message);
}

static bool answer_take(struct line *line, struct measure *measure, uint64_t *out_slot)
{
    struct message reply;
    while (line_receive(line, &reply)) {
        bool good = reply.head.type == FRAME_REPLY;
        if (reply.head.type == FRAME_NACK) {
            fprintf(stderr, "load: refused with %d\n", reply.head.status);
            exit(1);
        }
        *out_slot = reply.head.corr - 1;
        message_release(&reply);
        if (good) {
            int64_t took_us = clock_now_us() - measure->begun_us[*out_slot];
            measure->latency_us[measure->count++ % LATENCY_MAX_COUNT] = (int32_t)took_us;
            return true;
        }
    }
    return false;
}

/* Goes on for so long; all requests are answered when it returns. */
static double client_load(struct line *line, struct measure *measure, int in_flight, int64_t time_us)
{
    int64_t begin_us = clock_now_us(), now_us = begin_us;
    int open = in_flight;
    uint64_t slot;
    measure->count = 0;
    for (int i = 0; i < in_flight; i++) {
        request_go(line, measure, (uint64_t)i);
    }
    while (open > 0) {
        int count = 0;
        while (count < PASS_MAX && answer_take(line, measure, &slot)) {
            count++;
            if (now_us - begin_us < time_us) {
                request_go(line, measure, slot);
            } else {
                open--;
            }
        }
        if (count == 0) {
            line_wait(line);
        }
        now_us = clock_now_us();
    }
    return (double)measure->count * SECOND_US / (double)(now_us - begin_us);
}

static int compare(const void *a, const void *b)
{
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return (left > right) - (left < right);
}

static void client_run(struct line *line, int in_flight, double seconds)
{
    struct measure measure = {.begun_us = mem_alloc_array((size_t)in_flight, sizeof(int64_t)),
                              .latency_us = mem_alloc_array(LATENCY_MAX_COUNT, sizeof(int32_t))};
    (void)client_load(line, &measure, in_flight, (int64_t)(seconds * SECOND_US / 5)); /* to get warm */
    int64_t warm_count = measure.count;
    double rate = client_load(line, &measure, in_flight, (int64_t)(seconds * SECOND_US));
    size_t count = (size_t)(measure.count < LATENCY_MAX_COUNT ? measure.count : LATENCY_MAX_COUNT);
    qsort(measure.latency_us, count, sizeof *measure.latency_us, compare);
    printf("%.0f %d %d %lld\n", rate, measure.latency_us[count / 2], measure.latency_us[count - 1 - count / 100],
           (long long)(warm_count + measure.count));
    mem_free(measure.begun_us);
    mem_free(measure.latency_us);
}

/* ---- many peers ---- */

static int idle_run(const struct way *way, int count)
{
    char byte;
    struct line *lines = mem_alloc_array((size_t)count, sizeof *lines);
    for (int i = 0; i < count; i++) {
        line_open(&lines[i], way, false, IDLE_HEARTBEAT_MS);
    }
    puts("ready");
    fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

static int churn_run(const struct way *way, int count)
{
    for (int i = 0; i < count; i++) {
        struct line line;
        line_open(&line, way, false, IDLE_HEARTBEAT_MS / 60);
        if (way->mode == MODE_BROKER && i % SILENT_EVERY) {
            peer_close(&line.peer);
        } else {
            zmq_close(line.socket);
        }
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: load worker|client|idle|churn direct|bare|broker BASE [COUNT [SECONDS [KEYS]]]\n");
    return 2;
}

static void files_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The pair of this end, and the broker's public key. Who binds has the broker's pair. */
static bool keys_load(struct way *way, const char *keys, bool worker)
{
    char why[256];
    const char *name = !worker ? "client" : way->mode == MODE_DIRECT ? KEY_BROKER_NAME : "worker";
    if (!key_pair_load(keys, name, &way->credentials.own, why, sizeof why) ||
        !key_public_of(keys, KEY_BROKER_NAME, way->credentials.broker, why, sizeof why)) {
        fprintf(stderr, "load: %s\n", why);
        return false;
    }
    way->credentials.known = true;
    return true;
}

int main(int argc, char **argv)
{
    enum mode mode = MODE_DIRECT;
    while (argc > 3 && mode < MODE_COUNT && strcmp(argv[2], mode_names[mode]) != 0) {
        mode++;
    }
    if (argc < 4 || mode == MODE_COUNT) {
        return usage();
    }
    files_raise();
    struct way way = {.mode = mode, .context = bus_context_new(), .base = argv[3]};
    int count = argc > 4 ? atoi(argv[4]) : 1;
    bool worker = strcmp(argv[1], "worker") == 0;
    if (strcmp(argv[1], "idle") == 0 || strcmp(argv[1], "churn") == 0) {
        int status = argv[1][0] == 'i' ? idle_run(&way, count) : churn_run(&way, count);
        _exit(status); /* as a crash would: nobody says goodbye */
    }
    if (!worker && strcmp(argv[1], "client") != 0) {
        return usage();
    }
    if (argc > 6 && !keys_load(&way, argv[6], worker)) {
        return 1;
    }
    struct line line;
    line_open(&line, &way, worker, 1000);
    if (worker) {
        worker_run(&line);
    }
    client_run(&line, count, argc > 5 ? atof(argv[5]) : 1);
    fflush(stdout);
    _exit(0);
}
