/* Two clocks. Durations, timeouts and ages use clock_now_*: CLOCK_BOOTTIME, which never jumps and
 * counts while the host sleeps. The wall clock is only for what people read. */
#ifndef ZMART_BASE_CLOCK_H
#define ZMART_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/text.h"

int64_t clock_now_us(void);
int64_t clock_now_ms(void);
/* Milliseconds since 1970-01-01T00:00:00Z. Never for timeouts. */
int64_t clock_wall_ms(void);

/* The wait before something is tried again, made longer by up to a fifth of it, so that what failed together is not
 * tried again together. random: any 32 bits, from id_random. */
int64_t wait_spread_ms(int64_t wait_ms, uint32_t random);

enum { CLOCK_TEXT_SIZE = 25 }; /* "2026-01-02T03:04:05.678Z" and NUL */
/* RFC 3339 UTC with milliseconds; the year is clamped to 0000..9999. */
void clock_format(int64_t wall_ms, char out[CLOCK_TEXT_SIZE]);
/* Reads RFC 3339 (any offset, 0 to 9 decimals of a second, leap second as the next second's start). */
MUST_USE bool clock_parse(struct text text, int64_t *out_wall_ms);

#endif
