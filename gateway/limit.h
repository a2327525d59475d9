/* Token buckets by name (a client's address, an account). Bounded: of names beyond the table's room the one longest
 * unused is forgotten. Thread-safe. Time comes in from outside. */
#ifndef ZMART_GATEWAY_LIMIT_H
#define ZMART_GATEWAY_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

struct limit;

struct limit_state {
    int64_t quota;    /* of a full bucket */
    int64_t left;     /* whole tokens */
    int64_t window_s; /* until an empty bucket is full */
    int64_t wait_s;   /* until there is a token again; 0: there is one */
};

/* count tokens come in every window_ms, at most count are kept. */
struct limit *limit_new(int64_t count, int64_t window_ms);
void limit_destroy(struct limit **self);
/* Takes cost tokens (0: only looks). False, and nothing taken, if the bucket has less than that, or none at a look. */
bool limit_take(struct limit *self, struct text name, int64_t cost, int64_t now_ms, struct limit_state *out);

#endif
