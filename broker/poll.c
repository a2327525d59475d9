#include "broker/poll.h"

#include <errno.h>

#include "broker/backlog.h"
#include "broker/packet.h"
#include "broker/socket.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum {
    MESSAGES_PER_PASS = 64,
    FRAME_ROOM_SIZE = 64 * 1024, /* what a frame may be longer than a body */
    RETRY_EVERY_US = 2 * 1000,
    RETRY_WAIT_MS = 5,
    STOP_LOOK_EVERY_US = 20 * 1000,
    KEYS_LOOK_EVERY_US = GUARD_LOOK_EVERY_MS * 1000,
    CROWD_LOOK_EVERY_US = 2 * 1000 * 1000,
    CROWD_COUNT = 500, /* sessions that ended: about 15 MiB */
    BACKLOG_AGE_MAX_US = 10 * 1000 * 1000,
    FAREWELL_US = 200 * 1000, /* for backlogs, after the last BYE */
    FAREWELL_LINGER_MS = 500  /* for what libzmq has taken by then */
};

struct poller {
    struct env *env;
    const struct poller_settings *settings;
    void *sockets[PLANE_COUNT];
    struct packets packets;
    struct backlogs backlogs;
    struct guard_view view;
    bool guarded[PLANE_COUNT];
    struct broker *broker; /* borrowed while it runs */
    struct metric *slow_peers, *backlog_count;
    int64_t retry_us, stop_look_us, keys_look_us, crowd_look_us;
    uint32_t crowd_count; /* most sessions since memory was given back */
    int64_t drain_until_us; /* 0: not draining */
    bool closed;            /* the libzmq context is going away */
};

struct poller *poller_new(struct env *env, const struct poller_settings *settings, char *message, size_t message_size)
{
    struct poller *self = mem_alloc(sizeof *self);
    struct socket_settings socket = {.context = env->bus_context,
                                     .type = ZMQ_ROUTER,
                                     .hwm = settings->hwm,
                                     .max_size = FRAME_MAX_BODY + FRAME_ROOM_SIZE,
                                     .guard = settings->guard,
                                     .plane = KEY_AT_CLIENTS};
    guard_view_open(&self->view, settings->guard);
    self->guarded[PLANE_CLIENTS] = socket_is_guarded(settings->guard, settings->clients);
    self->guarded[PLANE_WORKERS] = socket_is_guarded(settings->guard, settings->workers);
    self->env = env;
    self->settings = settings;
    self->backlogs.count_max = settings->backlog_count_max;
    self->backlogs.size_max = settings->backlog_size_max;
    self->backlogs.age_max_us = BACKLOG_AGE_MAX_US;
    self->slow_peers = metrics_get(env->metrics, METRIC_COUNTER, "zmart_broker_slow_peers_total", "",
                                   "Peers dropped because they did not read what was sent to them.");
    self->backlog_count =
        metrics_get(env->metrics, METRIC_GAUGE, "zmart_broker_backlogs", "", "Peers that messages wait for.");
    self->sockets[PLANE_CLIENTS] = socket_open(&socket, settings->clients, message, message_size);
    socket.plane = KEY_AT_WORKERS;
    if (self->sockets[PLANE_CLIENTS] &&
        (!settings->operators ||
         socket_bind(self->sockets[PLANE_CLIENTS], settings->operators, message, message_size))) {
        self->sockets[PLANE_WORKERS] = socket_open(&socket, settings->workers, message, message_size);
    }
    if (!self->sockets[PLANE_WORKERS]) {
        poller_destroy(&self);
    }
    return self;
}

void poller_destroy(struct poller **self)
{
    struct poller *poller = *self;
    if (!poller) {
        return;
    }
    backlogs_release(&poller->backlogs);
    packets_release(&poller->packets);
    for (int plane = 0; plane < PLANE_COUNT; plane++) {
        socket_close(&poller->sockets[plane], FAREWELL_LINGER_MS);
    }
    guard_view_release(&poller->view);
    mem_free(poller);
    *self = NULL;
}

/* ---- in ---- */

static struct text head_text(zmq_msg_t *head)
{
    size_t size = zmq_msg_size(head);
    return (struct text){zmq_msg_data(head), size == FRAME_HEAD_SIZE ? FRAME_HEAD_SIZE : 0};
}

