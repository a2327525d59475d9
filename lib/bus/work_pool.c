#include <stdatomic.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/service_parts.h"

enum { POOL_MAX_THREADS = 64 };

struct work_pool {
    struct mailbox *queue; /* struct call */
    int queue_max;
    atomic_int queued_count; /* reserved or queued, not yet begun */
    atomic_bool stopping;
    int thread_count;
    pthread_t threads[POOL_MAX_THREADS];
};

static void *pool_thread(void *argument)
{
    struct work_pool *self = argument;
    void *item;
    while (mailbox_take(self->queue, &item, 1, -1) == 1 && item) {
        struct call *call = item;
        struct service_loop *loop = call->loop;
        atomic_fetch_sub(&self->queued_count, 1);
        if (!atomic_load(&self->stopping)) { /* otherwise it never runs: its loop, which ends, has it in its list */
            call->work(call->work_argument);
            loop_give(loop, call);
        }
        atomic_fetch_sub(&loop->offloaded, 1);
    }
    return NULL;
}

struct work_pool *work_pool_new(int thread_count, int queue_max)
{
    ASSERT(thread_count >= 1 && thread_count <= POOL_MAX_THREADS && queue_max >= 1);
    struct work_pool *self = mem_alloc(sizeof *self);
    self->queue = mailbox_new((size_t)queue_max + (size_t)thread_count);
    self->queue_max = queue_max;
    self->thread_count = thread_count;
    for (int i = 0; i < thread_count; i++) {
        ASSERT(pthread_create(&self->threads[i], NULL, pool_thread, self) == 0);
    }
    return self;
}

void work_pool_destroy(struct work_pool **self)
{
    struct work_pool *pool = *self;
    if (!pool) {
        return;
    }
    atomic_store(&pool->stopping, true);
    for (int i = 0; i < pool->thread_count; i++) {
        ASSERT(mailbox_put(pool->queue, NULL)); /* each thread takes one, and ends */
    }
    for (int i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    mailbox_destroy(&pool->queue);
    mem_free(pool);
    *self = NULL;
}

bool work_pool_reserve(struct work_pool *self)
{
    if (atomic_fetch_add(&self->queued_count, 1) < self->queue_max) {
        return true;
    }
    atomic_fetch_sub(&self->queued_count, 1);
    return false;
}

void work_pool_unreserve(struct work_pool *self)
{
    atomic_fetch_sub(&self->queued_count, 1);
}

void work_pool_submit(struct work_pool *self, struct call *call)
{
    atomic_fetch_add(&call->loop->offloaded, 1);
    ASSERT(mailbox_put(self->queue, call));
}
