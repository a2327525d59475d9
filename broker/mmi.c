#include "broker/mmi.h"

#include "broker/dispatch.h"
#include "broker/dlq.h"
#include "lib/base/invariant.h"
#include "proto/fault.h"
#include "proto/mmi.h"
#include "proto/pack.h"
#include "proto/report.h"
#include "proto/wire.h"

enum { REPORT_MAX_PROCESSES = 1000, REPORT_TAIL_SIZE = 16 };

struct mmi_call {
    struct broker *broker;
    const struct caller *caller;
    struct text body;
    int64_t deadline_us;
    struct arena arena;
};

static void reply(struct mmi_call *call, const struct record *record, const void *in)
{
    answer_body(call->broker, call->caller, record_pack_in(record, in, &call->arena));
}

/* False when the body was refused; an empty one is an empty record. */
static bool request_read(struct mmi_call *call, const struct record *record, void *out)
{
    struct fault fault;
    struct text body = call->body.size ? call->body : TEXT("\x80");
    fault_init(&fault, NULL);
    if (record_unpack(record, body, &call->arena, &fault, out) != ERR_NONE) {
        answer_problem(call->broker, call->caller, ERR_INVALID_BODY, "The body is not what this operation takes.");
        return false;
    }
    return true;
}

static uint32_t service_credit(const struct service *service)
{
    uint32_t credit = 0;
    for (uint32_t i = 0; i < service->station_count; i++) {
        credit += service->heap[i]->credit;
    }
    return credit;
}

static void answer_service(struct mmi_call *call)
{
    struct mmi_service_ref ref;
    if (!request_read(call, &mmi_service_ref_record, &ref)) {
        return;
    }
    const struct service *service = service_find(&call->broker->services, ref.name);
    if (!service || service->station_count == 0) {
        answer_problem(call->broker, call->caller, ERR_UNKNOWN_OPERATION, "No worker serves this.");
        return;
    }
    struct mmi_service out = {.name = text_of(service->name),
                              .workers = service->station_count,
                              .credit = service_credit(service),
                              .in_flight = service->in_flight};
    reply(call, &mmi_service_record, &out);
}

static struct mmi_worker worker_of(struct mmi_call *call, const struct peer *peer)
{
    struct mmi_worker worker = {.instance = text_of(peer->instance),
                                .version = text_of(peer->version),
                                .epoch = peer->epoch,
                                .silent_ms = (call->broker->now_us - peer->heard_us) / 1000,
                                .draining = peer->draining};
    worker.services.items = arena_alloc(&call->arena, (size_t)peer->station_count * sizeof *worker.services.items);
    for (int i = 0; i < peer->station_count; i++) {
        const struct station *station = &peer->stations[i];
        worker.services.items[worker.services.count++] = (struct mmi_service){.name = text_of(station->service->name),
                                                                              .workers = 1,
                                                                              .credit = station->credit,
                                                                              .in_flight = station->in_flight};
    }
    return worker;
}

static void answer_workers(struct mmi_call *call)
{
    const struct peers *peers = &call->broker->peers;
    struct mmi_worker_list out = {.clients = HASH_COUNT(peers->by_id[PLANE_CLIENTS])};
    out.workers.items = arena_alloc(&call->arena, MMI_MAX_WORKERS * sizeof *out.workers.items);
    const struct peer *peer = peers->by_id[PLANE_WORKERS];
    for (; peer && out.workers.count < MMI_MAX_WORKERS; peer = peer->hh.next) {
        out.workers.items[out.workers.count++] = worker_of(call, peer);
    }
    reply(call, &mmi_worker_list_record, &out);
}

