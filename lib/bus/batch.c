#include <stdio.h>
#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/reply.h"
#include "lib/bus/service_parts.h"

/* ---- before: what can be run at all ---- */

static enum err role_check(struct call *call)
{
    const struct call_meta *meta = &call->meta;
    struct fault *fault = &call->fault;
    bool signed_in = has(call_meta, meta, user_id);
    switch (call->info->role) {
    case OP_ANYONE: return ERR_NONE;
    case OP_SERVICES:
        return has(call_meta, meta, caller) ? ERR_NONE : fault_set(fault, ERR_FORBIDDEN, "Only services may ask this.");
    case OP_SIGNED_IN: return signed_in ? ERR_NONE : fault_set(fault, ERR_UNAUTHENTICATED, NULL);
    case OP_ADMIN:
        if (!signed_in) {
            return fault_set(fault, ERR_UNAUTHENTICATED, NULL);
        }
        return call_is_admin(call) ? ERR_NONE : fault_set(fault, ERR_FORBIDDEN, NULL);
    }
    return ERR_INTERNAL;
}

static enum err request_decode(struct call *call)
{
    void *in = arena_alloc(&call->arena, call->info->request->size);
    struct text meta = message_part(&call->request, 1);
    if (record_unpack(&call_meta_record, meta, &call->arena, &call->fault, &call->meta) != ERR_NONE) {
        return fault_set(&call->fault, ERR_BAD_REQUEST, "The request's meta part is malformed.");
    }
    enum err status = role_check(call);
    if (status == ERR_NONE) {
        status = record_unpack(call->info->request, call_body(call), &call->arena, &call->fault, in);
    }
    call->in = in;
    call->out = arena_alloc(&call->arena, call->info->reply->size);
    return status;
}

/* NONE: it is to be run in this batch. */
static enum err call_prepare(struct call *call, int64_t now_ms)
{
    if (now_ms >= call->deadline_ms) {
        return fault_set(&call->fault, ERR_EXPIRED,
                         call->began ? "The time was over before the work was done."
                                     : "The time was over before it was begun.");
    }
    if (call->continued || call->run) {
        return ERR_NONE;
    }
    if (atomic_load_explicit(&call->ticket->cancelled, memory_order_relaxed)) {
        return fault_set(&call->fault, ERR_EXPIRED, "It was taken back before it was begun.");
    }
    return request_decode(call);
}

/* ---- during: one call in its savepoint ---- */

static enum err answer_decode(struct call *call, const void **out_reply)
{
    *out_reply = NULL;
    fault_init(&call->fault, &call->arena);
    if (!call->answer_came) {
        return reply_missing(call->answer_status, &call->fault);
    }
    enum err status = reply_error(&call->answer, &call->arena, &call->fault);
    if (status != ERR_NONE) {
        return status;
    }
    const struct record *record = op_info(call->sent_op)->reply;
    void *reply = arena_alloc(&call->arena, record->size);
    struct text body = message_part(&call->answer, 1);
    /* the texts in it must outlive the next answer */
    body.data = arena_copy(&call->arena, body.data, body.size);
    status = reply_unpack(record, body, &call->arena, &call->fault, reply);
    *out_reply = reply;
    return status;
}

static enum err call_go_on(struct call *call)
{
    call_continue *then = call->then;
    enum call_wait waited = call->wait;
    call->continued = false;
    call->wait = WAIT_NOTHING;
    if (waited == WAIT_OFFLOAD) {
        return then(call, ERR_NONE, call->work_argument, call->then_state, call->out);
    }
    const void *reply;
    enum err status = answer_decode(call, &reply);
    message_release(&call->answer);
    return then(call, status, status == ERR_NONE ? reply : NULL, call->then_state, call->out);
}

static enum err call_step(struct call *call)
{
    enum err status;
    call->keep = false;
    if (call->continued) {
        status = call_go_on(call);
    } else if (call->run) {
        status = call->run(call, call->argument);
    } else {
        status = call->handler->handle(call, call->in, call->out);
    }
    call->began = true;
    if (status == ERR_LATER) {
        ASSERT(call->wait != WAIT_NOTHING);
        return status;
    }
    call_unprepare(call);
    if (status != ERR_NONE && call->fault.code != status) {
        fault_set(&call->fault, status, NULL);
    }
    return status;
}

