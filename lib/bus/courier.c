#include "lib/bus/courier.h"

#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/reply.h"
#include "lib/bus/retry_budget.h"
#include "lib/bus/slots.h"

enum { COURIER_RETRY_MS = 5 }; /* between tries to send what a full socket refused */

struct courier {
    const struct peer_settings *settings; /* borrowed */
    struct peer peers[BUS_MAX_BROKERS];
    int flight_counts[BUS_MAX_BROKERS]; /* by peer */
    int peer_count;
    int slot_count;
    struct flight **by_slot;  /* owned flights */
    struct flight *waiting;   /* without a peer, oldest first, never sent */
    struct flight *again;     /* without a peer, sent before; flight->again is true */
    struct flight *sent;      /* with a peer */
    int64_t next_deadline_ms; /* no flight's is earlier; INT64_MAX without flights */
    struct metric *late, *resent;
    bool limited;
    struct retry_budget retries; /* allows everything unless limited */
    struct breakers breakers;    /* none unless limited */
    struct metric *repeated, *delayed;
};

struct flight *flight_new(uint64_t corr, int64_t deadline_ms, flight_done *done, void *user)
{
    struct flight *self = mem_alloc(sizeof *self);
    self->request.head = (struct frame_head){.type = FRAME_REQUEST, .attempt = 1, .corr = corr};
    self->deadline_ms = deadline_ms;
    self->done = done;
    self->user = user;
    return self;
}

void flight_destroy(struct flight **self)
{
    if (*self) {
        message_release(&(*self)->request);
        mem_free(*self);
        *self = NULL;
    }
}

struct courier *courier_new(const struct peer_settings *settings, char (*bases)[BUS_ADDRESS_SIZE], int base_count,
                            int slot_count, struct metrics *metrics)
{
    ASSERT(base_count <= BUS_MAX_BROKERS);
    struct courier *self = mem_alloc(sizeof *self);
    self->settings = settings;
    self->peer_count = base_count;
    self->slot_count = slot_count;
    self->by_slot = mem_alloc_array((size_t)slot_count, sizeof(struct flight *));
    self->next_deadline_ms = INT64_MAX;
    self->late = metrics_get(metrics, METRIC_COUNTER, "zmart_bus_late_replies_total", "",
                             "Replies to calls that had ended already.");
    self->resent = metrics_get(metrics, METRIC_COUNTER, "zmart_bus_resent_total", "",
                               "Requests sent again because a broker's session ended.");
    for (int i = 0; i < base_count; i++) {
        char address[BUS_ADDRESS_SIZE];
        ASSERT(bus_address(bases[i], BUS_CLIENTS, address));
        peer_open(&self->peers[i], settings, address);
    }
    return self;
}

void courier_limit(struct courier *self, const struct courier_limits *limits, struct metrics *metrics)
{
    self->limited = true;
    retry_budget_init(&self->retries, limits->retry_percent, limits->retry_floor, clock_now_ms());
    breakers_init(&self->breakers, &limits->breaker, metrics);
    self->repeated = metrics_get(metrics, METRIC_COUNTER, "zmart_bus_repeated_total", "",
                                 "Requests sent once more because a broker had refused them before they were begun.");
    self->delayed = metrics_get(metrics, METRIC_COUNTER, "zmart_bus_retries_delayed_total", "",
                                "Times that nothing was sent again because the retry budget was spent.");
}

/* ---- one flight ---- */

static int *count_of(struct courier *self, const struct peer *peer)
{
    return &self->flight_counts[peer - self->peers];
}

static void flight_detach(struct courier *self, struct flight *flight)
{
    if (flight->peer) {
        DL_DELETE(self->sent, flight);
        (*count_of(self, flight->peer))--;
        flight->peer = NULL;
    } else if (flight->again) {
        DL_DELETE(self->again, flight);
        flight->again = false;
    } else {
        DL_DELETE(self->waiting, flight);
    }
}

/* How a flight's end speaks of its service. One that waits for a broker says nothing. */
static enum breaker_end end_of(const struct flight *flight, enum err status, const struct message *reply)
{
    if (reply && reply->head.status == err_info(ERR_OUTCOME_UNKNOWN)->http) {
        return BREAKER_NEITHER;
    }
    if (reply) {
        int http = reply->head.status;
        return http == err_info(ERR_SERVICE_UNAVAILABLE)->http || http == err_info(ERR_EXPIRED)->http ? BREAKER_BAD
                                                                                                      : BREAKER_GOOD;
    }
    return flight->peer && status == ERR_EXPIRED ? BREAKER_BAD : BREAKER_NEITHER;
}

