#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/service_parts.h"
#include "proto/ident.h"

enum { CALL_PRIORITY = 3 };

struct call *call_new(struct service_loop *loop)
{
    struct call *self = mem_alloc(sizeof *self);
    self->loop = loop;
    fault_init(&self->fault, &self->arena);
    atomic_fetch_add(&loop->load, 1);
    atomic_fetch_add(&loop->host->open_count, 1);
    return self;
}

void call_destroy(struct call **self)
{
    struct call *call = *self;
    if (!call) {
        return;
    }
    call->loop->internal_count -= call->run != NULL;
    if (call->timer) {
        call->timer->running = false;
    }
    message_release(&call->request);
    message_release(&call->answer);
    arena_release(&call->arena);
    atomic_fetch_sub(&call->loop->load, 1);
    atomic_fetch_sub(&call->loop->host->open_count, 1);
    mem_free(call);
    *self = NULL;
}

void call_unprepare(struct call *call)
{
    if (call->continued) { /* what it waited for has come, and its place was given back then */
        message_release(&call->answer);
        call->continued = false;
    } else if (call->wait == WAIT_CALL) {
        slots_release(call->loop->host->slots, call->flight->request.head.corr);
        flight_destroy(&call->flight);
    } else if (call->wait == WAIT_OFFLOAD) {
        work_pool_unreserve(call->pool);
    }
    call->wait = WAIT_NOTHING;
}

int call_op_index(const struct call *call)
{
    return (int)(call->handler - call->loop->host->service->handlers);
}

/* ---- what a handler may ask ---- */

void *call_state(struct call *call)
{
    return call->loop->store.state;
}

struct service_loop *call_loop(struct call *call)
{
    return call->loop;
}

struct arena *call_arena(struct call *call)
{
    return &call->arena;
}

struct fault *call_fault(struct call *call)
{
    return &call->fault;
}

const struct call_meta *call_meta(const struct call *call)
{
    return &call->meta;
}

const uint8_t *call_request_id(const struct call *call)
{
    return call->request_id;
}

struct text call_body(const struct call *call)
{
    return message_part(&call->request, 2);
}

bool call_is_redelivered(const struct call *call)
{
    return call->redelivered;
}

int call_attempt(const struct call *call)
{
    return call->attempt;
}

int64_t call_left_ms(const struct call *call)
{
    int64_t left_ms = call->deadline_ms - clock_now_ms();
    return left_ms > 0 ? left_ms : 0;
}

bool call_is_admin(const struct call *call)
{
    return has(call_meta, &call->meta, user_id) && has(call_meta, &call->meta, role) && call->meta.role == ROLE_ADMIN;
}

bool call_may_act_for(const struct call *call, struct text user_id)
{
    return call_is_admin(call) || (has(call_meta, &call->meta, user_id) && text_equal(call->meta.user_id, user_id));
}

void call_keep(struct call *call)
{
    call->keep = true;
}

void call_mark_replayed(struct call *call)
{
    call->replayed = has(call_meta, &call->meta, keyed) && call->meta.keyed && call->attempt == 1;
}

/* ---- calls to other services ---- */

static struct text sent_meta(struct call *call)
{
    struct call_meta meta = {.caller = text_of(call->loop->host->service->name),
                             .user_id = call->meta.user_id,
                             .role = call->meta.role,
                             .session_id = call->meta.session_id,
                             .traceparent = call->meta.traceparent};
    uint64_t inherited = UINT64_C(1) << call_meta_at_user_id | UINT64_C(1) << call_meta_at_role |
                         UINT64_C(1) << call_meta_at_session_id | UINT64_C(1) << call_meta_at_traceparent;
    meta.present = call->meta.present & inherited;
    set_has(call_meta, &meta, caller);
    return record_pack_in(&call_meta_record, &meta, &call->arena);
}

static struct text sent_route(struct call *call, const char *route, struct text key)
{
    if (!key.size) {
        return text_of(route);
    }
    size_t size = strlen(route) + 1 + key.size;
    ASSERT(size <= ROUTE_MAX_SIZE);
    char *whole = arena_alloc(&call->arena, size + 1);
    memcpy(whole, route, strlen(route));
    whole[strlen(route)] = '#';
    memcpy(whole + strlen(route) + 1, key.data, key.size);
    return (struct text){whole, (uint32_t)size};
}

