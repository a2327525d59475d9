/* Mutexes that are held for a few instructions: whoever finds one taken spins a little before it sleeps, because a
 * sleep and a wake-up cost more than the wait. */
#ifndef ZMART_BASE_LOCK_H
#define ZMART_BASE_LOCK_H

#include <pthread.h>

/* For pthread_mutex_lock, _unlock and _destroy as usual. Never held across a system call that may block. */
void lock_init(pthread_mutex_t *lock);

#endif
