/* The I/O thread of a service: a worker's session and a client's session with every broker. */
#include <stdio.h>
#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/service_parts.h"

enum { WORKER_RELEASE_MAX = 64, WORKER_RETRY_MS = 5, WORKER_DRAIN_TICK_MS = 10 };

struct worker_peer {
    struct peer peer;
    uint64_t session; /* counts the sessions: 0 before the first */
    int taken_count;  /* open tickets of this session */
    bool drain_told;
    bool drain_heard;      /* the broker had our DRAIN when it answered */
    struct ticket *open;   /* begun or queued here */
    struct ticket *unsent; /* answered, but the socket was full */
};

struct worker {
    struct service_host *host;
    struct peer_settings worker_settings, client_settings;
    struct hello_service served;
    struct worker_peer peers[BUS_MAX_BROKERS];
    int peer_count;
    struct courier *courier; /* NULL at the end */
    int open_count;          /* tickets */
    bool ready_told;
    bool draining;
    int64_t drain_until_ms;
};

/* ---- requests ---- */

static void ticket_end(struct worker *worker, struct worker_peer *to, struct ticket *ticket)
{
    to->taken_count -= ticket->session == to->session;
    worker->open_count--;
    message_release(&ticket->reply);
    mem_free(ticket);
}

/* Answers without any loop. */
static void request_refuse(struct worker_peer *from, const struct frame_head *head, const struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct problem problem;
    fault_to_problem(fault, &problem);
    struct message reply = {.head = *head};
    reply.head.type = FRAME_REPLY;
    reply.head.status = (uint16_t)problem.status;
    reply.head.credit = 1;
    reply.head.epoch = from->peer.epoch;
    message_add(&reply, (struct text){0});
    message_add(&reply, record_pack_in(&problem_record, &problem, &arena));
    bool sent = message_send(from->peer.socket, &reply);
    (void)sent; /* if not, the broker ends it when its budget is over */
    message_release(&reply);
}

static const struct op_handler *handler_find(const struct service *service, struct text route)
{
    struct text rest = route, name;
    if (!text_cut(&rest, '#', &name)) {
        return NULL;
    }
    for (size_t i = 0; i < service->handler_count; i++) {
        if (text_is(name, op_info(service->handlers[i].op)->route)) {
            return &service->handlers[i];
        }
    }
    return NULL;
}

/* The service's operation whose name is most like this one; NULL if none is near. */
static const char *operation_nearest(const struct service *service, struct text route)
{
    const char *nearest = NULL;
    struct text name, key = route;
    (void)text_cut(&key, '#', &name);
    uint32_t least = name.size / 2 + 1;
    for (size_t i = 0; i < service->handler_count; i++) {
        const char *known = op_info(service->handlers[i].op)->route;
        uint32_t far = text_distance(name, text_of(known));
        if (far < least) {
            least = far;
            nearest = known;
        }
    }
    return nearest;
}

static struct ticket *ticket_new(struct worker *worker, struct worker_peer *from, const struct frame_head *head)
{
    struct ticket *ticket = mem_alloc(sizeof *ticket);
    ticket->peer = (int)(from - worker->peers);
    ticket->session = from->session;
    ticket->head = *head;
    DL_APPEND(from->open, ticket);
    from->taken_count++;
    worker->open_count++;
    return ticket;
}

static bool is_redelivered(const struct frame_head *head)
{
    return head->attempt > 1 || (head->flags & FRAME_REDELIVERED);
}

/* What lost sessions have left counts beside the credit of this one, as far as there are places. */
static bool has_room(const struct worker *worker, const struct worker_peer *from)
{
    return from->taken_count < (int)worker->host->own->credit && worker->open_count < worker->host->remote_max;
}

/* Of what was sent before, somebody may be at work on it, perhaps here. */
static void room_refuse(const struct frame_head *head, struct fault *fault)
{
    if (is_redelivered(head)) {
        fault_set(fault, ERR_OUTCOME_UNKNOWN, NULL);
    } else {
        fault_set(fault, ERR_QUEUE_FULL, "The worker was given more than it asked for.");
        fault->retry_after_s = SERVICE_RETRY_AFTER_S;
    }
}

