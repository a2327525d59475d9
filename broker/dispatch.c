#include "broker/dispatch.h"

#include "broker/access.h"
#include "broker/keeper.h"
#include "broker/mmi.h"
#include "lib/base/invariant.h"

enum { META_MAX_SIZE = 8 * 1024, BUDGET_MAX_MS = 600 * 1000 };

/* What is needed to begin a request. */
struct offer {
    struct caller caller;
    struct parcel *parcel;
    uint8_t priority;
    int64_t deadline_us;
    struct text service, operation, key;
    uint64_t death; /* of the dead letter that it was; 0: it was none */
};

/* ---- leaving ---- */

static size_t held_size(const struct request *request)
{
    return sizeof *request + request->parcel->size;
}

/* The client's side of it is over. A worker that still has it keeps the credit until it answers. */
static void request_leave(struct broker *self, struct request *request)
{
    struct peer *client = request->caller.client;
    if (request->state == REQUEST_QUEUED) {
        queue_remove(&request->service->queue, request);
    }
    wheel_remove(&self->wheel, request);
    if (client) {
        request_unindex(&self->requests, request);
        DL_DELETE2(client->requests, request, client_prev, client_next);
        client->request_count--;
        request->caller.client = NULL;
    }
    self->held_size -= held_size(request);
    parcel_drop(&request->parcel);
    self->counts.in_flight--;
    if (request->station) {
        request->state = REQUEST_ENDED;
    } else {
        request_free(&self->requests, request);
    }
}

void dispatch_nack(struct broker *self, struct request *request, const struct nack *nack)
{
    if (request->death) {
        keeper_bury(self, request, nack->detail);
    }
    answer_nack(self, &request->caller, nack);
    request_leave(self, request);
}

static void request_expire(struct broker *self, struct request *request)
{
    static const struct nack begun = {OUTCOME_EXPIRED, "A worker had it when its time was over: it may have happened.",
                                      NULL, 0};
    static const struct nack waited = {OUTCOME_EXPIRED,
                                       "Its time was over before a worker was free: it did not happen.", NULL, 0};
    static const struct nack alone = {OUTCOME_UNAVAILABLE, "No worker of the service came in time.", NULL,
                                      RETRY_AFTER_S};
    dispatch_nack(self, request, request->begun ? &begun : request->service->station_count ? &waited : &alone);
}

/* ---- to a worker ---- */

static void request_send(struct broker *self, struct request *request, struct station *station)
{
    int64_t waited_us = self->now_us - request->queued_us;
    request->caller.queue_us += (uint32_t)(waited_us < UINT32_MAX / 2 ? waited_us : UINT32_MAX / 2);
    request->state = REQUEST_SENT;
    request->begun_before = request->begun;
    request->begun = true;
    request->unsent = false;
    request_renumber(request);
    station_begin(station, request);
    metric_observe(self->meters.queue_time, waited_us);
    if (request->key.size) {
        affinity_set(&self->affinity, request->key, station);
    }
    struct frame_head head = {.type = FRAME_REQUEST,
                              .flags = request->caller.flags,
                              .priority = request->priority,
                              .attempt = request->caller.attempt,
                              .corr = request_dispatch_id(request),
                              .t_send_us = self->now_us,
                              .budget_ms = (uint32_t)((request->deadline_us - self->now_us) / 1000),
                              .epoch = station->worker->epoch,
                              .queue_us = request->caller.queue_us};
    memcpy(head.request_id, request->caller.request_id, ID_SIZE);
    sends_add(&self->sends, PLANE_WORKERS, peer_id(station->worker), &head, parcel_share(request->parcel));
}

static struct station *station_for(struct broker *self, const struct request *request)
{
    if (request->key.size) {
        struct station *station = affinity_find(&self->affinity, request->service, request->key);
        if (station && station->heap_at && station_free_credit(station)) {
            return station;
        }
    }
    return service_station(request->service);
}

/* Less than a millisecond is no budget: what is begun must be able to end in time. */
static bool request_is_over(const struct broker *self, const struct request *request)
{
    return request->deadline_us - self->now_us < 1000;
}

void dispatch_service(struct broker *self, struct service *service)
{
    struct request *request;
    while ((request = queue_first(&service->queue)) != NULL) {
        if (request_is_over(self, request)) {
            request_expire(self, request);
            continue;
        }
        struct station *station = station_for(self, request);
        if (!station) {
            return;
        }
        queue_remove(&service->queue, request);
        request_send(self, request, station);
    }
}

/* ---- acceptance ---- */

