#include "lib/bus/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/funnel.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/courier.h"
#include "lib/bus/reply.h"
#include "lib/bus/slots.h"

enum { CLIENT_BUDGET_MAX_MS = 600000, CLIENT_END_WAIT_MS = 1 };

/* Where a blocked caller waits for its slot's flight. Whoever turns waiting from the corr to 0 decides: the I/O thread
 * then fills the rest in and posts, or the caller has given up. */
struct waiter {
    bool made; /* filled and late exist; guarded by having the slot */
    struct metric *late;
    sem_t filled;
    _Atomic uint64_t waiting; /* corr of the use that waits; 0: nobody */
    _Atomic uint64_t answered; /* corr of the use that was filled in last */
    enum err status;
    struct message reply;
    bool replied;
};

struct bus_client {
    struct peer_settings peer_settings;
    struct credentials credentials;
    struct slots *slots;
    struct waiter *waiters;    /* by slot */
    struct funnel submitted; /* flights on their way to the I/O thread; as many as slots at most */
    struct courier *courier;   /* the I/O thread's */
    pthread_t thread;
    atomic_bool stopping;
    atomic_int up_count;
    struct metric *calls, *refused, *seconds, *late;
};

/* An asynchronous call's own part. */
struct async_call {
    struct bus_client *client;
    bus_done *done;
    void *user;
};

/* ---- the I/O thread ---- */

static struct flight *flight_of_link(struct funnel_link *link)
{
    return (struct flight *)((char *)link - offsetof(struct flight, link));
}

static void submitted_take(struct bus_client *self, bool readable)
{
    struct funnel_link *link = funnel_take(&self->submitted, readable);
    while (link) {
        struct flight *flight = flight_of_link(link);
        link = link->next; /* the flight may end at once */
        courier_send(self->courier, flight);
    }
}

/* Ends what is submitted after the end, until every caller has got out; and what those had submitted who were out
 * before this thread looked. */
static void submitted_refuse(struct bus_client *self)
{
    for (bool used = true; used;) {
        used = slots_used(self->slots) > 0;
        struct pollfd poll_fd = {.fd = funnel_fd(&self->submitted), .events = POLLIN};
        bool readable = poll(&poll_fd, 1, used ? CLIENT_END_WAIT_MS : 0) > 0;
        struct funnel_link *link = funnel_take(&self->submitted, readable);
        while (link) {
            struct flight *flight = flight_of_link(link);
            link = link->next;
            flight->done(flight, ERR_SERVICE_UNAVAILABLE, NULL);
            flight_destroy(&flight);
        }
    }
}

static void *client_thread(void *argument)
{
    struct bus_client *self = argument;
    zmq_pollitem_t items[BUS_MAX_BROKERS + 1];
    while (!atomic_load(&self->stopping)) {
        int count = courier_poll_items(self->courier, items);
        items[count] = (zmq_pollitem_t){.fd = funnel_fd(&self->submitted), .events = ZMQ_POLLIN};
        zmq_poll(items, count + 1, (long)courier_wait_ms(self->courier, clock_now_ms()));
        submitted_take(self, (items[count].revents & ZMQ_POLLIN) != 0);
        courier_work(self->courier, items, clock_now_ms());
        atomic_store_explicit(&self->up_count, courier_up_count(self->courier), memory_order_relaxed);
    }
    courier_destroy(&self->courier);
    submitted_refuse(self);
    return NULL;
}

/* ---- making and ending ---- */

CONFIG_DEFINE(calls_config, CALLS_CONFIG)

static void calls_limit(struct courier *courier, const struct calls_config *calls, struct metrics *metrics)
{
    enum { PROBES = 3 };
    struct courier_limits limits = {.retry_percent = calls->retry_percent,
                                    .retry_floor = calls->retry_floor,
                                    .breaker = {.percent = calls->breaker_percent,
                                                .window_ms = calls->breaker_window_ms,
                                                .least_count = calls->breaker_calls,
                                                .patience_ms = calls->breaker_patience_ms,
                                                .open_ms = calls->breaker_open_ms,
                                                .probe_count = PROBES}};
    courier_limit(courier, &limits, metrics);
}