static void request_take(struct worker *worker, struct worker_peer *from, struct message *message)
{
    struct service_host *host = worker->host;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    const struct op_handler *handler = handler_find(host->service, message_part(message, 0));
    if (message->part_count != MESSAGE_MAX_PARTS) {
        fault_set(&fault, ERR_BAD_REQUEST, "A request has three parts behind its head.");
    } else if (!handler) {
        const char *nearest = operation_nearest(host->service, message_part(message, 0));
        fault_set(&fault, ERR_UNKNOWN_OPERATION, "The service has no such operation.");
        if (nearest) {
            fault_allow(&fault, nearest);
        }
    } else if (!has_room(worker, from)) {
        room_refuse(&message->head, &fault);
    }
    if (fault.code != ERR_NONE) {
        request_refuse(from, &message->head, &fault);
        return;
    }
    int64_t age_ms = peer_age_ms(&from->peer, &message->head);
    struct call *call = call_new(loop_choose(host, op_info(handler->op), message_part(message, 0)));
    call->ticket = ticket_new(worker, from, &message->head);
    call->handler = handler;
    call->info = op_info(handler->op);
    call->arrived_us = clock_now_us();
    call->deadline_ms = call->arrived_us / 1000 + (int64_t)message->head.budget_ms - age_ms;
    call->attempt = message->head.attempt;
    call->redelivered = is_redelivered(&message->head);
    memcpy(call->request_id, message->head.request_id, ID_SIZE);
    message_move(&call->request, message);
    loop_give(call->loop, call);
}

static void cancel_take(struct worker_peer *from, uint64_t corr)
{
    struct ticket *ticket;
    DL_FOREACH(from->open, ticket)
    {
        if (ticket->head.corr == corr && ticket->session == from->session) {
            atomic_store_explicit(&ticket->cancelled, true, memory_order_relaxed);
        }
    }
}

/* ---- replies ---- */

static bool ticket_is_wanted(const struct worker_peer *to, const struct ticket *ticket)
{
    return to->peer.up && ticket->session == to->session;
}

static bool ticket_send(struct worker_peer *to, struct ticket *ticket)
{
    ticket->reply.head.epoch = to->peer.epoch;
    return message_send(to->peer.socket, &ticket->reply);
}

static void ticket_close(struct worker *worker, struct ticket *ticket)
{
    struct worker_peer *to = &worker->peers[ticket->peer];
    DL_DELETE(to->open, ticket);
    if (ticket_is_wanted(to, ticket) && (to->unsent || !ticket_send(to, ticket))) {
        DL_APPEND(to->unsent, ticket);
        return;
    }
    ticket_end(worker, to, ticket);
}

static void unsent_send(struct worker *worker, struct worker_peer *to)
{
    while (to->unsent) {
        struct ticket *ticket = to->unsent;
        if (ticket_is_wanted(to, ticket) && !ticket_send(to, ticket)) {
            return;
        }
        DL_DELETE(to->unsent, ticket);
        ticket_end(worker, to, ticket);
    }
}

void release_drop_flights(struct release *release)
{
    struct flight *flight, *after;
    LL_FOREACH_SAFE(release->flights, flight, after)
    {
        flight_destroy(&flight);
    }
    release->flights = NULL;
}

static void release_take(struct worker *worker, struct release *release)
{
    struct ticket *ticket = release->tickets;
    while (ticket) {
        struct ticket *next = ticket->chain;
        ticket_close(worker, ticket);
        ticket = next;
    }
    if (!worker->courier) {
        release_drop_flights(release);
    }
    struct flight *flight = release->flights;
    while (flight) {
        struct flight *next = flight->next;
        courier_send(worker->courier, flight);
        flight = next;
    }
    mem_free(release);
}

static void releases_take(struct worker *worker)
{
    void *releases[WORKER_RELEASE_MAX];
    size_t count = mailbox_take(worker->host->released, releases, WORKER_RELEASE_MAX, 0);
    for (size_t i = 0; i < count; i++) {
        release_take(worker, releases[i]);
    }
}

/* ---- sessions ---- */

static void session_next(struct worker_peer *of)
{
    of->session++;
    of->taken_count = 0;
}

static void peer_up(struct worker *worker, struct worker_peer *up)
{
    struct env *env = worker->host->env;
    session_next(up);
    up->drain_told = up->drain_heard = false;
    log_info(env->log, "broker.joined", KV("broker", up->peer.address), KV_INT("epoch", up->peer.epoch));
    if (!worker->ready_told) {
        worker->ready_told = true;
        env->ready(env, worker->host->service->name);
    }
}

