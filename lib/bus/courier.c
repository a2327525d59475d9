#include "lib/bus/courier.h"

#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/slots.h"

enum { COURIER_RETRY_MS = 5 }; /* between tries to send what a full socket refused */

struct courier {
    const struct peer_settings *settings; /* borrowed */
    struct peer peers[BUS_MAX_BROKERS];
    int flight_counts[BUS_MAX_BROKERS]; /* by peer */
    int peer_count;
    int slot_count;
    struct flight **by_slot;  /* owned flights */
    struct flight *waiting;   /* without a peer, oldest first */
    struct flight *sent;      /* with a peer */
    int64_t next_deadline_ms; /* no flight's is earlier; INT64_MAX without flights */
    struct metric *late, *resent;
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
    } else {
        DL_DELETE(self->waiting, flight);
    }
}

static void flight_end(struct courier *self, struct flight *flight, enum err status, struct message *reply)
{
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

static struct peer *peer_choose(struct courier *self)
{
    struct peer *best = NULL;
    for (int i = 0; i < self->peer_count; i++) {
        struct peer *peer = &self->peers[i];
        if (peer->up && !peer->draining && (!best || *count_of(self, peer) < *count_of(self, best))) {
            best = peer;
        }
    }
    return best;
}

/* Sends one that waits; false if it goes on waiting. */
static bool flight_depart(struct courier *self, struct flight *flight, int64_t now_ms)
{
    struct peer *peer = peer_choose(self);
    if (!peer) {
        return false;
    }
    int64_t left_ms = flight->deadline_ms - now_ms;
    struct frame_head *head = &flight->request.head;
    head->budget_ms = (uint32_t)(left_ms > 1 ? left_ms : 1);
    head->epoch = peer->epoch;
    if (!message_send_again(peer->socket, &flight->request)) {
        return false;
    }
    DL_DELETE(self->waiting, flight);
    flight->peer = peer;
    (*count_of(self, peer))++;
    DL_APPEND(self->sent, flight);
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
    if (first) { /* else those before it wait for the same reason */
        (void)flight_depart(self, flight, clock_now_ms());
    }
}

/* ---- a broker ---- */

/* What the lost broker had goes to the head of those that wait. */
static void peer_lost(struct courier *self, struct peer *peer)
{
    struct flight *flight, *after;
    struct flight *again = NULL;
    DL_FOREACH_SAFE(self->sent, flight, after)
    {
        if (flight->peer != peer) {
            continue;
        }
        if (!(flight->request.head.flags & FRAME_REPEATABLE)) {
            flight_end(self, flight, ERR_OUTCOME_UNKNOWN, NULL);
            continue;
        }
        flight_detach(self, flight);
        flight->request.head.flags |= FRAME_REDELIVERED;
        flight->request.head.attempt += flight->request.head.attempt < UINT8_MAX;
        metric_add(self->resent, 1);
        DL_APPEND(again, flight);
    }
    DL_CONCAT(again, self->waiting);
    self->waiting = again;
}

/* A broker that leaves refuses what it has not begun: another one may have it. */
static bool is_sent_on(const struct peer *peer, const struct frame_head *head)
{
    return head->type == FRAME_NACK && head->status == 503 && peer->draining;
}

/* What a refusal says of a request that another broker, or another life of this one, had before: a worker there may have
 * begun it, so that it was not begun here is no answer. ERR_NONE: the refusal holds. */
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
    } else if (is_sent_on(peer, &message->head)) {
        flight_detach(self, flight);
        DL_APPEND(self->waiting, flight);
    } else {
        enum err unknown = refusal_of_resent(flight, &message->head);
        flight_end(self, flight, unknown, unknown == ERR_NONE ? message : NULL);
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
    struct flight *lists[] = {self->waiting, self->sent};
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
    if (self->waiting && wait_ms > COURIER_RETRY_MS && courier_up_count(self) > 0) {
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