struct bus_client *bus_client_new(struct env *env, const struct bus_client_settings *settings, char *message,
                                  size_t message_size)
{
    char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    int base_count = bus_addresses(settings->bus->bus, bases);
    if (base_count < 1) {
        snprintf(message, message_size, "--bus is no list of broker addresses: %.200s", settings->bus->bus);
        return NULL;
    }
    struct credentials credentials;
    if (!credentials_load(env, settings->bus, &credentials, message, message_size)) {
        return NULL;
    }
    struct bus_client *self = mem_alloc(sizeof *self);
    self->credentials = credentials;
    credentials_forget(&credentials);
    self->peer_settings = (struct peer_settings){.context = env->bus_context,
                                                 .role = settings->role,
                                                 .instance = env->instance,
                                                 .heartbeat_ms = settings->bus->heartbeat_ms,
                                                 .credentials = &self->credentials};
    self->slots = slots_new(settings->slot_count);
    self->waiters = mem_alloc_array((size_t)settings->slot_count, sizeof *self->waiters);
    funnel_init(&self->submitted);
    self->courier = courier_new(&self->peer_settings, bases, base_count, settings->slot_count, env->metrics);
    if (settings->calls) {
        calls_limit(self->courier, settings->calls, env->metrics);
    }
    self->calls = metrics_get(env->metrics, METRIC_COUNTER, "zmart_bus_calls_total", "", "Calls made over the bus.");
    self->late = metrics_get(env->metrics, METRIC_COUNTER, "zmart_bus_late_replies_total", "",
                             "Replies to calls that had ended already.");
    self->refused = metrics_get(env->metrics, METRIC_COUNTER, "zmart_bus_calls_refused_total", "",
                                "Calls refused because too many were in flight.");
    self->seconds = metrics_get(env->metrics, METRIC_TIME, "zmart_bus_call_seconds", "",
                                "Time from a call to its answer, as the caller saw it.");
    ASSERT(pthread_create(&self->thread, NULL, client_thread, self) == 0);
    return self;
}

void bus_client_destroy(struct bus_client **self)
{
    struct bus_client *client = *self;
    if (!client) {
        return;
    }
    slots_close(client->slots);
    atomic_store(&client->stopping, true);
    funnel_wake(&client->submitted);
    pthread_join(client->thread, NULL);
    for (int i = 0; i < slots_count(client->slots); i++) {
        if (client->waiters[i].made) {
            sem_destroy(&client->waiters[i].filled);
        }
    }
    funnel_release(&client->submitted);
    slots_destroy(&client->slots);
    mem_free(client->waiters);
    credentials_forget(&client->credentials);
    mem_free(client);
    *self = NULL;
}

int bus_client_brokers(struct bus_client *self)
{
    return atomic_load_explicit(&self->up_count, memory_order_relaxed);
}

bool bus_client_connected(struct bus_client *self)
{
    return bus_client_brokers(self) > 0;
}

/* ---- a call ---- */

static enum err call_refuse(struct bus_client *self, struct fault *fault)
{
    metric_add(self->refused, 1);
    fault_set(fault, ERR_SERVICE_UNAVAILABLE, "Too many requests are being worked on.");
    if (fault) {
        fault->retry_after_s = 1;
    }
    return ERR_SERVICE_UNAVAILABLE;
}

static enum err request_check(const struct bus_request *request, struct fault *fault)
{
    if (request->body.size > FRAME_MAX_BODY) {
        return fault_set(fault, ERR_BODY_TOO_LARGE, "A request has at most %d bytes.", FRAME_MAX_BODY);
    }
    if (request->budget_ms < 1 || request->budget_ms > CLIENT_BUDGET_MAX_MS || request->priority > 3) {
        return fault_set(fault, ERR_BAD_REQUEST, "The request's budget or priority is out of bounds.");
    }
    return ERR_NONE;
}