static void flight_end(struct courier *self, struct flight *flight, enum err status, struct message *reply)
{
    if (flight->breaker) {
        breakers_leave(&self->breakers, flight->breaker, flight->probe, end_of(flight, status, reply), clock_now_ms());
    }
    flight_detach(self, flight);
    self->by_slot[slot_of(flight->request.head.corr)] = NULL;
    flight->done(flight, status, reply);
    flight_destroy(&flight);
}

static void flight_cancel(struct courier *self, struct flight *flight)
{
    if (flight->peer) {
        peer_send_plain(flight->peer, FRAME_CANCEL, flight->request.head.corr);
    }
    flight_end(self, flight, ERR_EXPIRED, NULL);
}

/* The broker with the least to do, of those that stay; NULL: there is none. */
static struct peer *peer_choose(struct courier *self, bool draining)
{
    struct peer *best = NULL;
    for (int i = 0; i < self->peer_count; i++) {
        struct peer *peer = &self->peers[i];
        if (peer->up && peer->draining == draining && (!best || *count_of(self, peer) < *count_of(self, best))) {
            best = peer;
        }
    }
    return best;
}

/* One that leaves waits for what is under way, and with it for what that asks of other services. */
static struct peer *peer_of(struct courier *self, const struct flight *flight)
{
    struct peer *best = peer_choose(self, false);
    return best || !(flight->request.head.flags & FRAME_SERVICE) ? best : peer_choose(self, true);
}

/* Sends one that waits; false if it goes on waiting. */
static bool flight_depart(struct courier *self, struct flight *flight, int64_t now_ms)
{
    struct peer *peer = peer_of(self, flight);
    if (!peer) {
        return false;
    }
    if (flight->again && !flight->paid) {
        flight->paid = retry_budget_spend(&self->retries, now_ms);
        if (!flight->paid) {
            metric_add(self->delayed, 1);
            return false;
        }
    }
    int64_t left_ms = flight->deadline_ms - now_ms;
    struct frame_head *head = &flight->request.head;
    head->budget_ms = (uint32_t)(left_ms > 1 ? left_ms : 1);
    head->epoch = peer->epoch;
    if (!message_send_again(peer->socket, &flight->request)) {
        return false;
    }
    if (!flight->again) {
        retry_budget_earn(&self->retries);
    } else if (head->flags & FRAME_REDELIVERED) {
        metric_add(self->resent, 1);
    }
    flight_detach(self, flight);
    flight->peer = peer;
    (*count_of(self, peer))++;
    DL_APPEND(self->sent, flight);
    return true;
}

/* Takes a flight that was sent off its list, and lets it wait for its next turn. */
static void flight_wait_again(struct courier *self, struct flight *flight, int64_t not_before_ms)
{
    flight_detach(self, flight);
    flight->again = true;
    flight->paid = false;
    flight->not_before_ms = not_before_ms;
    DL_APPEND(self->again, flight);
}

/* As a broker refuses what cannot be served. */
static void flight_reject(struct courier *self, struct flight *flight, int64_t wait_ms)
{
    enum { SECOND_MS = 1000 };
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct problem problem;
    fault_init(&fault, &arena);
    fault_set(&fault, ERR_SERVICE_UNAVAILABLE, "%s has not answered for a while; it is left alone for a moment.",
              flight->breaker->service);
    fault.retry_after_s = (wait_ms + SECOND_MS - 1) / SECOND_MS;
    fault_to_problem(&fault, &problem);
    struct message reply = {.head = {.type = FRAME_NACK, .attempt = 1, .status = (uint16_t)err_info(fault.code)->http}};
    message_add(&reply, TEXT("\x80"));
    message_add(&reply, record_pack_in(&problem_record, &problem, &arena));
    flight->breaker = NULL; /* it has not passed */
    flight_end(self, flight, ERR_NONE, &reply);
    message_release(&reply);
}