static bool refused(struct nack *out_why, enum outcome outcome, const char *detail, int64_t retry_after_s)
{
    *out_why = (struct nack){.outcome = outcome, .detail = detail, .retry_after_s = retry_after_s};
    return false;
}

bool dispatch_in_grace(const struct broker *self)
{
    return self->now_us - self->start_us <= self->settings.service_wait_ms * 1000;
}

static bool service_resolve(struct broker *self, struct text name, struct service **out, struct nack *out_why)
{
    struct service *service = service_find(&self->services, name);
    if (!service && dispatch_in_grace(self)) {
        service = service_add(&self->services, name);
        if (service) {
            service->seen_us = self->start_us;
        }
    }
    if (!service || (!service->known && !dispatch_in_grace(self))) {
        (void)refused(out_why, OUTCOME_UNKNOWN, "There is no such service.", 0);
        out_why->allowed = service_nearest(&self->services, name);
        return false;
    }
    if (service->worker_count == 0 && self->now_us - service->seen_us > self->settings.service_wait_ms * 1000) {
        return refused(out_why, OUTCOME_UNAVAILABLE, "The service has no worker.", RETRY_AFTER_S);
    }
    *out = service;
    return true;
}

/* Sheds what is less important until the offer fits. What services ask for is refused only far over the limit. */
static bool queue_make_room(struct broker *self, struct queue *queue, const struct offer *offer)
{
    static const struct nack shed = {OUTCOME_FULL, "It made way for something more important.", NULL, RETRY_AFTER_S};
    bool of_service = (offer->caller.flags & FRAME_SERVICE) != 0;
    while (!queue_has_room(queue, &self->settings.queue, offer->parcel->size, 1)) {
        struct request *victim = queue_victim(queue, offer->priority, of_service);
        if (!victim) {
            return of_service && queue_has_room(queue, &self->settings.queue, offer->parcel->size, 2);
        }
        dispatch_nack(self, victim, &shed);
    }
    return true;
}

static bool limits_allow(const struct broker *self, const struct offer *offer, struct nack *out_why)
{
    const struct peer *client = offer->caller.client;
    if (client && client->request_count >= self->settings.client_requests_max) {
        return refused(out_why, OUTCOME_FULL, "This client has too many requests under way.", RETRY_AFTER_S);
    }
    if (self->held_size + sizeof(struct request) + offer->parcel->size > self->settings.held_size_max) {
        return refused(out_why, OUTCOME_FULL, "The broker holds too many bytes already.", RETRY_AFTER_S);
    }
    if (offer->deadline_us - self->now_us < 1000) {
        return refused(out_why, OUTCOME_EXPIRED, "Its time was over when it arrived: it did not happen.", 0);
    }
    return true;
}

static void request_enter(struct broker *self, struct request *request, struct offer *offer)
{
    struct peer *client = offer->caller.client;
    request->caller = offer->caller;
    request->priority = offer->priority;
    request->deadline_us = offer->deadline_us;
    request->parcel = offer->parcel;
    request->key = offer->key;
    offer->parcel = NULL;
    self->held_size += held_size(request);
    self->counts.in_flight++;
    wheel_add(&self->wheel, request);
    if (client) {
        request_index(&self->requests, request);
        DL_APPEND2(client->requests, request, client_prev, client_next);
        client->request_count++;
    }
}

/* Takes the offer's parcel on success only. */
static bool offer_admit(struct broker *self, struct offer *offer, struct nack *out_why)
{
    struct service *service;
    if (!limits_allow(self, offer, out_why) || !service_resolve(self, offer->service, &service, out_why)) {
        return false;
    }
    bool idle = service->queue.count == 0 && service_station(service);
    if (!idle && !queue_make_room(self, &service->queue, offer)) {
        return refused(out_why, OUTCOME_FULL, "The service's queue is full.", RETRY_AFTER_S);
    }
    struct request *request = request_take(&self->requests);
    if (!request) {
        return refused(out_why, OUTCOME_FULL, "The broker has too many requests already.", RETRY_AFTER_S);
    }
    request->service = service;
    request->death = offer->death;
    request_enter(self, request, offer);
    queue_add(&service->queue, request, self->now_us);
    dispatch_service(self, service);
    return true;
}

