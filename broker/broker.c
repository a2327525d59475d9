#include "broker/broker.h"

#include "broker/access.h"
#include "broker/dispatch.h"
#include "broker/keeper.h"
#include "broker/session.h"
#include "lib/base/invariant.h"

enum { SWEEP_EVERY_US = 50 * 1000, BUSY_WAIT_MS = WHEEL_TICK_US / 1000, IDLE_WAIT_MS = 100 };

struct broker *broker_new(const struct broker_settings *settings, int64_t now_us)
{
    struct broker *self = mem_alloc(sizeof *self);
    ASSERT(settings->first_epoch != 0);
    self->settings = *settings;
    self->now_us = self->start_us = self->tick_us = self->sweep_us = now_us;
    self->peers.next_epoch = settings->first_epoch;
    meters_init(&self->meters, settings->metrics);
    requests_init(&self->requests, settings->requests_max);
    wheel_init(&self->wheel, now_us);
    affinity_init(&self->affinity, settings->affinity_max);
    letters_init(&self->letters, settings->letters_max, settings->letters_size_max);
    return self;
}

void broker_destroy(struct broker **self)
{
    struct broker *broker = *self;
    if (!broker) {
        return;
    }
    broker->settings.note = NULL; /* its end is no news of its peers */
    broker->stopped = true;
    dispatch_end_all(broker);
    errands_run(broker);
    for (int plane = 0; plane < PLANE_COUNT; plane++) {
        while (broker->peers.by_id[plane]) {
            session_end(broker, broker->peers.by_id[plane], "session.ended", false);
        }
    }
    while (services_forget_one(&broker->services)) {
    }
    requests_release(&broker->requests);
    affinity_release(&broker->affinity);
    letters_release(&broker->letters);
    sends_release(&broker->sends);
    mem_free(broker);
    *self = NULL;
}

static void time_set(struct broker *self, int64_t now_us)
{
    self->now_us = now_us > self->now_us ? now_us : self->now_us;
}

static void count_garbage(struct broker *self, struct parcel *parcel)
{
    self->counts.garbage++;
    metric_add(self->meters.garbage, 1);
    parcel_drop(&parcel);
}

/* How many frames may follow a head of this type; -1: peers do not send it on this socket. */
static int parts_most(enum plane plane, enum frame_type type)
{
    bool worker = plane == PLANE_WORKERS;
    switch (type) {
    case FRAME_HELLO:
    case FRAME_PING: return 1;
    case FRAME_REQUEST: return worker ? -1 : PARCEL_MAX_PARTS + 1;
    case FRAME_PARTIAL:
    case FRAME_REPLY: return worker ? 2 : -1;
    case FRAME_CREDIT: return worker ? 0 : -1;
    case FRAME_DRAIN:
    case FRAME_BYE: return 0;
    case FRAME_CANCEL: return worker ? -1 : 0;
    case FRAME_WELCOME:
    case FRAME_NACK:
    case FRAME_PONG:
    case FRAME_TYPE_COUNT: return -1;
    }
    return -1;
}

static bool shape_is_good(enum plane plane, enum frame_type type, int part_count)
{
    bool exact = type == FRAME_HELLO || type == FRAME_PARTIAL || type == FRAME_REPLY;
    int most = parts_most(plane, type);
    return most >= 0 && (exact ? part_count == most : part_count <= most);
}

static void session_receive(struct broker *self, struct peer *peer, const struct frame_head *head,
                            struct parcel *parcel)
{
    if (head->type == FRAME_REQUEST) {
        dispatch_accept(self, peer, head, parcel);
    } else if (head->type == FRAME_REPLY || head->type == FRAME_PARTIAL) {
        dispatch_answer(self, peer, head, parcel);
    } else if (head->type == FRAME_PING) {
        session_ping(self, peer, head, parcel);
    } else {
        parcel_drop(&parcel);
        if (head->type == FRAME_CANCEL) {
            dispatch_cancel(self, peer, head);
        } else if (head->type == FRAME_CREDIT) {
            session_credit(self, peer, head->credit);
        } else if (head->type == FRAME_DRAIN) {
            session_drain(peer);
        } else if (head->type == FRAME_BYE) {
            session_end(self, peer, peer->plane == PLANE_WORKERS ? "worker.left" : "client.left", false);
        }
    }
}

