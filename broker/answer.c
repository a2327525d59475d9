#include "broker/answer.h"

#include "lib/base/invariant.h"
#include "proto/fault.h"
#include "proto/pack.h"

static const struct {
    const char *labels;
    enum err code;
} outcomes[OUTCOME_COUNT] = {
    [OUTCOME_REPLIED] = {"outcome=\"replied\"", ERR_NONE},
    [OUTCOME_MALFORMED] = {"outcome=\"malformed\"", ERR_BAD_REQUEST},
    [OUTCOME_FORBIDDEN] = {"outcome=\"forbidden\"", ERR_FORBIDDEN},
    [OUTCOME_UNKNOWN] = {"outcome=\"unknown\"", ERR_UNKNOWN_OPERATION},
    [OUTCOME_TOO_LARGE] = {"outcome=\"too_large\"", ERR_BODY_TOO_LARGE},
    [OUTCOME_FULL] = {"outcome=\"full\"", ERR_QUEUE_FULL},
    [OUTCOME_LOST] = {"outcome=\"lost\"", ERR_OUTCOME_UNKNOWN},
    [OUTCOME_UNAVAILABLE] = {"outcome=\"unavailable\"", ERR_SERVICE_UNAVAILABLE},
    [OUTCOME_EXPIRED] = {"outcome=\"expired\"", ERR_EXPIRED},
    [OUTCOME_CANCELLED] = {"outcome=\"cancelled\"", ERR_EXPIRED},
    [OUTCOME_ABANDONED] = {"outcome=\"abandoned\"", ERR_OUTCOME_UNKNOWN},
};

void meters_init(struct meters *self, struct metrics *metrics)
{
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        self->outcomes[i] = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_requests_total", outcomes[i].labels,
                                        "Requests that have ended, by how.");
    }
    self->accepted =
        metrics_get(metrics, METRIC_COUNTER, "zmart_broker_accepted_total", "", "Requests that arrived in a session.");
    self->in_flight =
        metrics_get(metrics, METRIC_GAUGE, "zmart_broker_in_flight", "", "Requests accepted and not ended.");
    self->redelivered = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_redelivered_total", "",
                                    "Requests sent to another worker because theirs died.");
    self->late = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_late_replies_total", "",
                             "Answers that were dropped because the request had ended.");
    self->garbage =
        metrics_get(metrics, METRIC_COUNTER, "zmart_broker_garbage_frames_total", "", "Messages that are no BUS/1.");
    self->stray = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_stray_frames_total", "",
                              "Messages without a session, answered with BYE.");
    self->letters = metrics_get(metrics, METRIC_GAUGE, "zmart_broker_dead_letters", "",
                                "Dead letters that the service which keeps them has not taken yet.");
    self->letters_lost = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_dead_letters_lost_total", "",
                                     "Dead letters that had to go before anybody had taken them.");
    self->denied_hellos = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_denied_total", "at=\"hello\"",
                                      "What keys were refused, by where.");
    self->denied_requests = metrics_get(metrics, METRIC_COUNTER, "zmart_broker_denied_total", "at=\"request\"",
                                        "What keys were refused, by where.");
    self->queue_time = metrics_get(metrics, METRIC_TIME, "zmart_broker_queue_seconds", "",
                                   "How long requests waited before a worker got them.");
    self->peers[PLANE_CLIENTS] =
        metrics_get(metrics, METRIC_GAUGE, "zmart_broker_peers", "socket=\"clients\"", "Sessions.");
    self->peers[PLANE_WORKERS] =
        metrics_get(metrics, METRIC_GAUGE, "zmart_broker_peers", "socket=\"workers\"", "Sessions.");
}

static void count_end(struct broker *self, enum outcome outcome)
{
    *(outcome == OUTCOME_REPLIED ? &self->counts.replied : &self->counts.nacked) += 1;
    metric_add(self->meters.outcomes[outcome], 1);
}

