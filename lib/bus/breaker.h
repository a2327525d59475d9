/* A circuit breaker: looks at how the calls to one service end, and when too many have failed for too long refuses
 * further ones at once, then lets a few through to see whether the service is back. Pure: time is passed in.
 *
 * Closed: everything passes. Opens when of at least `least_count` calls that ended within the window `percent` failed,
 * and this has been so for `patience_ms` without a break: a service that restarts is shorter than that.
 * Open: everything is refused for `open_ms`. Half open: `probe_count` calls at a time pass; as many good ends in a row
 * close it, one bad end opens it again. */
#ifndef ZMART_BUS_BREAKER_H
#define ZMART_BUS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"

enum { BREAKER_BUCKETS = 10 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

/* How a call ended. NEITHER says nothing about the service: it never got there, or the caller left. */
enum breaker_end { BREAKER_GOOD, BREAKER_BAD, BREAKER_NEITHER };

struct breaker_settings {
    int64_t percent; /* 0: never opens */
    int64_t window_ms, least_count, patience_ms, open_ms,
        probe_count; /* all over 0; window_ms at least BREAKER_BUCKETS */
};

struct breaker {
    enum breaker_state state;
    int64_t since_ms;     /* in this state */
    int64_t bad_since_ms; /* closed: since when the share is too high; -1: it is not */
    int64_t bucket;       /* number of the newest bucket */
    int64_t good[BREAKER_BUCKETS], bad[BREAKER_BUCKETS];
    uint32_t generation; /* of the half-open time; never 0 in it */
    int64_t probes_out, probes_good;
};

void breaker_init(struct breaker *breaker, int64_t now_ms);
/* True if a call may pass; *out_probe is to be given back with its end (0: it is no probe). */
MUST_USE bool breaker_enter(struct breaker *breaker, const struct breaker_settings *settings, int64_t now_ms,
                            uint32_t *out_probe);
/* A call that has passed ended. */
void breaker_leave(struct breaker *breaker, const struct breaker_settings *settings, uint32_t probe,
                   enum breaker_end end, int64_t now_ms);
/* When to come again, at least 1 ms. */
int64_t breaker_wait_ms(const struct breaker *breaker, const struct breaker_settings *settings, int64_t now_ms);
/* "closed", "open", "half_open" */
const char *breaker_state_name(enum breaker_state state);

#endif