/* False when the service's breaker has refused the flight, which has ended then. */
static bool flight_admit(struct courier *self, struct flight *flight, int64_t now_ms)
{
    if (!self->limited || (flight->request.head.flags & FRAME_SERVICE)) {
        return true;
    }
    flight->breaker = breakers_find(&self->breakers, message_part(&flight->request, 0), now_ms);
    if (flight->breaker && !breakers_enter(&self->breakers, flight->breaker, now_ms, &flight->probe)) {
        flight_reject(self, flight, breaker_wait_ms(&flight->breaker->breaker, &self->breakers.settings, now_ms));
        return false;
    }
    return true;
}

void courier_send(struct courier *self, struct flight *flight)
{
    uint32_t slot = slot_of(flight->request.head.corr);
    ASSERT(slot < (uint32_t)self->slot_count);
    if (self->by_slot[slot]) {
        flight_cancel(self, self->by_slot[slot]);
    }
    self->by_slot[slot] = flight;
    bool first = self->waiting == NULL;
    DL_APPEND(self->waiting, flight);
    if (flight->deadline_ms < self->next_deadline_ms) {
        self->next_deadline_ms = flight->deadline_ms;
    }
    int64_t now_ms = clock_now_ms();
    if (flight_admit(self, flight, now_ms) && first) { /* else those before it wait for the same reason */
        (void)flight_depart(self, flight, now_ms);
    }
}

/* ---- a broker ---- */

/* What the lost broker had is to be sent again. */
static void peer_lost(struct courier *self, struct peer *peer)
{
    struct flight *flight, *after;
    DL_FOREACH_SAFE(self->sent, flight, after)
    {
        if (flight->peer != peer) {
            continue;
        }
        if (!(flight->request.head.flags & FRAME_REPEATABLE)) {
            flight_end(self, flight, ERR_OUTCOME_UNKNOWN, NULL);
            continue;
        }
        flight_wait_again(self, flight, 0);
        flight->request.head.flags |= FRAME_REDELIVERED;
        flight->request.head.attempt += flight->request.head.attempt < UINT8_MAX;
    }
}

/* When a request that was refused before it was begun may be sent again; -1: its refusal is the answer. A broker that
 * leaves refuses what it has not begun: another one may have it, at once. What a service asks it refuses only as any
 * broker does. A broker without a worker says when to come again. */
static int64_t again_at_ms(struct courier *self, const struct peer *peer, const struct flight *flight,
                           const struct message *message, int64_t now_ms)
{
    enum { SECOND_MS = 1000 };
    struct fault fault;
    if (message->head.type != FRAME_NACK || message->head.status != err_info(ERR_SERVICE_UNAVAILABLE)->http) {
        return -1;
    }
    if (peer->draining && peer_of(self, flight) != peer) {
        return now_ms;
    }
    fault_init(&fault, NULL);
    enum err code = reply_error(message, NULL, &fault);
    int64_t at_ms = now_ms + fault.retry_after_s * SECOND_MS;
    bool good = self->limited && code == ERR_SERVICE_UNAVAILABLE && fault.retry_after_s > 0 && !flight->repeated &&
                at_ms < flight->deadline_ms;
    return good && retry_budget_spend(&self->retries, now_ms) ? at_ms : -1;
}

/* What a refusal says of a request that another broker, or another life of this one, had before: a worker there may
 * have begun it, so that it was not begun here is no answer. ERR_NONE: the refusal holds. */
static enum err refusal_of_resent(const struct flight *flight, const struct frame_head *head)
{
    if (head->type != FRAME_NACK || flight->request.head.attempt == 1) {
        return ERR_NONE;
    }
    if (head->status == 404 || head->status == 429 || head->status == 503) {
        return ERR_OUTCOME_UNKNOWN;
    }
    return head->status == 504 ? ERR_EXPIRED : ERR_NONE;
}

static void reply_take(struct courier *self, struct peer *peer, struct message *message)
{
    uint32_t slot = slot_of(message->head.corr);
    struct flight *flight = slot < (uint32_t)self->slot_count ? self->by_slot[slot] : NULL;
    if (!flight || flight->request.head.corr != message->head.corr || flight->peer != peer) {
        metric_add(self->late, 1);
        return;
    }
    int64_t now_ms = clock_now_ms();
    int64_t at_ms = again_at_ms(self, peer, flight, message, now_ms);
    if (at_ms < 0) {
        enum err unknown = refusal_of_resent(flight, &message->head);
        flight_end(self, flight, unknown, unknown == ERR_NONE ? message : NULL);
        return;
    }
    flight_wait_again(self, flight, at_ms);
    if (!peer->draining) {
        flight->paid = flight->repeated = true;
        metric_add(self->repeated, 1);
    }
}

