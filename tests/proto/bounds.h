/* Every bound of every field, walked from the tables. */
#ifndef ZMART_TESTS_PROTO_BOUNDS_H
#define ZMART_TESTS_PROTO_BOUNDS_H

#include "lib/base/mem.h"
#include "proto/record.h"

/* A record that is good but, perhaps, for one field, which stands at one of its bounds or one beyond. */
struct bound_case {
    const struct record *record; /* as declared */
    const struct record *wide;   /* the same with that field unbounded, so that codecs write what is beyond */
    const struct field *field;   /* of record */
    const void *value;
    bool within;
    struct arena *arena;
};

typedef void bound_visit(const struct bound_case *found, void *user);

/* Calls visit for the bounds of this record's fields and of those in it; gives the number of calls. */
int bounds_walk(const struct record *record, bound_visit *visit, void *user);

#endif