static bool offer_read(struct broker *self, const struct frame_head *head, struct offer *offer, struct nack *out_why)
{
    struct parcel *parcel = offer->parcel;
    if (!parcel || parcel->part_count != 3 || parcel->parts[1].size > META_MAX_SIZE ||
        !route_read(parcel->parts[0], &offer->service, &offer->operation, &offer->key)) {
        return refused(out_why, OUTCOME_MALFORMED, "A request is a head, a route, its meta and a body.", 0);
    }
    if (parcel->parts[2].size > FRAME_MAX_BODY) {
        return refused(out_why, OUTCOME_TOO_LARGE, "The body is over the limit that WELCOME told.", 0);
    }
    if (self->draining && !(head->flags & FRAME_SERVICE)) { /* those are part of what it waits for */
        return refused(out_why, OUTCOME_UNAVAILABLE, "This broker is going down.", RETRY_AFTER_S);
    }
    offer->priority = head->priority;
    return true;
}

void dispatch_accept(struct broker *self, struct peer *client, const struct frame_head *head, struct parcel *parcel)
{
    struct nack why;
    char detail[ACCESS_DETAIL_SIZE];
    uint8_t attempt = head->attempt ? head->attempt : 1;
    struct offer offer = {.parcel = parcel,
                          .caller = {.client = client,
                                     .corr = head->corr,
                                     .attempt = attempt,
                                     .flags = head->flags | (attempt > 1 ? FRAME_REDELIVERED : 0)}};
    memcpy(offer.caller.request_id, head->request_id, ID_SIZE);
    int64_t budget_ms = head->budget_ms < BUDGET_MAX_MS ? head->budget_ms : BUDGET_MAX_MS;
    int64_t age_us = delay_age_us(&client->delay, head->t_send_us, self->now_us);
    offer.deadline_us = self->now_us - age_us + budget_ms * 1000;
    self->counts.accepted++;
    metric_add(self->meters.accepted, 1);
    if (!offer_read(self, head, &offer, &why)) {
        answer_nack(self, &offer.caller, &why);
    } else if (!access_call(self, offer.service, offer.operation, detail)) {
        why = (struct nack){.outcome = OUTCOME_FORBIDDEN, .detail = detail};
        answer_nack(self, &offer.caller, &why);
    } else if (keeper_is_asked(offer.service, offer.operation)) {
        why = (struct nack){.outcome = OUTCOME_FORBIDDEN, .detail = "Dead letters are asked for with mmi.dlq."};
        answer_nack(self, &offer.caller, &why);
    } else if (text_is(offer.service, "mmi")) {
        mmi_answer(self, &offer.caller, offer.operation, parcel->parts[2], offer.deadline_us);
    } else if (!offer_admit(self, &offer, &why)) {
        answer_nack(self, &offer.caller, &why);
    }
    parcel_drop(&offer.parcel);
}

/* One that the broker itself makes: it is accepted only if it is admitted. */
static bool own_admit(struct broker *self, struct offer *offer, struct nack *out_why)
{
    ASSERT(route_read(offer->parcel->parts[0], &offer->service, &offer->operation, &offer->key));
    bool admitted = offer_admit(self, offer, out_why);
    if (admitted) {
        self->counts.accepted++;
        metric_add(self->meters.accepted, 1);
    }
    parcel_drop(&offer->parcel);
    return admitted;
}

bool dispatch_letter(struct broker *self, const struct letter *letter, int64_t budget_ms, struct nack *out_why)
{
    struct offer offer = {.parcel = parcel_share(letter->parcel),
                          .priority = letter->priority,
                          .death = letter->death,
                          .deadline_us = self->now_us + budget_ms * 1000,
                          .caller = {.attempt = 1, .flags = letter->flags | FRAME_NO_REPLY | FRAME_REDELIVERED}};
    memcpy(offer.caller.request_id, letter->request_id, ID_SIZE);
    return own_admit(self, &offer, out_why);
}

bool dispatch_errand(struct broker *self, struct errand *errand, const struct errand_task *task, struct parcel *parcel)
{
    const struct op_info *info = op_info(task->op);
    const struct service *service = service_find(&self->services, text_of(info->service));
    struct nack why;
    struct offer offer = {
        .parcel = parcel,
        .priority = info->priority,
        .deadline_us = self->now_us + task->budget_ms * 1000,
        .caller = {.attempt = 1, .flags = FRAME_SERVICE | FRAME_REPEATABLE, .errand = errand}};
    if (!service || service->station_count == 0) {
        parcel_drop(&offer.parcel);
        return false;
    }
    memcpy(offer.caller.request_id, task->request_id, ID_SIZE);
    return own_admit(self, &offer, &why);
}

/* ---- answers and other ends ---- */

