#include <stdio.h>
#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/service_parts.h"

enum { LOOP_REPLY_MAX_SIZE = FRAME_MAX_BODY, LOOP_READ_BATCH_MAX = 8, LOOP_POOL_WAIT_MS = 1 };

/* The idlest of the loops from this one on. */
static struct service_loop *loop_idlest(struct service_host *host, int first)
{
    struct service_loop *best = &host->loops[first];
    for (int i = first + 1; i < host->loop_count; i++) {
        if (atomic_load_explicit(&host->loops[i].load, memory_order_relaxed) <
            atomic_load_explicit(&best->load, memory_order_relaxed)) {
            best = &host->loops[i];
        }
    }
    return best;
}

/* The same for the same key, which is what follows the # of a route; NULL: there is no key. */
static struct service_loop *loop_of_key(struct service_host *host, struct text route)
{
    struct text rest = route, name;
    uint32_t hash = 2166136261u; /* FNV-1a */
    if (!text_cut(&rest, '#', &name) || rest.size == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < rest.size; i++) {
        hash = (hash ^ (uint8_t)rest.data[i]) * 16777619u;
    }
    return &host->loops[hash % (uint32_t)host->loop_count];
}

struct service_loop *loop_choose(struct service_host *host, const struct op_info *info, struct text route)
{
    if (host->share.all_write) {
        struct service_loop *kept = loop_of_key(host, route);
        return kept ? kept : loop_idlest(host, 0);
    }
    return host->loop_count > 1 && info->access == OP_READ ? loop_idlest(host, 1) : &host->loops[0];
}

void loop_give(struct service_loop *loop, struct call *call)
{
    metric_add(loop->host->queue_length, 1);
    ASSERT(mailbox_put(loop->inbox, call));
}

/* ---- timers ---- */

static void timers_start(struct service_loop *loop, int64_t now_ms)
{
    for (size_t i = 0; i < loop->timer_count && !atomic_load(&loop->host->draining); i++) {
        struct loop_timer *timer = &loop->timers[i];
        if (timer->running || now_ms < timer->next_ms) {
            continue;
        }
        timer->running = true;
        timer->next_ms = now_ms + timer->timer->every_ms;
        service_start(loop, timer->timer->name, timer->timer->budget_ms, timer->timer->run, NULL);
        loop->own->prev->timer = timer; /* the one just appended */
    }
}

/* Until the next timer is due; -1: no timer is. */
static int timers_wait_ms(const struct service_loop *loop, int64_t now_ms)
{
    enum { WAIT_MAX_MS = 60000 };
    int64_t wait_ms = -1;
    for (size_t i = 0; i < loop->timer_count && !atomic_load(&loop->host->draining); i++) {
        const struct loop_timer *timer = &loop->timers[i];
        int64_t left_ms = timer->next_ms > now_ms ? timer->next_ms - now_ms : 0;
        if (!timer->running && (wait_ms < 0 || left_ms < wait_ms)) {
            wait_ms = left_ms;
        }
    }
    return (int)(wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : wait_ms);
}

/* ---- taking ---- */

static size_t own_take(struct service_loop *loop, struct call **calls, size_t max)
{
    size_t count = 0;
    while (loop->own && count < max) {
        struct call *call = loop->own;
        DL_DELETE(loop->own, call);
        calls[count++] = call;
    }
    return count;
}

/* What comes through the inbox is new, or waited for an answer that is there now. */
static size_t inbox_take(struct service_loop *loop, struct call **calls, size_t max, int wait_ms)
{
    void *items[SERVICE_MAX_BATCH];
    size_t count = mailbox_take(loop->inbox, items, max, wait_ms);
    metric_add(loop->host->queue_length, -(int64_t)count);
    for (size_t i = 0; i < count; i++) {
        calls[i] = items[i];
        if (calls[i]->wait != WAIT_NOTHING) {
            DL_DELETE(loop->later, calls[i]);
            calls[i]->continued = true;
        }
    }
    return count;
}

static void woken_tell(struct service_loop *loop)
{
    const struct service *service = loop->host->service;
    if (atomic_exchange(&loop->woken, false) && service->woken && !atomic_load(&loop->host->draining)) {
        service->woken(loop, loop->store.state);
    }
}

