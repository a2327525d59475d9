/* Events through a PUB socket, as fast as they go, to many subscribers.
 *     taps send bind|connect ADDRESS COUNT FRAMES    sends "warm." until a line comes on stdin, then COUNT events; ends with stdin
 *     taps hear ADDRESS SUBSCRIBERS COUNT            prints "ready" when every subscriber hears, then what all of them got
 *                                                    together, and in how many microseconds from the first to the last
 *     taps pass IN OUT                               libzmq's own proxy between the two: the least that a relay costs
 *     taps tell ADDRESS                              a line for each message: when it came (CLOCK_MONOTONIC, ns), and its subject */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "proto/event.h"

enum { META_SIZE = 300, PAYLOAD_SIZE = 256, FRAMES_MAX = 4, SUBSCRIBERS_MAX = 256, PASS_MAX = 64 };
enum { PASS_HIGH_WATER = 1000000, WARM_MS = 2, QUIET_MS = 3000 };

static const char topic[] = "order.placed.";

static void *socket_open(int type, const char *way, const char *address, int queue)
{
    static void *context;
    context = context ? context : zmq_ctx_new();
    void *socket = zmq_socket(context, type);
    int linger = 0;
    zmq_setsockopt(socket, ZMQ_SNDHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &queue, sizeof queue);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if ((strcmp(way, "bind") == 0 ? zmq_bind : zmq_connect)(socket, address) != 0) {
        fprintf(stderr, "taps: %s: %s\n", address, zmq_strerror(zmq_errno()));
        exit(1);
    }
    return socket;
}

/* ---- sending ---- */

static void event_send(void *socket, const char *name, int frames)
{
    static const char bytes[META_SIZE > PAYLOAD_SIZE ? META_SIZE : PAYLOAD_SIZE];
    const size_t sizes[FRAMES_MAX] = {strlen(name), META_SIZE, PAYLOAD_SIZE, PAYLOAD_SIZE};
    for (int i = 0; i < frames; i++) {
        (void)zmq_send(socket, i == 0 ? name : bytes, sizes[i], i + 1 < frames ? ZMQ_SNDMORE : 0);
    }
}

static int send_all(const char *way, const char *address, int count, int frames)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[16];
    void *socket = socket_open(ZMQ_PUB, way, address, 2 * count);
    while (poll(&input, 1, WARM_MS) == 0) {
        event_send(socket, "warm.", frames);
    }
    if (read(STDIN_FILENO, line, sizeof line) <= 0) {
        return 1;
    }
    for (int i = 0; i < count; i++) {
        event_send(socket, topic, frames);
    }
    while (read(STDIN_FILENO, line, sizeof line) > 0) {
    }
    return 0;
}

/* ---- hearing ---- */

/* 1: an event; 0: a warm-up; -1: nothing is there. */
static int event_receive(void *socket)
{
    int result = -1, more = 1;
    for (int i = 0; more; i++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            return -1;
        }
        if (i == 0) {
            result = zmq_msg_size(&frame) == strlen(topic);
        }
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    return result;
}

struct hearing {
    zmq_pollitem_t items[SUBSCRIBERS_MAX];
    int subscriber_count, warm_count;
    int warm[SUBSCRIBERS_MAX];
    long received;
    int64_t first_us, last_us;
};

static void subscriber_read(struct hearing *self, int at)
{
    int got;
    for (int n = 0; n < PASS_MAX && (got = event_receive(self->items[at].socket)) >= 0; n++) {
        self->warm_count += !self->warm[at];
        self->warm[at] = 1;
        self->received += got;
        if (got) {
            self->last_us = clock_now_us();
            self->first_us = self->first_us ? self->first_us : self->last_us;
        }
    }
}

static int hear_all(const char *address, int subscribers, int count)
{
    static struct hearing self;
    long wanted = (long)subscribers * count;
    int told = 0, events = 1;
    self.subscriber_count = subscribers;
    for (int i = 0; i < subscribers; i++) {
        self.items[i] =
            (zmq_pollitem_t){.socket = socket_open(ZMQ_SUB, "connect", address, 2 * count), .events = ZMQ_POLLIN};
        zmq_setsockopt(self.items[i].socket, ZMQ_SUBSCRIBE, "", 0);
    }
    while (self.received < wanted && events > 0) {
        events = zmq_poll(self.items, subscribers, told ? QUIET_MS : 10 * QUIET_MS);
        for (int i = 0; i < subscribers; i++) {
            if (self.items[i].revents) {
                subscriber_read(&self, i);
            }
        }
        if (!told && self.warm_count == subscribers) {
            told = printf("ready\n") > 0 && fflush(stdout) == 0;
        }
    }
    printf("%ld %lld\n", self.received, (long long)(self.last_us - self.first_us));
    return 0;
}

/* ---- passing on ---- */

static int pass_all(const char *in, const char *out)
{
    void *publish = socket_open(ZMQ_XSUB, "bind", in, PASS_HIGH_WATER);
    void *events = socket_open(ZMQ_XPUB, "bind", out, PASS_HIGH_WATER);
    printf("ready\n");
    fflush(stdout);
    return zmq_proxy(publish, events, NULL);
}

/* ---- telling ---- */

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* as the one who asks tells time */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void message_tell(void *socket)
{
    AUTO(arena_release) struct arena arena = {0};
    struct event_meta meta = {0};
    zmq_msg_t frame;
    int more = 1;
    int64_t at_ns = 0;
    for (int i = 0; more; i++) {
        zmq_msg_init(&frame);
        (void)zmq_msg_recv(&frame, socket, 0);
        at_ns = at_ns ? at_ns : monotonic_ns();
        struct text bytes = {zmq_msg_data(&frame), (uint32_t)zmq_msg_size(&frame)};
        if (i == 1 && record_unpack(&event_meta_record, bytes, &arena, NULL, &meta) == ERR_NONE) {
            printf("%lld %.*s\n", (long long)at_ns, TEXT_ARG(meta.subject));
        }
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
}

static int tell_all(const char *address)
{
    void *socket = socket_open(ZMQ_SUB, "connect", address, PASS_MAX);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    while (fflush(stdout) == 0) {
        message_tell(socket);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "send") == 0) {
        return send_all(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]));
    }
    if (argc == 5 && strcmp(argv[1], "hear") == 0 && atoi(argv[3]) <= SUBSCRIBERS_MAX) {
        return hear_all(argv[2], atoi(argv[3]), atoi(argv[4]));
    }
    if (argc == 4 && strcmp(argv[1], "pass") == 0) {
        return pass_all(argv[2], argv[3]);
    }
    if (argc == 3 && strcmp(argv[1], "tell") == 0) {
        return tell_all(argv[2]);
    }
    fprintf(stderr, "usage: taps send bind|connect ADDRESS COUNT FRAMES | taps hear ADDRESS SUBSCRIBERS COUNT |"
                    " taps pass IN OUT |"
                    " taps tell ADDRESS\n");
    return 2;
}
