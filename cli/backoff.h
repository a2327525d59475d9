/* When a child that died is started again. Pure. */
#ifndef ZMART_CLI_BACKOFF_H
#define ZMART_CLI_BACKOFF_H

#include <stdint.h>

enum {
    BACKOFF_MAX_MS = 4000,      /* a dead child is back within 5 s, its start included */
    BACKOFF_HEALTHY_MS = 10000  /* who lived that long has not crashed in a loop */
};

/* crash_count: deaths in a row before this one, each after a short life. Returns the count with this one. */
int backoff_count(int crash_count, int64_t lived_ms);
/* Milliseconds to wait: 0 for the first death, then twice as long each time. */
int64_t backoff_delay_ms(int crash_count);

#endif
