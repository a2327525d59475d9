#include "lib/base/funnel.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/invariant.h"

void funnel_init(struct funnel *funnel)
{
    atomic_init(&funnel->newest, NULL);
    funnel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(funnel->fd >= 0);
}

void funnel_release(struct funnel *funnel)
{
    close(funnel->fd);
}

void funnel_wake(struct funnel *funnel)
{
    uint64_t one = 1;
    ssize_t written = write(funnel->fd, &one, sizeof one);
    (void)written; /* it can only fail when the counter is full, and then the descriptor is readable anyway */
}

void funnel_put(struct funnel *funnel, struct funnel_link *item)
{
    struct funnel_link *newest = atomic_load_explicit(&funnel->newest, memory_order_relaxed);
    do {
        item->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&funnel->newest, &newest, item, memory_order_release,
                                                    memory_order_relaxed));
    if (!newest) {
        funnel_wake(funnel);
    }
}

struct funnel_link *funnel_take(struct funnel *funnel, bool readable)
{
    uint64_t count;
    if (readable) { /* first: what is put after the exchange writes again */
        ssize_t got = read(funnel->fd, &count, sizeof count);
        (void)got;
    }
    struct funnel_link *newest = NULL, *oldest = NULL;
    if (atomic_load_explicit(&funnel->newest, memory_order_relaxed)) {
        newest = atomic_exchange_explicit(&funnel->newest, NULL, memory_order_acquire);
    }
    while (newest) {
        struct funnel_link *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

int funnel_fd(const struct funnel *funnel)
{
    return funnel->fd;
}