/* False: the store has ended the transaction itself. */
static bool call_run_in(struct service_loop *loop, struct call *call, bool writes)
{
    const struct unit_of_work *unit = loop->store.unit;
    call->ran = true;
    if (!unit || !writes) {
        call->status = call_step(call);
        return !unit || call->status == ERR_NONE || !unit->broken(loop->store.store);
    }
    void *store = loop->store.store;
    call->status = unit->savepoint(store, &call->fault);
    if (call->status != ERR_NONE) {
        return !unit->broken(store);
    }
    call->status = call_step(call);
    bool kept = call->status == ERR_NONE || call->status == ERR_LATER || call->keep;
    if (kept && !unit->broken(store)) {
        struct fault fault;
        fault_init(&fault, &call->arena);
        enum err released = unit->release(store, &fault);
        if (released == ERR_NONE) {
            return !unit->broken(store);
        }
        call_unprepare(call);
        call->fault = fault;
        call->status = released;
    }
    if (!unit->broken(store)) {
        unit->undo(store);
    }
    return !unit->broken(store);
}

/* Nothing of the batch is durable: whatever ran is unanswered work. */
static void batch_fail(struct call **calls, size_t count, const struct fault *why)
{
    for (size_t i = 0; i < count; i++) {
        struct call *call = calls[i];
        if (call->ran || call->status == ERR_NONE) {
            call_unprepare(call);
            fault_init(&call->fault, &call->arena);
            call->status = fault_set(&call->fault, ERR_SERVICE_UNAVAILABLE, "The store did not take the change.");
            call->fault.retry_after_s = SERVICE_RETRY_AFTER_S;
            fault_cause(&call->fault, "%s", why->cause[0] ? why->cause : why->detail);
        }
    }
}

static bool calls_go(struct service_loop *loop, struct call **calls, size_t count, bool writes)
{
    for (size_t i = 0; i < count; i++) {
        if (calls[i]->status == ERR_NONE && !call_run_in(loop, calls[i], writes)) {
            return false;
        }
    }
    return true;
}

/* Runs what has status NONE between begin and commit; true if it was committed. */
static bool unit_go(struct service_loop *loop, struct call **calls, size_t count, bool writes)
{
    const struct unit_of_work *unit = loop->store.unit;
    struct fault fault;
    fault_init(&fault, NULL);
    if (!unit) {
        return calls_go(loop, calls, count, writes);
    }
    if (unit->begin(loop->store.store, writes, &fault) != ERR_NONE) {
        batch_fail(calls, count, &fault);
        return false;
    }
    bool whole = calls_go(loop, calls, count, writes);
    if (!whole) {
        fault_cause(&fault, "the store has ended the transaction");
    }
    if (!whole || unit->commit(loop->store.store, &fault) != ERR_NONE) {
        unit->rollback(loop->store.store);
        batch_fail(calls, count, &fault);
        return false;
    }
    return true;
}

/* ---- after: answers ---- */

static struct op_metrics *metrics_of(const struct call *call)
{
    struct op_metrics *metrics = &call->loop->op_metrics[call_op_index(call)];
    if (!metrics->seconds) {
        char labels[80];
        snprintf(labels, sizeof labels, "op=\"%s\"", call->info->route);
        metrics->seconds = metrics_get(call->loop->host->env->metrics, METRIC_TIME, "zmart_service_seconds", labels,
                                       "Time from a request's arrival to its answer, by operation.");
    }
    return metrics;
}

static void call_count(const struct call *call, int64_t now_us)
{
    struct op_metrics *metrics = metrics_of(call);
    int code = call->status < ERR_COUNT ? (int)call->status : (int)ERR_INTERNAL;
    if (!metrics->by_code[code]) {
        char labels[160];
        snprintf(labels, sizeof labels, "op=\"%s\",code=\"%s\"", call->info->route,
                 code == ERR_NONE ? "ok" : err_info((enum err)code)->slug);
        metrics->by_code[code] =
            metrics_get(call->loop->host->env->metrics, METRIC_COUNTER, "zmart_service_requests_total", labels,
                        "Requests answered, by operation and outcome.");
    }
    metric_add(metrics->by_code[code], 1);
    metric_observe(metrics->seconds, now_us - call->arrived_us);
}

static enum log_level level_of(enum err status)
{
    int http = err_info(status)->http;
    return http < 500 ? LOG_DEBUG : http >= 502 && http <= 504 ? LOG_WARN : LOG_ERROR;
}