/* What has not been begun here is not begun: others get it. */
static void peer_gone(struct worker *worker, struct worker_peer *gone)
{
    struct ticket *ticket;
    log_warn(worker->host->env->log, "broker.lost", KV("broker", gone->peer.address));
    session_next(gone);
    DL_FOREACH(gone->open, ticket)
    {
        atomic_store_explicit(&ticket->cancelled, true, memory_order_relaxed);
    }
    unsent_send(worker, gone);
}

static void message_handle(struct worker *worker, struct worker_peer *from, struct message *message)
{
    if (message->head.type == FRAME_REQUEST) {
        request_take(worker, from, message);
    } else if (message->head.type == FRAME_CANCEL) {
        cancel_take(from, message->head.corr);
    } else if (message->head.type == FRAME_PONG && from->drain_told && message->head.corr == from->session) {
        from->drain_heard = true;
    }
    message_release(message);
}

static void news_handle(struct worker *worker, struct worker_peer *from, enum peer_news news, struct message *message)
{
    switch (news) {
    case PEER_UP: peer_up(worker, from); break;
    case PEER_LOST: peer_gone(worker, from); break;
    case PEER_MESSAGE: message_handle(worker, from, message); break;
    case PEER_NOTHING:
    case PEER_EMPTY: break;
    }
    if (from->peer.refused) {
        from->peer.refused = false;
        log_error(worker->host->env->log, "broker.refused", KV("broker", from->peer.address),
                  KV("problem", from->peer.refusal));
    }
}

static void peer_read(struct worker *worker, struct worker_peer *from)
{
    struct message message;
    enum peer_news news = PEER_NOTHING;
    for (int i = 0; i < PEER_PASS_MAX && news != PEER_EMPTY && news != PEER_LOST; i++) {
        news = peer_receive(&from->peer, &message);
        news_handle(worker, from, news, &message);
    }
}

static void peer_time(struct worker *worker, struct worker_peer *of, int64_t now_ms)
{
    news_handle(worker, of, peer_tick(&of->peer, now_ms), NULL);
    if (peer_ping_due(&of->peer, now_ms)) {
        AUTO(arena_release) struct arena arena = {0};
        struct env *env = worker->host->env;
        peer_ping(&of->peer, now_ms, metrics_pack(env->metrics, env->instance, &arena), 0);
    }
    unsent_send(worker, of);
}

/* ---- the end ---- */

static void drain_tell(struct worker *worker, int64_t now_ms)
{
    for (int i = 0; i < worker->peer_count; i++) {
        struct worker_peer *of = &worker->peers[i];
        if (of->peer.up && !of->drain_told) {
            of->drain_told = true;
            peer_send_plain(&of->peer, FRAME_DRAIN, 0);
            /* its PONG comes behind every request that was sent before the broker knew */
            peer_ping(&of->peer, now_ms, (struct text){0}, of->session);
        }
    }
}

static bool drain_is_done(const struct worker *worker)
{
    for (int i = 0; i < worker->peer_count; i++) {
        const struct worker_peer *of = &worker->peers[i];
        if (of->peer.up && !of->drain_heard) {
            return false;
        }
    }
    return worker->open_count == 0 && atomic_load(&worker->host->open_count) == 0;
}

/* True when nothing is left to do, or no time. */
static bool drain_step(struct worker *worker, int64_t now_ms)
{
    if (!worker->draining) {
        if (!env_stopping(worker->host->env)) {
            return false;
        }
        worker->draining = true;
        worker->drain_until_ms = now_ms + worker->host->own->drain_ms;
        atomic_store(&worker->host->draining, true);
        log_info(worker->host->env->log, "drain", KV_INT("open", worker->open_count));
    }
    drain_tell(worker, now_ms);
    return drain_is_done(worker) || now_ms >= worker->drain_until_ms;
}

/* ---- a pass ---- */

static int64_t worker_wait_ms(const struct worker *worker, int64_t now_ms)
{
    int64_t wait_ms = worker->courier ? courier_wait_ms(worker->courier, now_ms) : WORKER_DRAIN_TICK_MS;
    for (int i = 0; i < worker->peer_count; i++) {
        const struct worker_peer *of = &worker->peers[i];
        int64_t peer_ms = of->unsent ? WORKER_RETRY_MS : peer_wait_ms(&of->peer, now_ms);
        wait_ms = peer_ms < wait_ms ? peer_ms : wait_ms;
    }
    return worker->draining && wait_ms > WORKER_DRAIN_TICK_MS ? WORKER_DRAIN_TICK_MS : wait_ms;
}

