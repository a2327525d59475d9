#include "tests/lib/bus/tiny_broker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/address.h"
#include "lib/bus/handover.h"
#include "proto/fault.h"
#include "proto/frame.h"

enum { MAX_SESSIONS = 64, MAX_JOBS = 8192, MAX_FRAMES = 6, ROUTING_SIZE = 64 };

struct session {
    bool used, worker, draining;
    char routing[ROUTING_SIZE];
    size_t routing_size;
    uint32_t epoch;
    uint64_t hello_corr;
    char service[64];
    int64_t heard_ms;
};

struct job {
    bool used, given;
    int client, worker;     /* sessions */
    struct frame_head head; /* as the client sent it */
    int64_t deadline_ms;
    zmq_msg_t parts[3];
};

struct tiny_broker {
    void *clients, *workers;
    int heartbeat_ms;
    struct session sessions[MAX_SESSIONS];
    struct job jobs[MAX_JOBS];
    uint32_t epoch;
    pthread_t thread;
    atomic_bool stopping, frozen, forget, drain;
    bool draining;
    atomic_int taken, given, cancels, worker_count, draining_count, ping_size;
    atomic_int refusal; /* enum err */
};

struct incoming {
    zmq_msg_t frames[MAX_FRAMES];
    int count;
};

static struct text text_in(zmq_msg_t *frame)
{
    return (struct text){zmq_msg_data(frame), (uint32_t)zmq_msg_size(frame)};
}

static void frames_send(void *socket, struct session *to, struct frame_head *head, struct text *parts, int count)
{
    uint8_t packed[FRAME_HEAD_SIZE];
    if (head->type != FRAME_PONG) {
        head->t_send_us = clock_now_us();
    }
    frame_head_write(head, packed);
    handover_give();
    if (zmq_send(socket, to->routing, to->routing_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        return;
    }
    zmq_send(socket, packed, sizeof packed, ZMQ_DONTWAIT | (count ? ZMQ_SNDMORE : 0));
    for (int i = 0; i < count; i++) {
        zmq_send(socket, parts[i].data ? parts[i].data : "", parts[i].size,
                 ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0));
    }
}

static struct session *session_of(struct tiny_broker *self, struct text routing, bool worker)
{
    for (int i = 0; i < MAX_SESSIONS; i++) {
        struct session *session = &self->sessions[i];
        if (session->used && session->worker == worker && session->routing_size == routing.size &&
            memcmp(session->routing, routing.data, routing.size) == 0) {
            return session;
        }
    }
    return NULL;
}

static void *socket_of(struct tiny_broker *self, const struct session *session)
{
    return session->worker ? self->workers : self->clients;
}

static void job_give(struct tiny_broker *self, struct job *job)
{
    struct text route = text_in(&job->parts[0]);
    for (int i = 0; i < MAX_SESSIONS; i++) {
        struct session *worker = &self->sessions[i];
        size_t size = strlen(worker->service);
        if (!worker->used || !worker->worker || worker->draining || route.size <= size ||
            memcmp(route.data, worker->service, size) != 0 || route.data[size] != '.') {
            continue;
        }
        int64_t left_ms = job->deadline_ms - clock_now_ms();
        if (left_ms <= 0) {
            return;
        }
        struct frame_head head = job->head;
        head.corr = (uint64_t)(job - self->jobs) + 1;
        head.budget_ms = (uint32_t)left_ms;
        head.epoch = worker->epoch;
        head.queue_us = 17;
        struct text parts[3] = {text_in(&job->parts[0]), text_in(&job->parts[1]), text_in(&job->parts[2])};
        job->given = true;
        job->worker = i;
        frames_send(self->workers, worker, &head, parts, 3);
        atomic_fetch_add(&self->given, 1);
        return;
    }
}

static void job_free(struct job *job)
{
    for (int i = 0; i < 3; i++) {
        zmq_msg_close(&job->parts[i]);
    }
    job->used = false;
}