static struct flight *flight_of(const struct bus_request *request, uint64_t corr, int64_t now_ms)
{
    struct flight *flight = flight_new(corr, now_ms + request->budget_ms, NULL, NULL);
    struct frame_head *head = &flight->request.head;
    memcpy(head->request_id, request->request_id, ID_SIZE);
    head->priority = request->priority;
    head->flags = request->flags;
    message_add(&flight->request, request->route);
    message_add(&flight->request, request->meta);
    message_add(&flight->request, request->body);
    return flight;
}

/* On the I/O thread. */
static void waiter_fill(struct flight *flight, enum err status, struct message *reply)
{
    struct waiter *waiter = flight->user;
    uint64_t corr = flight->request.head.corr;
    if (!atomic_compare_exchange_strong(&waiter->waiting, &corr, 0)) {
        metric_add(waiter->late, reply != NULL);
        return; /* given up, or somebody else's slot by now */
    }
    waiter->status = status;
    waiter->replied = reply != NULL;
    if (reply) {
        message_move(&waiter->reply, reply);
    }
    atomic_store(&waiter->answered, flight->request.head.corr);
    ASSERT(sem_post(&waiter->filled) == 0);
}

static struct waiter *waiter_open(struct bus_client *self, uint64_t corr)
{
    struct waiter *waiter = &self->waiters[slot_of(corr)];
    if (!waiter->made) {
        ASSERT(sem_init(&waiter->filled, 0, 0) == 0);
        waiter->late = self->late;
        waiter->made = true;
    }
    atomic_store(&waiter->waiting, corr);
    return waiter;
}

/* True if the semaphore was posted; false when the time is over. until NULL: waits for ever. */
static bool semaphore_wait(sem_t *semaphore, const struct timespec *until)
{
    for (;;) {
        int result = until ? sem_clockwait(semaphore, CLOCK_MONOTONIC, until) : sem_wait(semaphore);
        if (result == 0) {
            return true;
        }
        ASSERT(errno == EINTR || errno == ETIMEDOUT);
        if (errno == ETIMEDOUT) {
            return false;
        }
    }
}

