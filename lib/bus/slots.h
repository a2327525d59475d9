/* The numbers of calls in flight: a bounded set of slots, each with a generation that changes at every use, so that a
 * late answer to an earlier use can be told from the present one's. Thread-safe. */
#ifndef ZMART_BUS_SLOTS_H
#define ZMART_BUS_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"

struct slots;

enum { SLOTS_MAX = 65536 };

/* slot_count: 1..SLOTS_MAX */
struct slots *slots_new(int slot_count);
void slots_destroy(struct slots **self);
/* False when all are taken, or after slots_close. *out_corr is slot << 32 | generation, never 0. */
MUST_USE bool slots_claim(struct slots *self, uint64_t *out_corr);
void slots_release(struct slots *self, uint64_t corr);
/* Nothing more is given out. */
void slots_close(struct slots *self);
int slots_count(const struct slots *self);
int slots_used(struct slots *self);

static inline uint32_t slot_of(uint64_t corr)
{
    return (uint32_t)(corr >> 32);
}

#endif