/* On the I/O thread: the answer goes to the loop with its call. */
static void sent_done(struct flight *flight, enum err status, struct message *reply)
{
    struct call *call = flight->user;
    slots_release(call->loop->host->slots, flight->request.head.corr);
    call->answer_status = status;
    call->answer_came = reply != NULL;
    if (reply) {
        message_move(&call->answer, reply);
    }
    loop_give(call->loop, call);
}

static enum err unavailable(struct call *call, const char *detail)
{
    fault_set(&call->fault, ERR_SERVICE_UNAVAILABLE, "%s", detail);
    call->fault.retry_after_s = SERVICE_RETRY_AFTER_S;
    return ERR_SERVICE_UNAVAILABLE;
}

enum err call_send(struct call *call, enum op op, const char *step, struct text key, const void *request,
                   call_continue *then, void *state)
{
    ASSERT(call->wait == WAIT_NOTHING);
    const struct op_info *info = op_info(op);
    uint64_t corr;
    if (call_left_ms(call) == 0) {
        return fault_set(&call->fault, ERR_EXPIRED, "The time for the request is over.");
    }
    if (!slots_claim(call->loop->host->slots, &corr)) {
        return unavailable(call, "Too many calls to other services are being worked on.");
    }
    struct flight *flight = flight_new(corr, call->deadline_ms, sent_done, call);
    struct frame_head *head = &flight->request.head;
    char parent[ID_HEX_SIZE];
    id_to_hex(call->request_id, parent);
    request_id_of_step(text_of(parent), text_of(step), head->request_id);
    head->priority = CALL_PRIORITY;
    head->flags = FRAME_SERVICE | FRAME_REPEATABLE | (op_is_secret(op) ? FRAME_SECRET : 0);
    message_add(&flight->request, sent_route(call, info->route, key));
    message_add(&flight->request, sent_meta(call));
    message_add(&flight->request, record_pack_in(info->request, request, &call->arena));
    call->wait = WAIT_CALL;
    call->flight = flight;
    call->sent_op = op;
    call->then = then;
    call->then_state = state;
    return ERR_LATER;
}

void call_wait_at_most(struct call *call, int64_t wait_ms)
{
    ASSERT(call->wait == WAIT_CALL); /* the flight is ours until the batch is released */
    int64_t deadline_ms = clock_now_ms() + wait_ms;
    if (deadline_ms < call->flight->deadline_ms) {
        call->flight->deadline_ms = deadline_ms;
    }
}

enum err call_offload(struct call *call, struct work_pool *pool, void (*work)(void *argument), void *argument,
                      call_continue *then, void *state)
{
    ASSERT(call->wait == WAIT_NOTHING);
    if (!work_pool_reserve(pool)) {
        return unavailable(call, "Too much is waiting for the same work.");
    }
    call->wait = WAIT_OFFLOAD;
    call->pool = pool;
    call->work = work;
    call->work_argument = argument;
    call->then = then;
    call->then_state = state;
    return ERR_LATER;
}

/* ---- calls without a client ---- */

void service_start(struct service_loop *loop, const char *name, uint32_t budget_ms, call_run *run, void *argument)
{
    ASSERT(loop->internal_count < SERVICE_MAX_INTERNAL);
    struct call *call = call_new(loop);
    loop->internal_count++;
    int64_t now_us = clock_now_us();
    call->name = name;
    call->run = run;
    call->argument = argument;
    call->attempt = 1;
    call->arrived_us = now_us;
    call->deadline_ms = now_us / 1000 + budget_ms;
    id_new(call->request_id);
    DL_APPEND(loop->own, call);
}

struct env *service_env(struct service_loop *loop)
{
    return loop->host->env;
}

const void *service_config_of(struct service_loop *loop)
{
    return loop->host->config;
}

int service_loop_index(const struct service_loop *loop)
{
    return loop->index;
}

bool service_loop_writes(const struct service_loop *loop)
{
    return loop->index == 0 || loop->host->share.all_write;
}

void *service_shared(const struct service_loop *loop)
{
    return loop->host->share.shared;
}