static void call_log(const struct call *call)
{
    const struct log *log = call->loop->host->env->log;
    enum log_level level = level_of(call->status);
    if (level < log->level) {
        return;
    }
    char request_id[ID_HEX_SIZE];
    id_to_hex(call->request_id, request_id);
    log_write(log, level,
              LOG_LIST("call.failed", KV("op", call->info ? call->info->route : call->name),
                       KV("request_id", request_id), KV("code", err_info(call->status)->slug),
                       KV("detail", call->fault.detail), KV("cause", call->fault.cause),
                       KV_INT("attempt", call->attempt), KV_TEXT("traceparent", call->meta.traceparent), KV_END));
}

static struct text reply_meta_pack(struct call *call)
{
    struct service_host *host = call->loop->host;
    if (!call->replayed) {
        return host->plain_meta;
    }
    struct reply_meta meta = {.replayed = true, .worker = text_of(host->env->instance)};
    set_has(reply_meta, &meta, replayed);
    set_has(reply_meta, &meta, worker);
    return record_pack_in(&reply_meta_record, &meta, &call->arena);
}

/* Packs what the call ends with into the loop's scratch buffer. */
static int body_pack(struct call *call, struct buffer *packed)
{
    buffer_clear(packed);
    if (call->status == ERR_NONE) {
        if (record_pack(call->info->reply, call->out, packed)) {
            return call->info->status;
        }
        call->status = fault_set(&call->fault, ERR_INTERNAL, NULL);
        fault_cause(&call->fault, "the reply has more than %d bytes", FRAME_MAX_BODY);
        buffer_clear(packed);
    }
    struct problem problem;
    fault_to_problem(&call->fault, &problem);
    ASSERT(record_pack(&problem_record, &problem, packed));
    return (int)problem.status;
}

static void ticket_answer(struct call *call)
{
    struct ticket *ticket = call->ticket;
    struct buffer *packed = &call->loop->packed;
    int status = body_pack(call, packed);
    ticket->reply.head = ticket->head;
    ticket->reply.head.type = FRAME_REPLY;
    ticket->reply.head.flags = FRAME_LAST;
    ticket->reply.head.status = (uint16_t)status;
    ticket->reply.head.credit = 1;
    message_add(&ticket->reply, reply_meta_pack(call));
    message_add(&ticket->reply, buffer_text(packed));
}

/* "Not now" says that nothing was done; of what was sent before, an attempt that died unheard may have done it. */
static void refusal_doubt(struct call *call)
{
    if (call->status == ERR_SERVICE_UNAVAILABLE && call->redelivered && call->info->access == OP_WRITE) {
        call->status = fault_set(&call->fault, ERR_OUTCOME_UNKNOWN, NULL);
        call->fault.retry_after_s = 0;
    }
}

/* Ends the call: its ticket, answered, joins the release. */
static void call_end(struct call *call, struct release *release, int64_t now_us)
{
    refusal_doubt(call);
    if (call->status != ERR_NONE) {
        call_log(call);
    }
    if (call->ticket) {
        ticket_answer(call);
        call_count(call, now_us);
        call->ticket->chain = release->tickets;
        release->tickets = call->ticket;
        call->ticket = NULL;
    }
}

/* What a committed call waits for starts now. */
static void call_depart(struct call *call, struct release *release)
{
    DL_APPEND(call->loop->later, call);
    if (call->wait == WAIT_OFFLOAD) {
        work_pool_submit(call->pool, call);
    } else {
        LL_PREPEND(release->flights, call->flight);
        call->flight = NULL;
    }
}

static void release_give(struct service_host *host, const struct release *release)
{
    if (release->tickets || release->flights) {
        struct release *given = mem_alloc(sizeof *given);
        *given = *release;
        ASSERT(mailbox_put(host->released, given));
    }
}

static void batch_release(struct service_loop *loop, struct call **calls, size_t count)
{
    struct release release = {0};
    int64_t now_us = clock_now_us();
    for (size_t i = count; i-- > 0;) { /* backwards, as both lists grow at the head */
        struct call *call = calls[i];
        call->ran = false;
        if (call->status == ERR_LATER) {
            call_depart(call, &release);
        } else {
            call_end(call, &release, now_us);
        }
    }
    release_give(loop->host, &release);
}