static void loop_work(struct service_loop *loop)
{
    struct call *calls[SERVICE_MAX_BATCH];
    size_t max = (size_t)loop->host->own->batch;
    if (!service_loop_writes(loop) && max > LOOP_READ_BATCH_MAX) {
        max = LOOP_READ_BATCH_MAX; /* reads share no commit: answers leave sooner in small batches */
    }
    /* What was started here mostly reads and sends (the outbox): it does not wait for the commit of requests that came
     * meanwhile. Every other time it goes with them, so that whatever starts itself again holds up nobody. */
    bool by_itself = false;
    while (!atomic_load(&loop->host->stopping)) {
        int64_t now_ms = clock_now_ms();
        woken_tell(loop);
        timers_start(loop, now_ms);
        size_t count = own_take(loop, calls, max);
        int wait_ms = count > 0 ? 0 : timers_wait_ms(loop, now_ms);
        by_itself = count > 0 && !by_itself;
        if (!by_itself && count < max) {
            count += inbox_take(loop, calls + count, max - count, wait_ms);
        }
        if (count > 0) {
            batch_run(loop, calls, count);
        }
    }
}

/* ---- opening and closing ---- */

static void loop_tell(struct service_loop *loop, enum loop_state state)
{
    ASSERT(pthread_mutex_lock(&loop->host->lock) == 0);
    loop->state = state;
    ASSERT(pthread_mutex_unlock(&loop->host->lock) == 0);
    pthread_cond_broadcast(&loop->host->changed);
}

/* The drain's time is over, or the service never ran: what is left gets an answer, and is freed when no other thread
 * can have it any more. */
static void loop_end(struct service_loop *loop)
{
    struct call *calls[SERVICE_MAX_BATCH];
    struct call *left = NULL, *call, *after;
    size_t count;
    while ((count = own_take(loop, calls, SERVICE_MAX_BATCH)) > 0 ||
           (count = inbox_take(loop, calls, SERVICE_MAX_BATCH, 0)) > 0) {
        for (size_t i = 0; i < count; i++) {
            DL_APPEND(left, calls[i]);
        }
    }
    DL_CONCAT(left, loop->later);
    DL_FOREACH(left, call)
    {
        call_abandon(call);
    }
    atomic_fetch_add(&loop->host->ended_count, 1);
    mailbox_wake(loop->host->released);
    if (loop->host->service->close) {
        loop->host->service->close(loop, loop->store.state);
    }
    while (atomic_load(&loop->offloaded) > 0 || mailbox_count(loop->inbox) > 0) {
        /* what a pool gives back is in the list already; one that loops share outlives us, and is waited for */
        (void)mailbox_take(loop->inbox, (void **)calls, SERVICE_MAX_BATCH, LOOP_POOL_WAIT_MS);
    }
    DL_FOREACH_SAFE(left, call, after)
    {
        call_destroy(&call);
    }
}

static void *loop_thread(void *argument)
{
    struct service_loop *loop = argument;
    const struct service *service = loop->host->service;
    fault_init(&loop->open_fault, NULL);
    if (service->open(loop, loop->host->config, &loop->open_fault, &loop->store) != ERR_NONE) {
        loop_tell(loop, LOOP_FAILED);
        return NULL;
    }
    int64_t now_ms = clock_now_ms();
    for (size_t i = 0; i < loop->timer_count; i++) {
        loop->timers[i].next_ms = now_ms;
    }
    loop_tell(loop, LOOP_OPEN);
    loop_work(loop);
    loop_end(loop);
    return NULL;
}

void loop_start(struct service_loop *loop)
{
    struct service_host *host = loop->host;
    const struct service *service = host->service;
    loop->inbox = mailbox_new((size_t)host->remote_max + SERVICE_MAX_INTERNAL);
    loop->op_metrics = mem_alloc_array(service->handler_count, sizeof *loop->op_metrics);
    buffer_init(&loop->packed, LOOP_REPLY_MAX_SIZE);
    if (loop->index == 0) {
        loop->timers = mem_alloc_array(service->timer_count + 1, sizeof *loop->timers);
        while (loop->timer_count < service->timer_count) {
            loop->timers[loop->timer_count].timer = &service->timers[loop->timer_count];
            loop->timer_count++;
        }
        if (host->share.many && service->look) {
            loop->timers[loop->timer_count++].timer = service->look;
        }
    }
    ASSERT(pthread_create(&loop->thread, NULL, loop_thread, loop) == 0);
    loop->started = true;
    ASSERT(pthread_mutex_lock(&host->lock) == 0);
    while (loop->state == LOOP_OPENING) {
        pthread_cond_wait(&host->changed, &host->lock);
    }
    ASSERT(pthread_mutex_unlock(&host->lock) == 0);
}

void service_wake(struct service_loop *loop)
{
    atomic_store(&loop->woken, true);
    mailbox_wake(loop->inbox);
}

void loop_wake(struct service_loop *loop)
{
    mailbox_wake(loop->inbox);
}

void loop_join(struct service_loop *loop)
{
    if (!loop->started) {
        return;
    }
    loop_wake(loop);
    pthread_join(loop->thread, NULL);
    mailbox_destroy(&loop->inbox);
    mem_free(loop->op_metrics);
    mem_free(loop->timers);
    buffer_release(&loop->packed);
}