static void news_take(struct courier *self, struct peer *peer, enum peer_news news, struct message *message)
{
    if (news == PEER_LOST) {
        peer_lost(self, peer);
    } else if (news == PEER_MESSAGE) {
        if (message->head.type == FRAME_REPLY || message->head.type == FRAME_NACK) {
            reply_take(self, peer, message);
        }
        message_release(message);
    }
}

int courier_poll_items(struct courier *self, zmq_pollitem_t *items)
{
    for (int i = 0; i < self->peer_count; i++) {
        items[i] = (zmq_pollitem_t){.socket = self->peers[i].socket, .events = peer_poll_events(&self->peers[i])};
    }
    return self->peer_count;
}

static void flights_expire(struct courier *self, int64_t now_ms)
{
    struct flight *flight, *after;
    int64_t next_ms = INT64_MAX;
    struct flight *lists[] = {self->waiting, self->again, self->sent};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        DL_FOREACH_SAFE(lists[i], flight, after)
        {
            if (flight->deadline_ms <= now_ms) {
                flight_cancel(self, flight);
            } else if (flight->deadline_ms < next_ms) {
                next_ms = flight->deadline_ms;
            }
        }
    }
    self->next_deadline_ms = next_ms;
}

static void again_depart(struct courier *self, int64_t now_ms)
{
    struct flight *flight, *after;
    DL_FOREACH_SAFE(self->again, flight, after)
    {
        if (flight->not_before_ms <= now_ms && !flight_depart(self, flight, now_ms)) {
            return;
        }
    }
}

void courier_work(struct courier *self, const zmq_pollitem_t *items, int64_t now_ms)
{
    struct message message;
    for (int i = 0; i < self->peer_count; i++) {
        struct peer *peer = &self->peers[i];
        enum peer_news news = PEER_NOTHING;
        for (int n = 0; (items[i].revents & ZMQ_POLLIN) && n < PEER_PASS_MAX && news != PEER_EMPTY; n++) {
            news = peer_receive(peer, &message);
            news_take(self, peer, news, &message);
            if (news == PEER_LOST) {
                break; /* a new socket, which has nothing yet */
            }
        }
        news_take(self, peer, peer_tick(peer, now_ms), NULL);
        if (peer_ping_due(peer, now_ms)) {
            peer_ping(peer, now_ms, (struct text){0}, 0);
        }
    }
    if (now_ms >= self->next_deadline_ms) {
        flights_expire(self, now_ms);
    }
    again_depart(self, now_ms);
    while (self->waiting && flight_depart(self, self->waiting, now_ms)) {
    }
}

int64_t courier_wait_ms(const struct courier *self, int64_t now_ms)
{
    int64_t wait_ms = self->next_deadline_ms - now_ms;
    for (int i = 0; i < self->peer_count; i++) {
        int64_t peer_ms = peer_wait_ms(&self->peers[i], now_ms);
        wait_ms = peer_ms < wait_ms ? peer_ms : wait_ms;
    }
    if ((self->waiting || self->again) && wait_ms > COURIER_RETRY_MS && courier_up_count(self) > 0) {
        wait_ms = COURIER_RETRY_MS;
    }
    return wait_ms > 0 ? wait_ms : 0;
}

int courier_up_count(const struct courier *self)
{
    int count = 0;
    for (int i = 0; i < self->peer_count; i++) {
        count += self->peers[i].up && !self->peers[i].draining;
    }
    return count;
}

void courier_destroy(struct courier **self)
{
    if (!*self) {
        return;
    }
    struct flight *flight, *after;
    DL_FOREACH_SAFE((*self)->waiting, flight, after)
    {
        flight_end(*self, flight, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    DL_FOREACH_SAFE((*self)->again, flight, after)
    {
        flight_end(*self, flight, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    DL_FOREACH_SAFE((*self)->sent, flight, after)
    {
        flight_end(*self, flight, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    for (int i = 0; i < (*self)->peer_count; i++) {
        peer_close(&(*self)->peers[i]);
    }
    mem_free((*self)->by_slot);
    mem_free(*self);
    *self = NULL;
}
