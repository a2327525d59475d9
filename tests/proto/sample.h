/* Records filled at random within their bounds, by walking their tables; and a comparison that walks them too. */
#ifndef ZMART_TESTS_PROTO_SAMPLE_H
#define ZMART_TESTS_PROTO_SAMPLE_H

#include "lib/base/mem.h"
#include "proto/record.h"

/* Every record of an operation, an event, a frame or a problem; NULL ends the list. */
extern const struct record *const sample_records[];

/* The same seed gives the same values. out has record->size bytes; what it points to lives in arena. */
void sample_fill(const struct record *record, uint64_t *seed, struct arena *arena, void *out);
/* One field's member, at at. */
void sample_value_fill(const struct field *field, uint64_t *seed, struct arena *arena, void *at);
bool sample_equal(const struct record *record, const void *a, const void *b);
uint64_t sample_random(uint64_t *seed);

#endif
