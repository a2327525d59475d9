#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/lock.h"

enum { THREADS = 4, EACH = 20000 };

struct shared {
    pthread_mutex_t lock;
    int64_t count; /* guarded by lock */
};

static void *count_up(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < EACH; i++) {
        pthread_mutex_lock(&shared->lock);
        shared->count++;
        pthread_mutex_unlock(&shared->lock);
    }
    return NULL;
}

static void only_one_holds_it(void **state)
{
    (void)state;
    struct shared shared = {.count = 0};
    pthread_t threads[THREADS];
    lock_init(&shared.lock);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &shared), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(shared.count, THREADS * EACH);
    pthread_mutex_destroy(&shared.lock);
}

static void a_wait_ends_by_itself(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    condition_init(&condition);
    int64_t from_ms = clock_now_ms();
    struct timespec until = condition_after(20);
    int result = 0;
    pthread_mutex_lock(&lock);
    while (result == 0) {
        result = pthread_cond_timedwait(&condition, &lock, &until);
    }
    pthread_mutex_unlock(&lock);
    assert_int_equal(result, ETIMEDOUT);
    assert_true(clock_now_ms() - from_ms >= 19); /* both ends are cut to whole milliseconds */
    pthread_cond_destroy(&condition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_holds_it),
        cmocka_unit_test(a_wait_ends_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
