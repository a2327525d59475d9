#include "gateway/long_poll.h"

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mem.h"

struct long_polls {
    pthread_mutex_t lock;
    struct long_poll *first;
    int64_t count, max_count;
    bool draining;
    struct metric *waiting, *refused;
};

struct long_polls *long_polls_new(int64_t max, struct metrics *metrics)
{
    struct long_polls *self = mem_alloc(sizeof *self);
    ASSERT(pthread_mutex_init(&self->lock, NULL) == 0);
    self->max_count = max;
    self->waiting = metrics_get(metrics, METRIC_GAUGE, "zmart_long_polls", "", "Requests that wait for events.");
    self->refused = metrics_get(metrics, METRIC_COUNTER, "zmart_long_polls_refused_total", "",
                                "Requests that were answered at once because too many waited.");
    return self;
}

void long_polls_destroy(struct long_polls **self)
{
    if (*self) {
        ASSERT((*self)->count == 0);
        pthread_mutex_destroy(&(*self)->lock);
        mem_free(*self);
        *self = NULL;
    }
}

bool long_polls_enter(struct long_polls *self, struct long_poll *poll)
{
    pthread_mutex_lock(&self->lock);
    bool entered = !self->draining && self->count < self->max_count;
    if (entered) {
        poll->woken = false;
        condition_init(&poll->wake);
        poll->previous = NULL;
        poll->next = self->first;
        if (self->first) {
            self->first->previous = poll;
        }
        self->first = poll;
        metric_set(self->waiting, ++self->count);
    } else {
        metric_add(self->refused, 1);
    }
    pthread_mutex_unlock(&self->lock);
    return entered;
}

bool long_polls_wait(struct long_polls *self, struct long_poll *poll, int64_t wait_ms)
{
    struct timespec until = condition_after(wait_ms > 0 ? wait_ms : 0);
    int result = 0;
    pthread_mutex_lock(&self->lock);
    while (!poll->woken && !self->draining && result == 0) {
        result = pthread_cond_timedwait(&poll->wake, &self->lock, &until);
    }
    bool woken = poll->woken && !self->draining;
    poll->woken = false;
    pthread_mutex_unlock(&self->lock);
    return woken;
}

void long_polls_leave(struct long_polls *self, struct long_poll *poll)
{
    pthread_mutex_lock(&self->lock);
    if (poll->previous) {
        poll->previous->next = poll->next;
    } else {
        self->first = poll->next;
    }
    if (poll->next) {
        poll->next->previous = poll->previous;
    }
    metric_set(self->waiting, --self->count);
    pthread_mutex_unlock(&self->lock);
    pthread_cond_destroy(&poll->wake);
}

static void poll_wake(struct long_poll *poll)
{
    poll->woken = true;
    pthread_cond_signal(&poll->wake);
}

void long_polls_wake(struct long_polls *self, struct text user_id, uint64_t types)
{
    pthread_mutex_lock(&self->lock);
    for (struct long_poll *poll = self->first; poll; poll = poll->next) {
        bool sees = poll->everybody || (user_id.size > 0 && text_equal(poll->user_id, user_id));
        if (sees && (poll->types & types)) {
            poll_wake(poll);
        }
    }
    pthread_mutex_unlock(&self->lock);
}

void long_polls_wake_all(struct long_polls *self)
{
    pthread_mutex_lock(&self->lock);
    for (struct long_poll *poll = self->first; poll; poll = poll->next) {
        poll_wake(poll);
    }
    pthread_mutex_unlock(&self->lock);
}

void long_polls_drain(struct long_polls *self)
{
    pthread_mutex_lock(&self->lock);
    self->draining = true;
    for (struct long_poll *poll = self->first; poll; poll = poll->next) {
        poll_wake(poll);
    }
    pthread_mutex_unlock(&self->lock);
}
