/* Which station had a key last. Bounded: the key that was used longest ago is forgotten first. */
#ifndef ZMART_BROKER_AFFINITY_H
#define ZMART_BROKER_AFFINITY_H

#include "broker/services.h"
#include "proto/frame.h"

struct affinity_entry;

struct affinity {
    struct affinity_entry *by_key;
    struct affinity_entry *list; /* least recently used first */
    uint32_t count, max;
};

void affinity_init(struct affinity *self, uint32_t max);
void affinity_release(struct affinity *self);
/* The station that had this key of the service last; NULL if that is not known. */
struct station *affinity_find(const struct affinity *self, const struct service *service, struct text key);
/* It is this one now. key of 1 to ROUTE_MAX_SIZE bytes. */
void affinity_set(struct affinity *self, struct text key, struct station *station);
/* Forgets all keys of a station that goes away. */
void affinity_forget(struct affinity *self, const struct station *station);

#endif