static void session_end(struct tiny_broker *self, struct session *session)
{
    int index = (int)(session - self->sessions);
    session->used = false;
    atomic_fetch_sub(&self->worker_count, session->worker);
    atomic_fetch_sub(&self->draining_count, session->draining);
    for (int i = 0; i < MAX_JOBS; i++) {
        struct job *job = &self->jobs[i];
        if (job->used && !session->worker && job->client == index) {
            job_free(job);
        } else if (job->used && session->worker && job->given && job->worker == index) {
            job->given = false;
            job->head.attempt++;
            job->head.flags |= FRAME_REDELIVERED;
        }
    }
}

static void jobs_give(struct tiny_broker *self)
{
    for (int i = 0; i < MAX_JOBS; i++) {
        if (self->jobs[i].used && !self->jobs[i].given) {
            job_give(self, &self->jobs[i]);
        }
    }
}

static void hello_take(struct tiny_broker *self, struct text routing, bool is_worker, const struct frame_head *head,
                       struct text body)
{
    AUTO(arena_release) struct arena arena = {0};
    struct hello hello;
    struct session *session = session_of(self, routing, is_worker);
    if (record_unpack(&hello_record, body, &arena, NULL, &hello) != ERR_NONE) {
        return;
    }
    if (session && session->hello_corr != head->corr) {
        session_end(self, session);
        session = NULL;
    }
    for (int i = 0; i < MAX_SESSIONS && !session; i++) {
        if (!self->sessions[i].used) {
            session = &self->sessions[i];
            *session = (struct session){.used = true, .worker = is_worker, .epoch = ++self->epoch};
            session->hello_corr = head->corr;
            session->routing_size = routing.size;
            memcpy(session->routing, routing.data, routing.size);
            atomic_fetch_add(&self->worker_count, is_worker);
        }
    }
    if (is_worker && hello.services.count == 1) {
        ASSERT(text_to_string(hello.services.items[0].name, session->service, sizeof session->service));
    }
    session->heard_ms = clock_now_ms();
    struct welcome welcome = {
        .broker = TEXT("tiny"), .epoch = session->epoch, .hb_ms = self->heartbeat_ms, .max_body = FRAME_MAX_BODY};
    struct frame_head answer = {.type = FRAME_WELCOME, .corr = head->corr, .epoch = session->epoch};
    struct text packed = record_pack_in(&welcome_record, &welcome, &arena);
    frames_send(is_worker ? self->workers : self->clients, session, &answer, &packed, 1);
}

static void nack(struct tiny_broker *self, struct session *to, const struct frame_head *request, enum err code)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    fault_init(&fault, &arena);
    fault_set(&fault, code, "said by the tiny broker");
    fault_to_problem(&fault, &problem);
    struct frame_head head = *request;
    head.type = FRAME_NACK;
    head.status = (uint16_t)problem.status;
    head.epoch = to->epoch;
    struct text parts[2] = {{0}, record_pack_in(&problem_record, &problem, &arena)};
    frames_send(self->clients, to, &head, parts, 2);
}

static void request_take(struct tiny_broker *self, struct session *from, const struct frame_head *head,
                         struct incoming *in)
{
    atomic_fetch_add(&self->taken, 1);
    int refusal = self->draining ? (int)ERR_SERVICE_UNAVAILABLE : atomic_load(&self->refusal);
    if (refusal != ERR_NONE) {
        nack(self, from, head, (enum err)refusal);
        return;
    }
    for (int i = 0; i < MAX_JOBS; i++) {
        struct job *job = &self->jobs[i];
        if (!job->used && in->count == 5) {
            *job = (struct job){.used = true, .client = (int)(from - self->sessions), .head = *head};
            job->deadline_ms = clock_now_ms() + head->budget_ms;
            for (int p = 0; p < 3; p++) {
                zmq_msg_init(&job->parts[p]);
                zmq_msg_move(&job->parts[p], &in->frames[2 + p]);
            }
            job_give(self, job);
            return;
        }
    }
}

