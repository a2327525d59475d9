/* When a child that died is started again. Pure. */
#ifndef ZMART_CLI_BACKOFF_H
#define ZMART_CLI_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKOFF_MAX_MS = 4000,      /* a dead child is back within 5 s, its start included */
    BACKOFF_HEALTHY_MS = 1000,  /* who was ready and lived that long is no crash loop */
    BACKOFF_READY_MAX_MS = 250  /* who was ready at all does not wait longer: it was killed, or can work for a while */
};

/* One more death: crash_count is how many short lives there were in a row before it. Returns how many with it. */
int backoff_count(int crash_count, int64_t lived_ms, bool was_ready);
/* Milliseconds to wait: 0 for the first death, then twice as long each time. */
int64_t backoff_delay_ms(int crash_count);

#endif