void dispatch_cancel(struct broker *self, struct peer *client, const struct frame_head *head)
{
    static const struct nack nack = {OUTCOME_CANCELLED, "It was taken back before it was begun.", NULL, 0};
    struct request *request = request_by_caller(&self->requests, client, head->corr);
    if (!request) {
        return;
    }
    if (request->state == REQUEST_QUEUED && !request->begun) {
        dispatch_nack(self, request, &nack);
    } else if (request->state == REQUEST_SENT) {
        const struct peer *worker = request->station->worker;
        struct frame_head cancel = {.type = FRAME_CANCEL,
                                    .corr = request_dispatch_id(request),
                                    .t_send_us = self->now_us,
                                    .epoch = worker->epoch};
        memcpy(cancel.request_id, request->caller.request_id, ID_SIZE);
        sends_add(&self->sends, PLANE_WORKERS, peer_id(worker), &cancel, NULL);
    }
}

static void count_late(struct broker *self, struct parcel *parcel)
{
    self->counts.late++;
    metric_add(self->meters.late, 1);
    parcel_drop(&parcel);
}

void dispatch_answer(struct broker *self, struct peer *worker, const struct frame_head *head, struct parcel *parcel)
{
    struct request *request = request_by_dispatch(&self->requests, head->corr);
    if (!request || !request->station || request->station->worker != worker) {
        count_late(self, parcel);
        return;
    }
    if (head->type == FRAME_PARTIAL) {
        if (request->state == REQUEST_ENDED) {
            count_late(self, parcel);
            return;
        }
        request->partial = true;
        answer_partial(self, &request->caller, head->status, head->flags, parcel);
        return;
    }
    struct service *service = request->service;
    station_end(request->station, request);
    if (request->state == REQUEST_ENDED) {
        count_late(self, parcel);
        request_free(&self->requests, request);
    } else {
        if (request->death) {
            keeper_settle(self, request, head->status);
        }
        answer_reply(self, &request->caller, head->status, head->flags, parcel);
        request_leave(self, request);
    }
    dispatch_service(self, service);
}

/* Its worker has died over it. */
static void request_again(struct broker *self, struct request *request)
{
    static const struct nack once = {OUTCOME_LOST, "Its worker died, and it may not be sent again.", NULL, 0};
    static const struct nack thrice = {OUTCOME_LOST, "Every worker that had it died.", NULL, 0};
    if (request->unsent) {
        request->begun = request->begun_before;
        queue_add_again(&request->service->queue, request, self->now_us);
    } else if (request->partial || !(request->caller.flags & FRAME_REPEATABLE)) {
        dispatch_nack(self, request, &once);
    } else if (request->caller.attempt >= FRAME_MAX_ATTEMPTS) {
        if (!request->caller.errand) {
            keeper_bury(self, request, thrice.detail);
        }
        dispatch_nack(self, request, &thrice);
    } else {
        request->caller.attempt++;
        request->caller.flags |= FRAME_REDELIVERED;
        self->counts.redelivered++;
        metric_add(self->meters.redelivered, 1);
        queue_add_again(&request->service->queue, request, self->now_us);
    }
}

void dispatch_unsent(struct broker *self, uint64_t dispatch_id)
{
    struct request *request = request_by_dispatch(&self->requests, dispatch_id);
    if (request && request->state == REQUEST_SENT) {
        request->unsent = true;
    }
}

void dispatch_worker_lost(struct broker *self, struct peer *worker)
{
    for (int i = 0; i < worker->station_count; i++) {
        struct station *station = &worker->stations[i];
        station_close(station);
        affinity_forget(&self->affinity, station);
        station->service->worker_count--;
        station->service->seen_us = self->now_us;
    }
    for (int i = 0; i < worker->station_count; i++) {
        struct station *station = &worker->stations[i];
        while (station->requests) {
            struct request *request = station->requests;
            station_end(station, request);
            if (request->state == REQUEST_ENDED) {
                request_free(&self->requests, request);
            } else {
                request_again(self, request);
            }
        }
    }
    for (int i = 0; i < worker->station_count; i++) {
        dispatch_service(self, worker->stations[i].service);
    }
    mem_free(worker->stations);
    worker->stations = NULL;
    worker->station_count = 0;
}

void dispatch_client_lost(struct broker *self, struct peer *client)
{
    while (client->requests) {
        answer_nobody(self);
        request_leave(self, client->requests);
    }
}

void dispatch_expire(struct broker *self)
{
    struct request *request;
    while ((request = wheel_take_due(&self->wheel, self->now_us)) != NULL) {
        request_expire(self, request);
    }
}
