#include "broker/affinity.h"

#include "lib/base/invariant.h"

/* A key of one service is told from the same key of another by its address in front. */
struct affinity_key {
    const struct service *service;
    char key[ROUTE_MAX_SIZE];
};

struct affinity_entry {
    struct affinity_key key;
    struct station *station;
    struct affinity_entry *prev, *next;
    UT_hash_handle hh;
};

static unsigned key_write(const struct service *service, struct text key, struct affinity_key *out)
{
    ASSERT(key.size >= 1 && key.size <= ROUTE_MAX_SIZE);
    out->service = service;
    memcpy(out->key, key.data, key.size);
    return (unsigned)(offsetof(struct affinity_key, key) + key.size);
}

static struct affinity_entry *entry_find(const struct affinity *self, const struct service *service, struct text key)
{
    struct affinity_key wanted;
    struct affinity_entry *found = NULL;
    unsigned size = key_write(service, key, &wanted);
    HASH_FIND(hh, self->by_key, &wanted, size, found);
    return found;
}

static void entry_remove(struct affinity *self, struct affinity_entry *entry)
{
    HASH_DEL(self->by_key, entry);
    DL_DELETE(self->list, entry);
    mem_free(entry);
    self->count--;
}

void affinity_init(struct affinity *self, uint32_t max)
{
    *self = (struct affinity){.max = max};
}

void affinity_release(struct affinity *self)
{
    while (self->list) {
        entry_remove(self, self->list);
    }
}

struct station *affinity_find(const struct affinity *self, const struct service *service, struct text key)
{
    struct affinity_entry *entry = entry_find(self, service, key);
    return entry ? entry->station : NULL;
}

void affinity_set(struct affinity *self, struct text key, struct station *station)
{
    if (self->max == 0) {
        return;
    }
    struct affinity_entry *entry = entry_find(self, station->service, key);
    if (entry) {
        DL_DELETE(self->list, entry);
    } else {
        if (self->count == self->max) {
            entry_remove(self, self->list);
        }
        entry = mem_alloc(sizeof *entry);
        unsigned size = key_write(station->service, key, &entry->key);
        HASH_ADD(hh, self->by_key, key, size, entry);
        self->count++;
    }
    entry->station = station;
    DL_APPEND(self->list, entry);
}

void affinity_forget(struct affinity *self, const struct station *station)
{
    struct affinity_entry *entry, *next;
    DL_FOREACH_SAFE(self->list, entry, next)
    {
        if (entry->station == station) {
            entry_remove(self, entry);
        }
    }
}
