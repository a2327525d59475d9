/* Mutexes that are held for a few instructions: whoever finds one taken spins a little before it sleeps, because a
 * sleep and a wake-up cost more than the wait. */
#ifndef ZMART_BASE_LOCK_H
#define ZMART_BASE_LOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* For pthread_mutex_lock, _unlock and _destroy as usual. Never held across a system call that may block. */
void lock_init(pthread_mutex_t *lock);

/* A condition whose waits end by a clock that never jumps. */
void condition_init(pthread_cond_t *condition);
/* When a wait that starts now ends: for pthread_cond_timedwait on such a condition. */
struct timespec condition_after(int64_t wait_ms);

#endif
