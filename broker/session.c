#include "broker/session.h"

#include <stdio.h>

#include "broker/access.h"
#include "broker/dispatch.h"
#include "proto/fault.h"

/* 3.5 heartbeats */
static int64_t silence_max_us(const struct peer *peer)
{
    return peer->heartbeat_us * 7 / 2;
}

static void note(const struct broker *self, const char *event, const struct peer *peer, const char *detail)
{
    if (self->settings.note) {
        self->settings.note(self->settings.note_user, event, peer->instance, detail);
    }
}

/* ---- HELLO ---- */

static bool role_fits(enum plane plane, struct text role)
{
    if (plane == PLANE_WORKERS) {
        return text_is(role, "worker");
    }
    return text_is(role, "gateway") || text_is(role, "service") || text_is(role, "operator");
}

static bool name_is_good(struct text name)
{
    char route[64];
    struct text service, operation, key;
    int size = snprintf(route, sizeof route, "%.*s.x", TEXT_ARG(name));
    return size > 0 && (size_t)size < sizeof route && !text_is(name, "mmi") &&
           route_read(text_of(route), &service, &operation, &key) && service.size == name.size;
}

/* NULL if the HELLO is good, else what is wrong with it. */
static const char *hello_fault(enum plane plane, const struct hello *hello)
{
    if (!role_fits(plane, hello->role)) {
        return "This role does not belong to this socket.";
    }
    if ((plane == PLANE_WORKERS) != (hello->services.count > 0)) {
        return "A worker serves something, a client nothing.";
    }
    for (uint32_t i = 0; i < hello->services.count; i++) {
        if (!name_is_good(hello->services.items[i].name)) {
            return "A service's name has lower-case letters, digits, _ and -; mmi is the broker's own.";
        }
    }
    return NULL;
}

static struct service *service_make(struct broker *self, struct text name)
{
    struct service *service = service_find(&self->services, name);
    if (!service) {
        service = service_add(&self->services, name);
    }
    if (!service && services_forget_one(&self->services)) {
        service = service_add(&self->services, name);
    }
    if (service && !service->known) {
        char labels[SERVICE_NAME_SIZE + 16];
        snprintf(labels, sizeof labels, "service=\"%s\"", service->name);
        service->queue_metric = metrics_get(self->settings.metrics, METRIC_GAUGE, "zmart_broker_queue_length", labels,
                                            "Requests that wait for a worker.");
        service->workers_metric = metrics_get(self->settings.metrics, METRIC_GAUGE, "zmart_broker_workers", labels,
                                              "Workers that take requests.");
        service->in_flight_metric = metrics_get(self->settings.metrics, METRIC_GAUGE, "zmart_broker_service_in_flight",
                                                labels, "Requests that workers have.");
        service->known = true;
    }
    return service;
}

/* Opens a station a service; false if the table of services is full. */
static bool stations_open(struct broker *self, struct peer *peer, const struct hello *hello)
{
    peer->stations = hello->services.count ? mem_alloc_array(hello->services.count, sizeof *peer->stations) : NULL;
    for (uint32_t i = 0; i < hello->services.count; i++) {
        const struct hello_service *wanted = &hello->services.items[i];
        struct service *service = service_make(self, wanted->name);
        if (!service) {
            return false;
        }
        struct station *station = &peer->stations[peer->station_count++];
        *station = (struct station){.worker = peer, .service = service, .credit = (uint32_t)wanted->credit};
        service->worker_count++;
        service->seen_us = self->now_us;
        station_open(station);
    }
    return true;
}

static void welcome_send(struct broker *self, const struct peer *peer)
{
    AUTO(buffer_release) struct buffer body;
    struct welcome welcome = {.broker = text_of(self->settings.instance),
                              .epoch = peer->epoch,
                              .hb_ms = peer->heartbeat_us / 1000,
                              .max_body = FRAME_MAX_BODY};
    buffer_init(&body, 1024);
    bool packed = record_pack(&welcome_record, &welcome, &body);
    peer_send(self, peer, FRAME_WELCOME, packed ? parcel_of((struct text[]){buffer_text(&body)}, 1) : NULL);
}

static void session_begin(struct broker *self, enum plane plane, struct text from, const struct frame_head *head,
                          const struct hello *hello)
{
    struct peer *peer = peer_add(&self->peers, plane, from, hello, self->now_us);
    peer->hello_corr = head->corr;
    memcpy(peer->key, self->speaker ? self->speaker->key : "", self->speaker ? sizeof peer->key : 1);
    int64_t heartbeat_ms = hello->hb_ms < self->settings.heartbeat_ms ? hello->hb_ms : self->settings.heartbeat_ms;
    peer->heartbeat_us = heartbeat_ms * 1000;
    delay_note(&peer->delay, head->t_send_us, self->now_us);
    if (!stations_open(self, peer, hello)) {
        stranger_nack(self, plane, from, head->corr, ERR_SERVICE_UNAVAILABLE, "There are too many services.");
        session_end(self, peer, "worker.refused", false);
        return;
    }
    welcome_send(self, peer);
    note(self, plane == PLANE_WORKERS ? "worker.joined" : "client.joined", peer, peer->version);
    if (self->draining) {
        peer_send(self, peer, FRAME_DRAIN, NULL);
    }
    for (int i = 0; i < peer->station_count; i++) {
        dispatch_service(self, peer->stations[i].service);
    }
}