void call_abandon(struct call *call)
{
    struct release release = {0};
    fault_init(&call->fault, &call->arena);
    call->status = fault_set(&call->fault, ERR_SERVICE_UNAVAILABLE, "The service is being stopped.");
    call->fault.retry_after_s = SERVICE_RETRY_AFTER_S;
    call_end(call, &release, clock_now_us());
    release_give(call->loop->host, &release);
}

static bool call_writes(const struct call *call)
{
    return call->run || call->continued || call->info->access == OP_WRITE;
}

/* wrote: what they did is durable, and there may be something to do about it. */
static void calls_end(struct service_loop *loop, struct call **calls, size_t count, bool wrote)
{
    if (wrote && loop->host->service->committed) {
        loop->host->service->committed(loop, loop->store.state);
    }
    batch_release(loop, calls, count);
    /* those that still wait belong to the loop's list; the rest have ended */
    for (size_t i = 0; i < count; i++) {
        if (calls[i]->status != ERR_LATER) {
            call_destroy(&calls[i]);
        }
    }
}

/* The calls share one unit of work. */
static void unit_run(struct service_loop *loop, struct call **calls, size_t count)
{
    size_t runnable_count = 0;
    bool writes = false;
    int64_t now_ms = clock_now_ms();
    for (size_t i = 0; i < count; i++) {
        calls[i]->status = call_prepare(calls[i], now_ms);
        if (calls[i]->status == ERR_NONE) {
            runnable_count++;
            writes = writes || (service_loop_writes(loop) && call_writes(calls[i]));
        }
    }
    bool committed = runnable_count > 0 && unit_go(loop, calls, count, writes);
    if (runnable_count > 0) {
        metric_observe(loop->host->batch_size, (int64_t)runnable_count);
    }
    calls_end(loop, calls, count, committed && writes);
}

/* ---- groups: requests of one operation, done together ---- */

/* NULL: the call is run alone. */
static const struct op_group *group_of(const struct service_loop *loop, const struct call *call)
{
    for (size_t i = 0; i < loop->store.group_count; i++) {
        if (!call->run && !call->continued && call->handler->op == loop->store.groups[i].op) {
            return &loop->store.groups[i];
        }
    }
    return NULL;
}

/* Moves those of the first one's group to the front, each kind in its order; how many they are. */
static size_t group_gather(const struct service_loop *loop, struct call **calls, size_t count)
{
    const struct op_group *group = group_of(loop, calls[0]);
    size_t gathered = 1;
    for (size_t i = 1; i < count; i++) {
        if (group_of(loop, calls[i]) == group) {
            struct call *call = calls[i];
            memmove(calls + gathered + 1, calls + gathered, (i - gathered) * sizeof(struct call *));
            calls[gathered++] = call;
        }
    }
    return gathered;
}

static void item_end(const struct op_item *item)
{
    struct call *call = item->call;
    ASSERT(item->status != ERR_LATER);
    call->began = true;
    call->status = item->status;
    if (call->status != ERR_NONE && call->fault.code != call->status) {
        fault_set(&call->fault, call->status, NULL);
    }
}

static void group_run(struct service_loop *loop, const struct op_group *group, struct call **calls, size_t count)
{
    size_t item_count = 0;
    int64_t now_ms = clock_now_ms();
    struct op_item *items = mem_alloc_array(count, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        struct call *call = calls[i];
        call->status = call_prepare(call, now_ms);
        if (call->status == ERR_NONE) {
            items[item_count++] = (struct op_item){call, call->in, call->out, ERR_NONE};
        }
    }
    if (item_count > 0) {
        group->handle(items, item_count);
        metric_observe(loop->host->batch_size, (int64_t)item_count);
    }
    for (size_t i = 0; i < item_count; i++) {
        item_end(&items[i]);
    }
    mem_free(items);
    bool writes = item_count > 0 && service_loop_writes(loop) && op_info(group->op)->access == OP_WRITE;
    calls_end(loop, calls, count, writes);
}

void batch_run(struct service_loop *loop, struct call **calls, size_t count)
{
    if (loop->store.unit) {
        unit_run(loop, calls, count);
        return;
    }
    for (size_t i = 0, together; i < count; i += together) {
        const struct op_group *group = group_of(loop, calls[i]);
        together = group ? group_gather(loop, calls + i, count - i) : 1;
        if (group) {
            group_run(loop, group, calls + i, together);
        } else { /* what is durable when it has run need not wait for its neighbours */
            unit_run(loop, calls + i, 1);
        }
    }
}
