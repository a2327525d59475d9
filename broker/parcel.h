/* The frames behind a head, carried whole and unread: a parcel is moved or shared, never copied or decoded.
 * Counted references, one thread. Who brings the bytes says how they are released. */
#ifndef ZMART_BROKER_PARCEL_H
#define ZMART_BROKER_PARCEL_H

#include "lib/base/text.h"

enum { PARCEL_MAX_PARTS = 3 };

struct parcel {
    struct text parts[PARCEL_MAX_PARTS];
    int part_count; /* PARCEL_MAX_PARTS + 1: there were more, and none is kept */
    int reference_count;
    size_t size;                          /* bytes of all parts */
    void (*release)(struct parcel *self); /* when the last reference is dropped */
};

/* One reference, no parts yet. */
void parcel_init(struct parcel *self, void (*release)(struct parcel *self));
/* A parcel that holds copies of these parts (the broker's own small answers). */
struct parcel *parcel_of(const struct text *parts, int count);
/* Whether it is one that parcel_of made. */
bool parcel_is_own(const struct parcel *self);
struct parcel *parcel_share(struct parcel *self);
/* Drops one reference and forgets it; NULL is allowed. */
void parcel_drop(struct parcel **self);

#endif