static void reply_take(struct tiny_broker *self, struct session *from, const struct frame_head *head,
                       struct incoming *in)
{
    uint64_t at = head->corr - 1;
    if (at >= MAX_JOBS || !self->jobs[at].used || !self->jobs[at].given ||
        &self->sessions[self->jobs[at].worker] != from ||
        memcmp(self->jobs[at].head.request_id, head->request_id, ID_SIZE) != 0 || in->count != 4) {
        return;
    }
    struct job *job = &self->jobs[at];
    struct session *client = &self->sessions[job->client];
    struct frame_head answer = *head;
    answer.corr = job->head.corr;
    answer.epoch = client->epoch;
    struct text parts[2] = {text_in(&in->frames[2]), text_in(&in->frames[3])};
    frames_send(self->clients, client, &answer, parts, 2);
    job_free(job);
}

static void cancel_take(struct tiny_broker *self, struct session *from, uint64_t corr)
{
    atomic_fetch_add(&self->cancels, 1);
    for (int i = 0; i < MAX_JOBS; i++) {
        struct job *job = &self->jobs[i];
        if (job->used && &self->sessions[job->client] == from && job->head.corr == corr) {
            if (job->given) {
                struct session *worker = &self->sessions[job->worker];
                struct frame_head head = {.type = FRAME_CANCEL, .corr = (uint64_t)i + 1, .epoch = worker->epoch};
                frames_send(self->workers, worker, &head, NULL, 0);
            } else {
                job_free(job);
            }
        }
    }
}

static void message_take(struct tiny_broker *self, struct incoming *in, bool from_worker)
{
    struct frame_head head;
    struct text routing = text_in(&in->frames[0]);
    if (in->count < 2 || !frame_head_read(text_in(&in->frames[1]), &head)) {
        return;
    }
    struct session *session = session_of(self, routing, from_worker);
    if (head.type == FRAME_HELLO) {
        hello_take(self, routing, from_worker, &head, in->count > 2 ? text_in(&in->frames[2]) : (struct text){0});
        jobs_give(self);
        return;
    }
    if (!session || session->epoch != head.epoch) {
        struct session stranger = {.routing_size = routing.size};
        memcpy(stranger.routing, routing.data, routing.size);
        struct frame_head bye = {.type = FRAME_BYE, .epoch = head.epoch};
        frames_send(from_worker ? self->workers : self->clients, &stranger, &bye, NULL, 0);
        return;
    }
    session->heard_ms = clock_now_ms();
    switch ((int)head.type) {
    case FRAME_REQUEST: request_take(self, session, &head, in); break;
    case FRAME_REPLY: reply_take(self, session, &head, in); break;
    case FRAME_CANCEL: cancel_take(self, session, head.corr); break;
    case FRAME_DRAIN:
        session->draining = true;
        atomic_fetch_add(&self->draining_count, 1);
        break;
    case FRAME_BYE:
        session_end(self, session);
        jobs_give(self);
        break;
    case FRAME_PING:
        if (in->count > 2) {
            atomic_store(&self->ping_size, (int)zmq_msg_size(&in->frames[2]));
        }
        head.type = FRAME_PONG;
        frames_send(socket_of(self, session), session, &head, NULL, 0);
        break;
    default: break;
    }
}

static bool socket_read(struct tiny_broker *self, void *socket, bool from_worker)
{
    struct incoming in = {0};
    bool more = true;
    while (more && in.count < MAX_FRAMES) {
        zmq_msg_init(&in.frames[in.count]);
        if (zmq_msg_recv(&in.frames[in.count], socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&in.frames[in.count]);
            break;
        }
        more = zmq_msg_more(&in.frames[in.count++]);
    }
    handover_take();
    if (in.count > 0) {
        message_take(self, &in, from_worker);
    }
    for (int i = 0; i < in.count; i++) {
        zmq_msg_close(&in.frames[i]);
    }
    return in.count > 0;
}

