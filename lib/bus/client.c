#include "lib/bus/client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "lib/base/lock.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mailbox.h"
#include "lib/base/mem.h"
#include "lib/bus/courier.h"
#include "lib/bus/reply.h"
#include "lib/bus/slots.h"

enum { CLIENT_SUBMIT_MAX = 256, CLIENT_BUDGET_MAX_MS = 600000, CLIENT_END_WAIT_MS = 1 };

/* Where a blocked caller waits for its slot's flight. */
struct waiter {
    bool made; /* lock and filled exist; guarded by having the slot */
    pthread_mutex_t lock;
    pthread_cond_t filled;
    uint64_t corr; /* of the use that waits; 0: nobody */
    bool done;
    enum err status;
    struct message reply;
    bool replied;
};

struct bus_client {
    struct peer_settings peer_settings;
    struct credentials credentials;
    struct slots *slots;
    struct waiter *waiters;    /* by slot */
    struct mailbox *submitted; /* flights on their way to the I/O thread */
    struct courier *courier;   /* the I/O thread's */
    pthread_t thread;
    atomic_bool stopping;
    atomic_int up_count;
    struct metric *calls, *refused, *seconds;
};

/* An asynchronous call's own part. */
struct async_call {
    struct bus_client *client;
    bus_done *done;
    void *user;
};

/* ---- the I/O thread ---- */

static void submitted_take(struct bus_client *self)
{
    void *flights[CLIENT_SUBMIT_MAX];
    size_t count = mailbox_take(self->submitted, flights, CLIENT_SUBMIT_MAX, 0);
    for (size_t i = 0; i < count; i++) {
        courier_send(self->courier, flights[i]);
    }
}

/* Ends what is submitted after the end, until every caller has got out. */
static void submitted_refuse(struct bus_client *self)
{
    void *item;
    while (slots_used(self->slots) > 0) {
        if (mailbox_take(self->submitted, &item, 1, CLIENT_END_WAIT_MS) == 1) {
            struct flight *flight = item;
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
        items[count] = (zmq_pollitem_t){.fd = mailbox_fd(self->submitted), .events = ZMQ_POLLIN};
        zmq_poll(items, count + 1, (long)courier_wait_ms(self->courier, clock_now_ms()));
        submitted_take(self);
        courier_work(self->courier, items, clock_now_ms());
        atomic_store_explicit(&self->up_count, courier_up_count(self->courier), memory_order_relaxed);
    }
    courier_destroy(&self->courier);
    submitted_refuse(self);
    return NULL;
}

/* ---- making and ending ---- */

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
    self->submitted = mailbox_new((size_t)settings->slot_count * 2);
    self->courier = courier_new(&self->peer_settings, bases, base_count, settings->slot_count, env->metrics);
    self->calls = metrics_get(env->metrics, METRIC_COUNTER, "zmart_bus_calls_total", "", "Calls made over the bus.");
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
    mailbox_wake(client->submitted);
    pthread_join(client->thread, NULL);
    for (int i = 0; i < slots_count(client->slots); i++) {
        if (client->waiters[i].made) {
            pthread_cond_destroy(&client->waiters[i].filled);
            pthread_mutex_destroy(&client->waiters[i].lock);
        }
    }
    mailbox_destroy(&client->submitted);
    slots_destroy(&client->slots);
    mem_free(client->waiters);
    credentials_forget(&client->credentials);
    mem_free(client);
    *self = NULL;
}

bool bus_client_connected(struct bus_client *self)
{
    return atomic_load_explicit(&self->up_count, memory_order_relaxed) > 0;
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
    ASSERT(pthread_mutex_lock(&waiter->lock) == 0);
    bool waited_for = waiter->corr == flight->request.head.corr && !waiter->done;
    if (waited_for) {
        waiter->done = true;
        waiter->status = status;
        waiter->replied = reply != NULL;
        if (reply) {
            message_move(&waiter->reply, reply);
        }
    }
    ASSERT(pthread_mutex_unlock(&waiter->lock) == 0);
    if (waited_for) {
        pthread_cond_signal(&waiter->filled);
    }
}

static struct waiter *waiter_open(struct bus_client *self, uint64_t corr)
{
    struct waiter *waiter = &self->waiters[slot_of(corr)];
    if (!waiter->made) {
        pthread_condattr_t attributes;
        ASSERT(pthread_condattr_init(&attributes) == 0);
        ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
        lock_init(&waiter->lock);
        ASSERT(pthread_cond_init(&waiter->filled, &attributes) == 0);
        pthread_condattr_destroy(&attributes);
        waiter->made = true;
    }
    ASSERT(pthread_mutex_lock(&waiter->lock) == 0);
    waiter->corr = corr;
    waiter->done = waiter->replied = false;
    ASSERT(pthread_mutex_unlock(&waiter->lock) == 0);
    return waiter;
}

/* Waits for the answer; false if the time was over first. *out_reply holds a message if waiter's flight had one. */
static bool waiter_wait(struct waiter *waiter, uint32_t budget_ms, enum err *out_status, bool *out_replied,
                        struct message *out_reply)
{
    struct timespec until;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += budget_ms / 1000;
    until.tv_nsec += (long)(budget_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    ASSERT(pthread_mutex_lock(&waiter->lock) == 0);
    int result = 0;
    while (!waiter->done && result != ETIMEDOUT) {
        result = pthread_cond_timedwait(&waiter->filled, &waiter->lock, &until);
    }
    bool done = waiter->done;
    *out_replied = done && waiter->replied;
    *out_status = waiter->status;
    if (*out_replied) {
        message_move(out_reply, &waiter->reply);
    }
    waiter->corr = 0;
    ASSERT(pthread_mutex_unlock(&waiter->lock) == 0);
    return done;
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
    if (!mailbox_put(self->submitted, flight)) {
        flight_destroy(&flight);
        status = call_refuse(self, fault);
        slots_release(self->slots, corr);
        return status;
    }
    struct message reply = {0};
    bool replied;
    if (!waiter_wait(waiter, request->budget_ms, &status, &replied, &reply)) {
        status = ERR_EXPIRED; /* the I/O thread cancels it at the same deadline */
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
    if (!mailbox_put(self->submitted, flight)) {
        flight_destroy(&flight);
        mem_free(call);
        status = call_refuse(self, NULL);
        slots_release(self->slots, corr);
        return status;
    }
    return ERR_NONE;
}