static void answer_queues(struct mmi_call *call)
{
    const struct broker *broker = call->broker;
    struct mmi_queue_list out = {.accepted = (int64_t)broker->counts.accepted,
                                 .replied = (int64_t)broker->counts.replied,
                                 .nacked = (int64_t)broker->counts.nacked,
                                 .in_flight = (int64_t)broker->counts.in_flight};
    out.queues.items = arena_alloc(&call->arena, MMI_MAX_SERVICES * sizeof *out.queues.items);
    for (const struct service *service = broker->services.by_name; service; service = service->hh.next) {
        int64_t oldest_us = queue_oldest_us(&service->queue, broker->now_us);
        out.queues.items[out.queues.count++] = (struct mmi_queue){.service = text_of(service->name),
                                                                  .length = service->queue.count,
                                                                  .bytes = (int64_t)service->queue.size,
                                                                  .oldest_ms = (broker->now_us - oldest_us) / 1000,
                                                                  .in_flight = service->in_flight,
                                                                  .workers = service->station_count,
                                                                  .credit = service_credit(service)};
    }
    reply(call, &mmi_queue_list_record, &out);
}

/* ---- metrics ---- */

/* One whole msgpack map: what is inside is the reader's business. */
static bool list_is_whole(struct text list)
{
    struct wire wire = wire_of(list);
    return wire_peek(&wire) == WIRE_MAP && wire_skip(&wire, RECORD_MAX_DEPTH) && wire_peek(&wire) == WIRE_END;
}

/* Fills out with the workers whose lists are whole and fit into what size is left. */
static uint32_t lists_collect(const struct broker *broker, size_t room, struct text *out)
{
    uint32_t count = 0;
    const struct peer *peer = broker->peers.by_id[PLANE_WORKERS];
    for (; peer && count < REPORT_MAX_PROCESSES - 1; peer = peer->hh.next) {
        struct text list = peer->metrics ? peer->metrics->parts[0] : (struct text){0};
        if (list.size && list.size <= room && list_is_whole(list)) {
            room -= list.size;
            out[count++] = list;
        }
    }
    return count;
}

static void answer_metrics(struct mmi_call *call)
{
    AUTO(buffer_release) struct buffer own;
    AUTO(buffer_release) struct buffer out;
    struct broker *broker = call->broker;
    buffer_init(&own, FRAME_MAX_BODY / 2);
    buffer_init(&out, FRAME_MAX_BODY);
    dispatch_sweep(broker);
    ASSERT(metric_list_pack(broker->settings.metrics, broker->settings.instance, &own));
    struct text *lists = arena_alloc(&call->arena, REPORT_MAX_PROCESSES * sizeof *lists);
    uint32_t count = lists_collect(broker, FRAME_MAX_BODY - own.size - REPORT_TAIL_SIZE - sizeof "processes", lists);
    bool packed = pack_map(&out, 1) && pack_text(&out, TEXT("processes")) && pack_array(&out, count + 1) &&
                  pack_raw(&out, buffer_text(&own));
    for (uint32_t i = 0; packed && i < count; i++) {
        packed = pack_raw(&out, lists[i]);
    }
    ASSERT(packed);
    answer_body(broker, call->caller, buffer_text(&out));
}

static void answer_dlq(struct mmi_call *call)
{
    struct mmi_dlq in;
    if (request_read(call, &mmi_dlq_record, &in)) {
        dlq_answer(call->broker, call->caller, &in, call->deadline_us);
    }
}

void mmi_answer(struct broker *self, const struct caller *caller, struct text operation, struct text body,
                int64_t deadline_us)
{
    static const struct {
        const char *name;
        void (*answer)(struct mmi_call *call);
    } operations[] = {{"service", answer_service},
                      {"workers", answer_workers},
                      {"queues", answer_queues},
                      {"metrics", answer_metrics},
                      {"dlq", answer_dlq}};
    struct mmi_call call = {.broker = self, .caller = caller, .body = body, .deadline_us = deadline_us};
    for (size_t i = 0; i < ARRAY_COUNT(operations); i++) {
        if (text_is(operation, operations[i].name)) {
            operations[i].answer(&call);
            arena_release(&call.arena);
            return;
        }
    }
    answer_problem(self, caller, ERR_UNKNOWN_OPERATION, "mmi has service, workers, queues, metrics and dlq.");
}
