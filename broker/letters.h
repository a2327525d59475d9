/* Dead letters: requests that were given up after their last attempt, until the service that keeps them has them.
 * Bounded by count and bytes; the oldest go first. */
#ifndef ZMART_BROKER_LETTERS_H
#define ZMART_BROKER_LETTERS_H

#include "broker/request.h"

struct letter {
    uint8_t request_id[ID_SIZE];
    uint64_t death;        /* tells it from another death of the same request; not 0 */
    char *route;           /* owned; without its key when it was a secret */
    const char *reason;    /* borrowed, for the broker's life */
    struct parcel *parcel; /* owned; NULL: it was a secret, or is too large to be kept */
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
/* Remembers the request; shares its parcel unless it is a secret. Returns how many older ones had to go. */
uint32_t letter_add(struct letters *self, const struct request *request, uint64_t death, const char *reason,
                    int64_t now_us);
struct letter *letter_find(const struct letters *self, const uint8_t request_id[ID_SIZE]);
/* Puts it behind all others. */
void letter_defer(struct letters *self, struct letter *letter);
void letter_remove(struct letters *self, struct letter *letter);

#endif
