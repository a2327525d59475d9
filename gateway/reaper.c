#include "gateway/reaper.h"

#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mem.h"

struct reaper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    struct reaper_watch list; /* a ring's head */
    int64_t wake_ms;          /* when the thread looks again; INT64_MAX: not before it is told */
    bool stop;
};

/* When the earliest deadline is; INT64_MAX: there is none. Cuts those that are over. */
static int64_t overdue_cut(struct reaper *self, int64_t now_ms)
{
    int64_t earliest_ms = INT64_MAX;
    for (struct reaper_watch *watch = self->list.next; watch != &self->list; watch = watch->next) {
        if (watch->cut) {
            continue;
        }
        if (watch->deadline_ms <= now_ms) {
            watch->cut = true;
            (void)shutdown(watch->fd, SHUT_RD);
        } else if (watch->deadline_ms < earliest_ms) {
            earliest_ms = watch->deadline_ms;
        }
    }
    return earliest_ms;
}

static void *reaper_run(void *argument)
{
    struct reaper *self = argument;
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    while (!self->stop) {
        int64_t now_ms = clock_now_ms();
        self->wake_ms = overdue_cut(self, now_ms);
        if (self->wake_ms == INT64_MAX) {
            (void)pthread_cond_wait(&self->changed, &self->lock);
        } else {
            struct timespec until = condition_after(self->wake_ms - now_ms);
            (void)pthread_cond_timedwait(&self->changed, &self->lock, &until);
        }
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return NULL;
}

struct reaper *reaper_new(void)
{
    struct reaper *self = mem_alloc(sizeof *self);
    self->list.next = self->list.previous = &self->list;
    self->wake_ms = INT64_MAX;
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    condition_init(&self->changed);
    if (pthread_create(&self->thread, NULL, reaper_run, self) != 0) {
        pthread_cond_destroy(&self->changed);
        pthread_mutex_destroy(&self->lock);
        mem_free(self);
        return NULL;
    }
    return self;
}

void reaper_destroy(struct reaper **self)
{
    if (!*self) {
        return;
    }
    ASSERT(pthread_mutex_lock(&(*self)->lock) == 0);
    (*self)->stop = true;
    pthread_cond_signal(&(*self)->changed);
    ASSERT(pthread_mutex_unlock(&(*self)->lock) == 0);
    pthread_join((*self)->thread, NULL);
    pthread_cond_destroy(&(*self)->changed);
    pthread_mutex_destroy(&(*self)->lock);
    mem_free(*self);
    *self = NULL;
}

void reaper_watch(struct reaper *self, struct reaper_watch *watch, int fd, int64_t deadline_ms)
{
    *watch = (struct reaper_watch){.fd = fd, .deadline_ms = deadline_ms};
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    watch->next = self->list.next;
    watch->previous = &self->list;
    watch->next->previous = watch;
    self->list.next = watch;
    if (deadline_ms < self->wake_ms) { /* rare: the thread waits for an older deadline already */
        self->wake_ms = deadline_ms;
        pthread_cond_signal(&self->changed);
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
}

bool reaper_release(struct reaper *self, struct reaper_watch *watch)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    watch->next->previous = watch->previous;
    watch->previous->next = watch->next;
    bool cut = watch->cut;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return cut;
}
