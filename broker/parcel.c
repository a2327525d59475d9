#include "broker/parcel.h"

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

void parcel_init(struct parcel *self, void (*release)(struct parcel *self))
{
    *self = (struct parcel){.reference_count = 1, .release = release};
}

static void own_release(struct parcel *self)
{
    mem_free(self);
}

struct parcel *parcel_of(const struct text *parts, int count)
{
    size_t size = 0;
    ASSERT(count <= PARCEL_MAX_PARTS);
    for (int i = 0; i < count; i++) {
        size += parts[i].size;
    }
    struct parcel *self = mem_alloc(sizeof *self + size);
    parcel_init(self, own_release);
    char *at = (char *)(self + 1);
    for (int i = 0; i < count; i++) {
        if (parts[i].size) {
            memcpy(at, parts[i].data, parts[i].size);
        }
        self->parts[i] = (struct text){at, parts[i].size};
        at += parts[i].size;
    }
    self->part_count = count;
    self->size = size;
    return self;
}

bool parcel_is_own(const struct parcel *self)
{
    return self->release == own_release;
}

struct parcel *parcel_share(struct parcel *self)
{
    self->reference_count++;
    return self;
}

void parcel_drop(struct parcel **self)
{
    struct parcel *parcel = *self;
    *self = NULL;
    if (parcel && --parcel->reference_count == 0) {
        parcel->release(parcel);
    }
}
