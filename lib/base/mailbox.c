#include "lib/base/mailbox.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mem.h"

enum { MAILBOX_MAX_CAPACITY = 1 << 20 };

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    int fd;        /* eventfd; set while signalled is */
    bool fd_used;  /* somebody asked for it */
    bool signalled;
    int waiting;   /* takers in pthread_cond_timedwait */
    bool woken;
    size_t head, count, capacity;
    void *items[];
};

struct mailbox *mailbox_new(size_t capacity)
{
    ASSERT(capacity >= 1 && capacity <= MAILBOX_MAX_CAPACITY);
    struct mailbox *self = mem_alloc(sizeof *self + capacity * sizeof self->items[0]);
    self->capacity = capacity;
    self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(self->fd >= 0);
    lock_init(&self->lock);
    condition_init(&self->filled);
    return self;
}

void mailbox_destroy(struct mailbox **self)
{
    if (!*self) {
        return;
    }
    close((*self)->fd);
    pthread_cond_destroy(&(*self)->filled);
    pthread_mutex_destroy(&(*self)->lock);
    mem_free(*self);
    *self = NULL;
}

/* One write for many puts: only the first after a take that emptied the queue signals. */
static void fd_signal(struct mailbox *self)
{
    if (self->fd_used && !self->signalled) {
        uint64_t one = 1;
        self->signalled = write(self->fd, &one, sizeof one) == (ssize_t)sizeof one;
    }
}

static void fd_clear(struct mailbox *self)
{
    uint64_t value;
    if (self->signalled && read(self->fd, &value, sizeof value) == (ssize_t)sizeof value) {
        self->signalled = false;
    }
}

bool mailbox_put(struct mailbox *self, void *item)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    bool fits = self->count < self->capacity;
    if (fits) {
        self->items[(self->head + self->count++) % self->capacity] = item;
        fd_signal(self);
    }
    bool wake = fits && self->waiting > 0;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    if (wake) {
        pthread_cond_signal(&self->filled);
    }
    return fits;
}

static void wait_for_items(struct mailbox *self, int wait_ms)
{
    struct timespec until = condition_after(wait_ms);
    int result = 0;
    self->waiting++;
    while (self->count == 0 && !self->woken && result == 0) {
        result = wait_ms < 0 ? pthread_cond_wait(&self->filled, &self->lock)
                             : pthread_cond_timedwait(&self->filled, &self->lock, &until);
    }
    self->waiting--;
    self->woken = false;
}

size_t mailbox_take(struct mailbox *self, void **out, size_t max, int wait_ms)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    if (self->count == 0 && wait_ms != 0) {
        wait_for_items(self, wait_ms);
    }
    size_t taken = self->count < max ? self->count : max;
    for (size_t i = 0; i < taken; i++) {
        out[i] = self->items[(self->head + i) % self->capacity];
    }
    self->head = (self->head + taken) % self->capacity;
    self->count -= taken;
    if (self->count == 0) {
        fd_clear(self);
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return taken;
}

int mailbox_fd(struct mailbox *self)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    self->fd_used = true;
    if (self->count > 0) {
        fd_signal(self);
    }
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return self->fd;
}

void mailbox_wake(struct mailbox *self)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    self->woken = true;
    fd_signal(self);
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    pthread_cond_broadcast(&self->filled);
}

size_t mailbox_count(struct mailbox *self)
{
    ASSERT(pthread_mutex_lock(&self->lock) == 0);
    size_t count = self->count;
    ASSERT(pthread_mutex_unlock(&self->lock) == 0);
    return count;
}