/* Waits for the answer; false if the time was over first. *out_reply holds a message if waiter's flight had one. */
static bool waiter_wait(struct waiter *waiter, uint64_t corr, uint32_t budget_ms, struct message *out_reply)
{
    struct timespec until;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += budget_ms / 1000;
    until.tv_nsec += (long)(budget_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (!semaphore_wait(&waiter->filled, &until)) {
        uint64_t expected = corr;
        if (atomic_compare_exchange_strong(&waiter->waiting, &expected, 0)) {
            return false;
        }
        (void)semaphore_wait(&waiter->filled, NULL); /* it is being filled this moment */
    }
    ASSERT(atomic_load(&waiter->answered) == corr);
    if (waiter->replied) {
        message_move(out_reply, &waiter->reply);
    }
    return true;
}

static enum err answer_copy(const struct message *reply, struct arena *arena, struct fault *fault,
                            struct bus_answer *out)
{
    enum err status = reply_error(reply, arena, fault);
    struct text meta = message_part(reply, 0);
    struct text body = message_part(reply, 1);
    if (status != ERR_NONE) {
        struct reply_meta said = {0};
        if (fault && meta.size && record_unpack(&reply_meta_record, meta, arena, NULL, &said) == ERR_NONE) {
            fault->replayed = said.replayed;
        }
        return status;
    }
    *out = (struct bus_answer){.status = reply->head.status,
                               .meta = {arena_copy(arena, meta.data, meta.size), meta.size},
                               .body = {arena_copy(arena, body.data, body.size), body.size},
                               .queue_us = reply->head.queue_us,
                               .attempt = reply->head.attempt};
    return ERR_NONE;
}

enum err bus_client_call(struct bus_client *self, const struct bus_request *request, struct arena *arena,
                         struct fault *fault, struct bus_answer *out)
{
    uint64_t corr;
    enum err status = request_check(request, fault);
    if (status != ERR_NONE) {
        return status;
    }
    if (!slots_claim(self->slots, &corr)) {
        return call_refuse(self, fault);
    }
    int64_t start_us = clock_now_us();
    struct waiter *waiter = waiter_open(self, corr);
    struct flight *flight = flight_of(request, corr, start_us / 1000);
    flight->done = waiter_fill;
    flight->user = waiter;
    funnel_put(&self->submitted, &flight->link);
    struct message reply = {0};
    bool replied = false;
    status = ERR_EXPIRED; /* the I/O thread cancels it at the same deadline */
    if (waiter_wait(waiter, corr, request->budget_ms, &reply)) {
        status = waiter->status;
        replied = waiter->replied;
    }
    metric_add(self->calls, 1);
    metric_observe(self->seconds, clock_now_us() - start_us);
    slots_release(self->slots, corr); /* from here on the client may be gone */
    status = replied ? answer_copy(&reply, arena, fault, out) : reply_missing(status, fault);
    message_release(&reply);
    return status;
}

enum err bus_client_do(struct bus_client *self, enum op op, const uint8_t *request_id, const struct call_meta *meta,
                       const void *request, struct arena *arena, struct fault *fault, void *out_reply)
{
    static const struct call_meta nobody;
    const struct op_info *info = op_info(op);
    struct bus_answer answer;
    struct bus_request message = {.route = text_of(info->route),
                                  .meta = record_pack_in(&call_meta_record, meta ? meta : &nobody, arena),
                                  .body = record_pack_in(info->request, request, arena),
                                  .budget_ms = info->budget_ms,
                                  .priority = info->priority,
                                  .flags = FRAME_REPEATABLE | (op_is_secret(op) ? FRAME_SECRET : 0)};
    if (request_id) {
        memcpy(message.request_id, request_id, ID_SIZE);
    } else {
        id_new(message.request_id);
    }
    enum err status = bus_client_call(self, &message, arena, fault, &answer);
    return status == ERR_NONE ? reply_unpack(info->reply, answer.body, arena, fault, out_reply) : status;
}

/* On the I/O thread. */
static void async_end(struct flight *flight, enum err status, struct message *reply)
{
    struct async_call *call = flight->user;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    slots_release(call->client->slots, flight->request.head.corr);
    metric_add(call->client->calls, 1);
    status = reply ? reply_error(reply, &arena, &fault) : reply_missing(status, &fault);
    if (status == ERR_NONE) {
        struct bus_answer answer = {.status = reply->head.status,
                                    .meta = message_part(reply, 0),
                                    .body = message_part(reply, 1),
                                    .queue_us = reply->head.queue_us,
                                    .attempt = reply->head.attempt};
        call->done(call->user, ERR_NONE, &answer, NULL);
    } else {
        struct problem problem;
        fault_to_problem(&fault, &problem);
        call->done(call->user, status, NULL, &problem);
    }
    mem_free(call);
}

enum err bus_client_start(struct bus_client *self, const struct bus_request *request, bus_done *done, void *user)
{
    uint64_t corr;
    enum err status = request_check(request, NULL);
    if (status != ERR_NONE) {
        return status;
    }
    if (!slots_claim(self->slots, &corr)) {
        return call_refuse(self, NULL);
    }
    struct async_call *call = mem_alloc(sizeof *call);
    *call = (struct async_call){.client = self, .done = done, .user = user};
    struct flight *flight = flight_of(request, corr, clock_now_ms());
    flight->done = async_end;
    flight->user = call;
    funnel_put(&self->submitted, &flight->link);
    return ERR_NONE;
}