static void orders_take(struct tiny_broker *self)
{
    bool forget = atomic_exchange(&self->forget, false);
    bool drain = atomic_exchange(&self->drain, false);
    int64_t now_ms = clock_now_ms();
    bool ended = false;
    for (int i = 0; i < MAX_SESSIONS; i++) {
        struct session *session = &self->sessions[i];
        if (!session->used) {
            continue;
        }
        if (drain && !session->worker) {
            struct frame_head head = {.type = FRAME_DRAIN, .epoch = session->epoch};
            frames_send(self->clients, session, &head, NULL, 0);
        }
        if (forget || (session->worker && now_ms - session->heard_ms > self->heartbeat_ms * 7 / 2)) {
            session_end(self, session);
            ended = true;
        }
    }
    self->draining = self->draining || drain;
    if (ended) {
        jobs_give(self);
    }
}

static void *broker_thread(void *argument)
{
    struct tiny_broker *self = argument;
    while (!atomic_load(&self->stopping)) {
        zmq_pollitem_t items[] = {{.socket = self->clients, .events = ZMQ_POLLIN},
                                  {.socket = self->workers, .events = ZMQ_POLLIN}};
        bool frozen = atomic_load(&self->frozen);
        zmq_poll(items, frozen ? 0 : 2, 5);
        while (!frozen && socket_read(self, self->workers, true)) {
        }
        while (!frozen && socket_read(self, self->clients, false)) {
        }
        if (!frozen) {
            orders_take(self);
        }
    }
    zmq_close(self->clients);
    zmq_close(self->workers);
    return NULL;
}

static void *socket_bound(void *context, const char *base, enum bus_socket which)
{
    char address[BUS_ADDRESS_SIZE];
    void *socket = zmq_socket(context, ZMQ_ROUTER);
    int mandatory = 1, none = 0;
    ASSERT(bus_address(base, which, address));
    ASSERT(zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory) == 0);
    /* Before bind: each connection keeps a copy, and one that ends with LINGER -1 while something waits for its peer
     * may keep zmq_ctx_term for ever (libzmq#3252). */
    ASSERT(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) == 0);
    ASSERT(zmq_bind(socket, address) == 0);
    return socket;
}

struct tiny_broker *tiny_broker_new(void *context, const char *base, int heartbeat_ms)
{
    struct tiny_broker *self = mem_alloc(sizeof *self);
    self->heartbeat_ms = heartbeat_ms;
    id_random(&self->epoch, 2); /* so that a second life does not count from the same number */
    self->clients = socket_bound(context, base, BUS_CLIENTS);
    self->workers = socket_bound(context, base, BUS_WORKERS);
    ASSERT(pthread_create(&self->thread, NULL, broker_thread, self) == 0);
    return self;
}

void tiny_broker_destroy(struct tiny_broker **self)
{
    if (!*self) {
        return;
    }
    atomic_store(&(*self)->stopping, true);
    pthread_join((*self)->thread, NULL);
    for (int i = 0; i < MAX_JOBS; i++) {
        if ((*self)->jobs[i].used) {
            job_free(&(*self)->jobs[i]);
        }
    }
    mem_free(*self);
    *self = NULL;
}

void tiny_broker_freeze(struct tiny_broker *self, bool frozen)
{
    atomic_store(&self->frozen, frozen);
}

void tiny_broker_drain(struct tiny_broker *self)
{
    atomic_store(&self->drain, true);
}

void tiny_broker_forget(struct tiny_broker *self)
{
    atomic_store(&self->forget, true);
}

int tiny_broker_taken(struct tiny_broker *self)
{
    return atomic_load(&self->taken);
}

int tiny_broker_given(struct tiny_broker *self)
{
    return atomic_load(&self->given);
}

int tiny_broker_cancels(struct tiny_broker *self)
{
    return atomic_load(&self->cancels);
}

int tiny_broker_workers(struct tiny_broker *self)
{
    return atomic_load(&self->worker_count);
}

void tiny_broker_refuse(struct tiny_broker *self, enum err code)
{
    atomic_store(&self->refusal, (int)code);
}

int tiny_broker_draining(struct tiny_broker *self)
{
    return atomic_load(&self->draining_count);
}

int tiny_broker_ping_size(struct tiny_broker *self)
{
    return atomic_load(&self->ping_size);
}