/* Tells the core who speaks. False: a key that has been taken out. */
static bool speaker_know(struct poller *self, enum plane plane, zmq_msg_t *head)
{
    struct frame_head read;
    if (!self->guarded[plane]) {
        broker_speaker_set(self->broker, NULL);
        return true;
    }
    enum key_plane at = plane == PLANE_WORKERS ? KEY_AT_WORKERS : KEY_AT_CLIENTS;
    const struct key_grant *grant = guard_view_grant(&self->view, head, at);
    if (grant && frame_head_read(head_text(head), &read) && read.type == FRAME_HELLO) {
        guard_view_link(&self->view, head, grant, at);
    }
    broker_speaker_set(self->broker, grant);
    return grant != NULL;
}

static bool receive_one(struct poller *self, enum plane plane)
{
    zmq_msg_t from, head;
    void *socket = self->sockets[plane];
    zmq_msg_init(&from);
    if (zmq_msg_recv(&from, socket, ZMQ_DONTWAIT) < 0) {
        self->closed = self->closed || zmq_errno() == ETERM;
        zmq_msg_close(&from);
        return false;
    }
    zmq_msg_init(&head);
    struct parcel *parcel = NULL;
    if (zmq_msg_more(&from) && zmq_msg_recv(&head, socket, ZMQ_DONTWAIT) >= 0) {
        parcel = packet_receive(&self->packets, socket);
    }
    struct text id = {zmq_msg_data(&from), (uint32_t)zmq_msg_size(&from)};
    if (speaker_know(self, plane, &head)) {
        broker_receive(self->broker, plane, id, head_text(&head), parcel, clock_now_us());
    } else {
        parcel_drop(&parcel);
    }
    zmq_msg_close(&head);
    zmq_msg_close(&from);
    return true;
}

static int receive_pass(struct poller *self)
{
    static const enum plane order[] = {PLANE_WORKERS, PLANE_CLIENTS}; /* answers first: they free credit */
    int count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        for (int n = 0; n < MESSAGES_PER_PASS && receive_one(self, order[i]); n++) {
            count++;
        }
    }
    return count;
}

/* ---- out ---- */

static void peer_drop(struct poller *self, const struct send *send)
{
    struct text id = {(const char *)send->to, send->to_size};
    broker_unsent(self->broker, send);
    broker_peer_gone(self->broker, send->plane, id, clock_now_us());
}

/* What waits in a line that is given up has not left either. */
static void backlog_unsent(struct poller *self, const struct backlog *backlog)
{
    for (size_t i = backlog->first; i < backlog->end; i++) {
        broker_unsent(self->broker, &backlog->list[i]);
    }
}

static void send_one(struct poller *self, struct send *send)
{
    struct backlog *backlog = backlog_find(&self->backlogs, send);
    int error = backlog ? EAGAIN : packet_send(self->sockets[send->plane], send);
    if (error == EAGAIN && !backlog_add(&self->backlogs, send, clock_now_us())) {
        backlog = backlog_find(&self->backlogs, send);
        backlog_unsent(self, backlog);
        backlog_remove(&self->backlogs, backlog);
        metric_add(self->slow_peers, 1);
        error = EHOSTUNREACH;
    }
    if (error == EHOSTUNREACH) {
        peer_drop(self, send);
    }
    self->closed = self->closed || error == ETERM;
}

/* A send may end a session, and that may want more sent: the list grows, and moves, under our hands. */
static void flush(struct poller *self)
{
    struct sends *sends = broker_sends(self->broker);
    for (size_t i = 0; i < sends->count; i++) {
        struct send send;
        send_move(&send, &sends->list[i]);
        send_one(self, &send);
        parcel_drop(&send.parcel);
    }
    sends_clear(sends);
}

/* Sends what the peer takes now; false when the line has to go. */
static bool backlog_retry(struct poller *self, struct backlog *backlog, int64_t now_us)
{
    struct send *send;
    while ((send = backlog_first(backlog)) != NULL) {
        size_t size = send_size(send);
        int error = packet_send(self->sockets[send->plane], send);
        if (error == EAGAIN && !backlog_is_stuck(&self->backlogs, backlog, now_us)) {
            return true;
        }
        if (error != 0) {
            metric_add(self->slow_peers, error == EAGAIN);
            backlog_unsent(self, backlog);
            peer_drop(self, send);
            return false;
        }
        backlog_pop(backlog, size, now_us);
    }
    return false;
}

static void backlogs_retry(struct poller *self, int64_t now_us)
{
    struct backlog *backlog, *next;
    if (!self->backlogs.by_peer || now_us - self->retry_us < RETRY_EVERY_US) {
        return;
    }
    self->retry_us = now_us;
    HASH_ITER(hh, self->backlogs.by_peer, backlog, next)
    {
        if (!backlog_retry(self, backlog, now_us)) {
            backlog_remove(&self->backlogs, backlog);
        }
    }
    metric_set(self->backlog_count, (int64_t)backlogs_count(&self->backlogs));
}