void broker_receive(struct broker *self, enum plane plane, struct text from, struct text head_frame,
                    struct parcel *parcel, int64_t now_us)
{
    struct frame_head head;
    time_set(self, now_us);
    bool known = from.size >= 1 && from.size <= ROUTING_ID_MAX_SIZE && frame_head_read(head_frame, &head);
    struct peer *peer = known ? peer_find(&self->peers, plane, from) : NULL;
    bool ours = peer && head.epoch == peer->epoch && access_is_same(self, peer);
    if (!known || !shape_is_good(plane, head.type, parcel ? parcel->part_count : 0)) {
        count_garbage(self, parcel);
        /* a worker that garbles an answer would keep its credit for ever: it starts anew */
        if (ours && plane == PLANE_WORKERS && (head.type == FRAME_REPLY || head.type == FRAME_PARTIAL)) {
            session_end(self, peer, "worker.garbled", true);
        }
        return;
    }
    if (head.type == FRAME_HELLO) {
        session_hello(self, plane, from, &head, parcel);
        return;
    }
    if (!ours) {
        stray_bye(self, plane, from, &head);
        parcel_drop(&parcel);
        return;
    }
    peer->heard_us = self->now_us;
    delay_note(&peer->delay, head.t_send_us, self->now_us);
    session_receive(self, peer, &head, parcel);
    errands_run(self);
}

void broker_speaker_set(struct broker *self, const struct key_grant *speaker)
{
    self->speaker = speaker;
}

void broker_grants_changed(struct broker *self, const struct key_grants *grants, int64_t now_us)
{
    time_set(self, now_us);
    for (int plane = 0; plane < PLANE_COUNT; plane++) {
        struct peer *peer, *next;
        HASH_ITER(hh, self->peers.by_id[plane], peer, next)
        {
            if (!access_holds(peer, grants)) {
                session_end(self, peer, "session.revoked", true);
            }
        }
    }
}

void broker_unsent(struct broker *self, const struct send *send)
{
    struct frame_head head;
    if (frame_head_read((struct text){(const char *)send->head, FRAME_HEAD_SIZE}, &head) &&
        head.type == FRAME_REQUEST) {
        dispatch_unsent(self, head.corr);
    }
}

void broker_peer_gone(struct broker *self, enum plane plane, struct text id, int64_t now_us)
{
    time_set(self, now_us);
    struct peer *peer = peer_find(&self->peers, plane, id);
    if (peer) {
        session_end(self, peer, plane == PLANE_WORKERS ? "worker.gone" : "client.gone", false);
    }
    errands_run(self);
}

int broker_tick(struct broker *self, int64_t now_us)
{
    time_set(self, now_us);
    int64_t gap_us = self->now_us - self->tick_us;
    self->tick_us = self->now_us;
    if (gap_us > BROKER_STALL_MS * INT64_C(1000)) {
        session_forgive(self, gap_us);
    }
    dispatch_expire(self);
    if (self->now_us - self->sweep_us >= SWEEP_EVERY_US) {
        self->sweep_us = self->now_us;
        session_sweep(self);
        dispatch_sweep(self);
        metric_set(self->meters.in_flight, (int64_t)self->counts.in_flight);
        metric_set(self->meters.letters, self->letters.count);
    }
    errands_run(self);
    keeper_step(self);
    return self->wheel.count ? BUSY_WAIT_MS : IDLE_WAIT_MS;
}

struct sends *broker_sends(struct broker *self)
{
    return &self->sends;
}

void broker_drain(struct broker *self, int64_t now_us)
{
    time_set(self, now_us);
    self->draining = true;
    session_tell_all(self, FRAME_DRAIN);
}

void broker_stop(struct broker *self, int64_t now_us)
{
    time_set(self, now_us);
    self->draining = self->stopped = true;
    dispatch_end_all(self);
    errands_run(self);
    session_tell_all(self, FRAME_BYE);
}

uint32_t broker_sessions(const struct broker *self)
{
    return peers_count(&self->peers);
}

struct broker_counts broker_counts(const struct broker *self)
{
    return self->counts;
}
