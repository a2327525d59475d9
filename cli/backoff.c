#include "cli/backoff.h"

enum { BACKOFF_FIRST_MS = 125, BACKOFF_MAX_COUNT = 10 };

int backoff_count(int crash_count, int64_t lived_ms, bool was_ready)
{
    if (was_ready && lived_ms >= BACKOFF_HEALTHY_MS) {
        return 1;
    }
    int count = crash_count < BACKOFF_MAX_COUNT ? crash_count + 1 : crash_count;
    while (was_ready && backoff_delay_ms(count) > BACKOFF_READY_MAX_MS) {
        count--;
    }
    return count;
}

int64_t backoff_delay_ms(int crash_count)
{
    if (crash_count <= 1) {
        return 0;
    }
    int64_t delay_ms = (int64_t)BACKOFF_FIRST_MS << (crash_count - 2);
    return delay_ms < BACKOFF_MAX_MS ? delay_ms : BACKOFF_MAX_MS;
}
