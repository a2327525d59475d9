/* Dead letters: requests that were given up after their last attempt. Bounded by count and bytes; the oldest go first.
 */
#ifndef ZMART_BROKER_LETTERS_H
#define ZMART_BROKER_LETTERS_H

#include "broker/request.h"

struct letter {
    uint8_t request_id[ID_SIZE];
    char *route;           /* owned */
    struct parcel *parcel; /* owned; NULL: it was a secret */
    uint8_t flags, priority, attempts;
    int64_t at_us;
    struct letter *prev, *next;
};

struct letters {
    struct letter *list; /* oldest first */
    uint32_t count, count_max;
    size_t size, size_max; /* bytes of the parcels */
};

void letters_init(struct letters *self, uint32_t count_max, size_t size_max);
void letters_release(struct letters *self);
/* Remembers the request; shares its parcel unless it is a secret. */
void letter_add(struct letters *self, const struct request *request, int64_t now_us);
struct letter *letter_find(const struct letters *self, const uint8_t request_id[ID_SIZE]);
void letter_remove(struct letters *self, struct letter *letter);

#endif
