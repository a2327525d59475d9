#include "tests/broker/live.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/program.h"
#include "lib/base/clock.h"

static void live_ready(struct env *env, const char *detail)
{
    struct live *live = env->owner;
    assert_non_null(detail);
    assert_int_equal(eventfd_write(live->ready_fd, 1), 0);
}

static void *live_run(void *user)
{
    struct live *live = user;
    struct program_host host = {
        .log = &live->log, .bus_context = live->context, .stop_fd = live->stop_fd, .ready = live_ready, .owner = live};
    live->status = program_run(&broker_program, live->argc, live->argv, &host);
    eventfd_write(live->ready_fd, 2); /* whoever waits for ready waits in vain */
    return NULL;
}

bool live_start(struct live *live, void *context, const char *const *flags)
{
    return live_start_logged(live, context, flags, -1);
}

bool live_start_logged(struct live *live, void *context, const char *const *flags, int log_fd)
{
    static char name[] = "broker";
    eventfd_t ready;
    *live = (struct live){.context = context, .log = {.fd = log_fd, .level = LOG_ERROR, .program = "test"}, .argc = 1};
    live->argv[0] = name;
    for (; *flags; flags++) {
        assert_true(live->argc <= LIVE_MAX_FLAGS);
        live->argv[live->argc++] = mem_copy_string(*flags);
    }
    live->stop_fd = eventfd(0, EFD_CLOEXEC);
    live->ready_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(pthread_create(&live->thread, NULL, live_run, live), 0);
    struct pollfd wait = {.fd = live->ready_fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, LIVE_WAIT_MS), 1);
    assert_int_equal(eventfd_read(live->ready_fd, &ready), 0);
    return ready == 1;
}

void live_stop(struct live *live)
{
    assert_int_equal(eventfd_write(live->stop_fd, 1), 0);
}

int live_join(struct live *live)
{
    assert_int_equal(pthread_join(live->thread, NULL), 0);
    close(live->stop_fd);
    close(live->ready_fd);
    for (int i = 1; i < live->argc; i++) {
        mem_free(live->argv[i]);
    }
    return live->status;
}

void *dealer_open(void *context, const char *address)
{
    int linger = 0;
    void *socket = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(socket, address), 0);
    return socket;
}

struct frame_head peer_head(const struct wire_peer *peer, enum frame_type type, uint64_t corr)
{
    struct frame_head head = {.type = type,
                              .attempt = 1,
                              .corr = corr,
                              .t_send_us = clock_now_us(),
                              .budget_ms = LIVE_WAIT_MS,
                              .epoch = peer->epoch,
                              .status = type == FRAME_REPLY ? 200 : 0};
    memcpy(head.request_id, &corr, sizeof corr);
    return head;
}

void peer_send_frame(struct wire_peer *peer, const struct frame_head *head, const struct text *parts, int count)
{
    uint8_t bytes[FRAME_HEAD_SIZE];
    frame_head_write(head, bytes);
    assert_int_equal(zmq_send(peer->socket, bytes, sizeof bytes, count ? ZMQ_SNDMORE : 0), sizeof bytes);
    for (int i = 0; i < count; i++) {
        assert_int_equal(zmq_send(peer->socket, parts[i].data, parts[i].size, i + 1 < count ? ZMQ_SNDMORE : 0),
                         parts[i].size);
    }
}

struct wire_peer peer_open(void *context, const char *address, const char *services)
{
    struct wire_peer peer = {.socket = dealer_open(context, address)};
    struct hello_service list[4];
    struct hello hello = {.role = text_of(services[0] ? "worker" : "gateway"),
                          .instance = TEXT("test"),
                          .version = TEXT("1"),
                          .services = {.items = list},
                          .hb_ms = 60000}; /* the broker's wish decides */
    struct arena arena = {0};
    struct text rest = services[0] ? text_of(services) : (struct text){0}, one, name;
    while (text_cut(&rest, ',', &one)) {
        assert_true(text_cut(&one, ':', &name));
        list[hello.services.count++] = (struct hello_service){.name = name, .credit = atoi(one.data)};
    }
    struct text body = record_pack_in(&hello_record, &hello, &arena);
    struct frame_head head = peer_head(&peer, FRAME_HELLO, 1);
    peer_send_frame(&peer, &head, &body, 1);
    struct wire_frame frame;
    frame_expect(&peer, FRAME_WELCOME, &frame);
    peer.epoch = frame.head.epoch;
    frame_release(&frame);
    arena_release(&arena);
    return peer;
}

void peer_close(struct wire_peer *peer)
{
    assert_int_equal(zmq_close(peer->socket), 0);
    peer->socket = NULL;
}

bool frame_receive(void *socket, int wait_ms, struct wire_frame *out)
{
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    char bytes[FRAME_HEAD_SIZE];
    if (zmq_poll(&item, 1, wait_ms) <= 0) {
        return false;
    }
    assert_int_equal(zmq_recv(socket, bytes, sizeof bytes, 0), sizeof bytes);
    assert_true(frame_head_read((struct text){bytes, sizeof bytes}, &out->head));
    int more = 0;
    size_t size = sizeof more;
    out->count = 0;
    zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
    while (more) {
        assert_true(out->count < PARCEL_MAX_PARTS);
        zmq_msg_t *part = &out->parts[out->count++];
        zmq_msg_init(part);
        assert_true(zmq_msg_recv(part, socket, 0) >= 0);
        more = zmq_msg_more(part);
    }
    return true;
}

void frame_release(struct wire_frame *frame)
{
    while (frame->count > 0) {
        zmq_msg_close(&frame->parts[--frame->count]);
    }
}

struct text frame_part(struct wire_frame *frame, int at)
{
    assert_true(at < frame->count);
    return (struct text){zmq_msg_data(&frame->parts[at]), (uint32_t)zmq_msg_size(&frame->parts[at])};
}

void frame_expect(struct wire_peer *peer, enum frame_type type, struct wire_frame *out)
{
    assert_true(frame_receive(peer->socket, LIVE_WAIT_MS, out));
    assert_string_equal(frame_type_name(out->head.type), frame_type_name(type));
}
