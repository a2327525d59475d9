/* A breaker for each service that a client calls, with metrics about them. Owned by one thread. */
#ifndef ZMART_BUS_BREAKERS_H
#define ZMART_BUS_BREAKERS_H

#include "lib/base/metrics.h"
#include "lib/base/text.h"
#include "lib/bus/breaker.h"

enum { BREAKERS_MAX = 32, BREAKER_NAME_SIZE = 41 };

struct breaker_line {
    char service[BREAKER_NAME_SIZE];
    struct breaker breaker;
    struct metric *state, *rejected;
    struct metric *transitions[BREAKER_HALF_OPEN + 1];
};

struct breakers {
    struct breaker_settings settings;
    struct metrics *metrics; /* borrowed */
    struct breaker_line lines[BREAKERS_MAX];
    int count;
};

void breakers_init(struct breakers *breakers, const struct breaker_settings *settings, struct metrics *metrics);
/* The breaker of a route's service; NULL when there is none: settings.percent is 0, the route is the broker's own (mmi)
 * or malformed, or there are too many services. Good as long as breakers. */
struct breaker_line *breakers_find(struct breakers *breakers, struct text route, int64_t now_ms);
/* As breaker_enter and breaker_leave, counted. */
MUST_USE bool breakers_enter(struct breakers *breakers, struct breaker_line *line, int64_t now_ms, uint32_t *out_probe);
void breakers_leave(struct breakers *breakers, struct breaker_line *line, uint32_t probe, enum breaker_end end,
                    int64_t now_ms);

#endif