static void worker_pass(struct worker *worker)
{
    zmq_pollitem_t items[2 * BUS_MAX_BROKERS + 2];
    int peers_at = worker->courier ? courier_poll_items(worker->courier, items) : 0;
    int count = peers_at;
    for (int i = 0; i < worker->peer_count; i++) {
        struct peer *peer = &worker->peers[i].peer;
        items[count++] = (zmq_pollitem_t){.socket = peer->socket, .events = peer_poll_events(peer)};
    }
    items[count++] = (zmq_pollitem_t){.fd = mailbox_fd(worker->host->released), .events = ZMQ_POLLIN};
    if (!worker->draining) {
        items[count++] = (zmq_pollitem_t){.fd = worker->host->env->stop_fd, .events = ZMQ_POLLIN};
    }
    zmq_poll(items, count, (long)worker_wait_ms(worker, clock_now_ms()));
    releases_take(worker);
    for (int i = 0; i < worker->peer_count; i++) {
        if (items[peers_at + i].revents & ZMQ_POLLIN) {
            peer_read(worker, &worker->peers[i]);
        }
    }
    int64_t now_ms = clock_now_ms();
    if (worker->courier) {
        courier_work(worker->courier, items, now_ms);
    }
    for (int i = 0; i < worker->peer_count; i++) {
        peer_time(worker, &worker->peers[i], now_ms);
    }
}

static void worker_open(struct worker *worker)
{
    struct service_host *host = worker->host;
    char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    worker->peer_count = bus_addresses(host->bus->bus, bases);
    worker->served = (struct hello_service){.name = text_of(host->service->name), .credit = host->own->credit};
    worker->client_settings = (struct peer_settings){.context = host->env->bus_context,
                                                     .role = "service",
                                                     .instance = host->env->instance,
                                                     .heartbeat_ms = host->bus->heartbeat_ms,
                                                     .credentials = &host->credentials};
    worker->worker_settings = worker->client_settings;
    worker->worker_settings.role = "worker";
    worker->worker_settings.services = &worker->served;
    worker->worker_settings.service_count = 1;
    worker->courier =
        courier_new(&worker->client_settings, bases, worker->peer_count, slots_count(host->slots), host->env->metrics);
    for (int i = 0; i < worker->peer_count; i++) {
        char address[BUS_ADDRESS_SIZE];
        ASSERT(bus_address(bases[i], BUS_WORKERS, address));
        peer_open(&worker->peers[i].peer, &worker->worker_settings, address);
    }
}

static void worker_close(struct worker *worker)
{
    for (int i = 0; i < worker->peer_count; i++) {
        struct worker_peer *of = &worker->peers[i];
        struct ticket *ticket, *after;
        unsent_send(worker, of);
        peer_close(&of->peer);
        DL_FOREACH_SAFE(of->unsent, ticket, after)
        {
            ticket_end(worker, of, ticket);
        }
        DL_FOREACH_SAFE(of->open, ticket, after)
        {
            ticket_end(worker, of, ticket);
        }
    }
}

/* Flights that have not come back end first, so that no loop waits for them. Then the loops end, and what they answer
 * at the last is sent while they close their stores. */
static void loops_end(struct worker *worker)
{
    struct service_host *host = worker->host;
    courier_destroy(&worker->courier);
    atomic_store(&host->stopping, true);
    for (int i = 0; i < host->loop_count; i++) {
        loop_wake(&host->loops[i]);
    }
    while (atomic_load(&host->ended_count) < host->loop_count) {
        worker_pass(worker);
    }
    while (mailbox_count(host->released) > 0) {
        releases_take(worker);
    }
}

void worker_run(struct service_host *host)
{
    struct worker *worker = mem_alloc(sizeof *worker);
    worker->host = host;
    worker_open(worker);
    while (!drain_step(worker, clock_now_ms())) {
        worker_pass(worker);
    }
    loops_end(worker);
    worker_close(worker);
    for (int i = 0; i < host->loop_count; i++) {
        loop_join(&host->loops[i]);
    }
    mem_free(worker);
}