/* Sends unless nobody waits; takes parcel. */
static void caller_send(struct broker *self, const struct caller *caller, enum frame_type type, uint16_t status,
                        uint8_t flags, struct parcel *parcel)
{
    if (!caller->client || (caller->flags & FRAME_NO_REPLY)) {
        parcel_drop(&parcel);
        return;
    }
    struct frame_head head = {.type = type,
                              .flags = flags,
                              .attempt = caller->attempt,
                              .corr = caller->corr,
                              .t_send_us = self->now_us,
                              .status = status,
                              .epoch = caller->client->epoch,
                              .queue_us = caller->queue_us};
    memcpy(head.request_id, caller->request_id, ID_SIZE);
    sends_add(&self->sends, PLANE_CLIENTS, peer_id(caller->client), &head, parcel);
}

void answer_reply(struct broker *self, const struct caller *caller, uint16_t status, uint8_t flags,
                  struct parcel *parcel)
{
    count_end(self, OUTCOME_REPLIED);
    if (caller->errand) {
        errand_answered(self, caller->errand, status, parcel);
    } else {
        caller_send(self, caller, FRAME_REPLY, status, flags, parcel);
    }
}

void answer_partial(struct broker *self, const struct caller *caller, uint16_t status, uint8_t flags,
                    struct parcel *parcel)
{
    caller_send(self, caller, FRAME_PARTIAL, status, flags, parcel);
}

static struct parcel *problem_parcel(const struct fault *fault, struct text meta)
{
    struct problem problem;
    AUTO(buffer_release) struct buffer body;
    buffer_init(&body, FRAME_MAX_BODY);
    fault_to_problem(fault, &problem);
    ASSERT(record_pack(&problem_record, &problem, &body));
    return parcel_of((struct text[]){meta, buffer_text(&body)}, 2);
}

static struct text empty_map(void)
{
    return TEXT("\x80");
}

void answer_body(struct broker *self, const struct caller *caller, struct text body)
{
    answer_reply(self, caller, 200, FRAME_LAST, parcel_of((struct text[]){empty_map(), body}, 2));
}

void answer_problem(struct broker *self, const struct caller *caller, enum err code, const char *detail)
{
    struct fault fault;
    fault_init(&fault, NULL);
    fault_set(&fault, code, "%s", detail);
    answer_reply(self, caller, (uint16_t)err_info(code)->http, FRAME_LAST, problem_parcel(&fault, empty_map()));
}

void answer_nack(struct broker *self, const struct caller *caller, const struct nack *nack)
{
    struct fault fault;
    struct arena arena = {0};
    enum err code = outcomes[nack->outcome].code;
    count_end(self, nack->outcome);
    if (caller->errand) {
        errand_answered(self, caller->errand, 0, NULL);
        return;
    }
    if (!caller->client || (caller->flags & FRAME_NO_REPLY)) {
        return;
    }
    fault_init(&fault, &arena);
    fault_set(&fault, code, "%s", nack->detail ? nack->detail : "");
    fault.retry_after_s = nack->retry_after_s;
    if (nack->allowed) {
        fault_allow(&fault, nack->allowed);
    }
    caller_send(self, caller, FRAME_NACK, (uint16_t)err_info(code)->http, 0, problem_parcel(&fault, (struct text){0}));
    arena_release(&arena);
}

void answer_nobody(struct broker *self)
{
    count_end(self, OUTCOME_ABANDONED);
}

void peer_send(struct broker *self, const struct peer *peer, enum frame_type type, struct parcel *parcel)
{
    struct frame_head head = {.type = type, .epoch = peer->epoch, .t_send_us = self->now_us};
    head.corr = type == FRAME_WELCOME ? peer->hello_corr : 0;
    sends_add(&self->sends, peer->plane, peer_id(peer), &head, parcel);
}

void stranger_nack(struct broker *self, enum plane plane, struct text to, uint64_t corr, enum err code,
                   const char *detail)
{
    struct fault fault;
    struct frame_head head = {
        .type = FRAME_NACK, .corr = corr, .t_send_us = self->now_us, .status = (uint16_t)err_info(code)->http};
    fault_init(&fault, NULL);
    fault_set(&fault, code, "%s", detail);
    sends_add(&self->sends, plane, to, &head, problem_parcel(&fault, (struct text){0}));
}