/* ---- the loop ---- */

/* After a stall everything that has come meanwhile is heard before anybody is found to be silent. */
static int receive_all(struct poller *self, bool stalled)
{
    int count = receive_pass(self);
    flush(self);
    for (int more = count; stalled && more > 0; count += more) {
        more = receive_pass(self);
        flush(self);
    }
    return count;
}

/* Sessions and connections of keys that have been taken out end. */
static void keys_look(struct poller *self, int64_t now_us)
{
    if (now_us - self->keys_look_us < KEYS_LOOK_EVERY_US) {
        return;
    }
    self->keys_look_us = now_us;
    if (guard_view_refresh(&self->view)) {
        broker_speaker_set(self->broker, NULL); /* it was in the old list */
        broker_grants_changed(self->broker, guard_view_grants(&self->view), now_us);
        flush(self);
        int count = guard_view_cut(&self->view);
        if (count > 0) {
            log_info(self->env->log, "keys.cut", KV_INT("connections", count));
        }
    }
}

/* When a crowd has left, so does the memory that its connections had: the C library keeps it otherwise. */
static void crowd_look(struct poller *self, int64_t now_us)
{
    if (now_us - self->crowd_look_us < CROWD_LOOK_EVERY_US) {
        return;
    }
    uint32_t count = broker_sessions(self->broker);
    self->crowd_look_us = now_us;
    if (count + CROWD_COUNT <= self->crowd_count) {
        mem_give_back();
        self->crowd_count = count;
    }
    self->crowd_count = count > self->crowd_count ? count : self->crowd_count;
}

/* False when the broker has nothing more to do. */
static bool drain_step(struct poller *self, int64_t now_us, bool quiet)
{
    if (now_us - self->stop_look_us < STOP_LOOK_EVERY_US && !quiet) {
        return true;
    }
    self->stop_look_us = now_us;
    if (self->drain_until_us == 0 && env_stopping(self->env)) {
        self->drain_until_us = now_us + self->settings->drain_ms * 1000;
        broker_drain(self->broker, now_us);
        flush(self);
        return true;
    }
    bool idle = quiet && broker_counts(self->broker).in_flight == 0;
    return self->drain_until_us == 0 || (now_us < self->drain_until_us && !idle);
}

static void sleep_until_work(struct poller *self, int wait_ms)
{
    zmq_pollitem_t items[] = {{.socket = self->sockets[PLANE_CLIENTS], .events = ZMQ_POLLIN},
                              {.socket = self->sockets[PLANE_WORKERS], .events = ZMQ_POLLIN},
                              {.fd = self->env->stop_fd, .events = ZMQ_POLLIN}};
    int count = self->drain_until_us ? 2 : 3; /* once readable, stop_fd stays so */
    wait_ms = self->backlogs.by_peer && wait_ms > RETRY_WAIT_MS ? RETRY_WAIT_MS : wait_ms;
    if (zmq_poll(items, count, wait_ms) < 0 && zmq_errno() == ETERM) {
        self->closed = true;
    }
}

static void farewell(struct poller *self)
{
    int64_t until_us = clock_now_us() + FAREWELL_US;
    broker_stop(self->broker, clock_now_us());
    flush(self);
    while (!self->closed && self->backlogs.by_peer && clock_now_us() < until_us) {
        zmq_poll(NULL, 0, RETRY_WAIT_MS);
        backlogs_retry(self, clock_now_us());
        flush(self);
    }
}

void poller_run(struct poller *self, struct broker *broker)
{
    int64_t before_us = clock_now_us(), worked_us = before_us;
    bool running = true;
    self->broker = broker;
    while (running && !self->closed) {
        int64_t now_us = clock_now_us();
        bool stalled = now_us - before_us > BROKER_STALL_MS * INT64_C(1000);
        before_us = now_us;
        int count = receive_all(self, stalled);
        int wait_ms = broker_tick(broker, clock_now_us());
        flush(self);
        backlogs_retry(self, now_us);
        flush(self);
        keys_look(self, now_us);
        crowd_look(self, now_us);
        running = drain_step(self, now_us, count == 0);
        worked_us = count ? now_us : worked_us;
        if (running && count == 0 && now_us - worked_us >= self->settings->spin_us) {
            sleep_until_work(self, wait_ms);
        }
    }
    farewell(self);
    backlogs_release(&self->backlogs);
    self->broker = NULL;
}