void session_hello(struct broker *self, enum plane plane, struct text from, const struct frame_head *head,
                   struct parcel *parcel)
{
    struct arena arena = {0};
    struct fault fault;
    struct hello hello;
    fault_init(&fault, &arena);
    struct peer *peer = peer_find(&self->peers, plane, from);
    bool repeat = peer && head->corr != 0 && head->corr == peer->hello_corr;
    if (repeat) {
        peer->heard_us = self->now_us;
        welcome_send(self, peer);
    } else if (record_unpack(&hello_record, parcel->parts[0], &arena, &fault, &hello) != ERR_NONE) {
        self->counts.garbage++;
        metric_add(self->meters.garbage, 1);
        stranger_nack(self, plane, from, head->corr, ERR_BAD_REQUEST, "The HELLO cannot be read.");
    } else {
        if (peer) {
            session_end(self, peer, "session.replaced", false);
        }
        char detail[ACCESS_DETAIL_SIZE];
        const char *wrong = hello_fault(plane, &hello);
        if (wrong) {
            stranger_nack(self, plane, from, head->corr, ERR_BAD_REQUEST, wrong);
        } else if (!access_greet(self, plane, &hello, detail)) {
            stranger_nack(self, plane, from, head->corr, ERR_FORBIDDEN, detail);
        } else if (peers_count(&self->peers) >= self->settings.peers_max) {
            stranger_nack(self, plane, from, head->corr, ERR_SERVICE_UNAVAILABLE, "There are too many peers.");
        } else {
            session_begin(self, plane, from, head, &hello);
        }
    }
    parcel_drop(&parcel);
    arena_release(&arena);
}

/* ---- in a session ---- */

void session_ping(struct broker *self, struct peer *peer, const struct frame_head *head, struct parcel *parcel)
{
    struct frame_head pong = {
        .type = FRAME_PONG, .corr = head->corr, .t_send_us = head->t_send_us, .epoch = peer->epoch};
    sends_add(&self->sends, peer->plane, peer_id(peer), &pong, NULL);
    if (parcel && peer->plane == PLANE_WORKERS) {
        parcel_drop(&peer->metrics);
        peer->metrics = parcel;
    } else {
        parcel_drop(&parcel);
    }
}

void session_credit(struct broker *self, struct peer *worker, uint32_t credit)
{
    for (int i = 0; i < worker->station_count; i++) {
        station_set_credit(&worker->stations[i], credit);
        dispatch_service(self, worker->stations[i].service);
    }
}

void session_drain(struct peer *peer)
{
    peer->draining = true;
    for (int i = 0; i < peer->station_count; i++) {
        station_close(&peer->stations[i]);
    }
}

void session_end(struct broker *self, struct peer *peer, const char *event, bool say_bye)
{
    char detail[64];
    uint32_t had = peer->request_count;
    for (int i = 0; i < peer->station_count; i++) {
        had += peer->stations[i].in_flight;
    }
    snprintf(detail, sizeof detail, "%u requests under way", had);
    note(self, event, peer, detail);
    if (say_bye) {
        peer_send(self, peer, FRAME_BYE, NULL);
    }
    dispatch_worker_lost(self, peer);
    dispatch_client_lost(self, peer);
    peer_remove(&self->peers, peer);
}

/* ---- time ---- */

void session_sweep(struct broker *self)
{
    for (int plane = 0; plane < PLANE_COUNT; plane++) {
        struct peer *peer, *next;
        HASH_ITER(hh, self->peers.by_id[plane], peer, next)
        {
            if (self->now_us - peer->heard_us > silence_max_us(peer)) {
                session_end(self, peer, plane == PLANE_WORKERS ? "worker.lost" : "client.lost", true);
            }
        }
        metric_set(self->meters.peers[plane], HASH_COUNT(self->peers.by_id[plane]));
    }
}

void session_forgive(struct broker *self, int64_t gap_us)
{
    for (int plane = 0; plane < PLANE_COUNT; plane++) {
        for (struct peer *peer = self->peers.by_id[plane]; peer; peer = peer->hh.next) {
            int64_t heard_us = peer->heard_us + gap_us;
            peer->heard_us = heard_us < self->now_us ? heard_us : self->now_us;
        }
    }
}

void stray_bye(struct broker *self, enum plane plane, struct text from, const struct frame_head *head)
{
    self->counts.stray++;
    metric_add(self->meters.stray, 1);
    if (head->type == FRAME_REPLY || head->type == FRAME_PARTIAL) {
        self->counts.late++;
        metric_add(self->meters.late, 1);
    }
    if (head->type != FRAME_BYE) {
        struct frame_head bye = {.type = FRAME_BYE, .epoch = head->epoch, .t_send_us = self->now_us};
        sends_add(&self->sends, plane, from, &bye, NULL);
    }
}

void session_tell_all(struct broker *self, enum frame_type type)
{
    for (int plane = 0; plane < PLANE_COUNT; plane++) {
        for (struct peer *peer = self->peers.by_id[plane]; peer; peer = peer->hh.next) {
            peer_send(self, peer, type, NULL);
        }
    }
}
