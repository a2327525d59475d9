#include "broker/services.h"

#include "lib/base/invariant.h"
#include "proto/mmi.h"

struct service *service_find(const struct services *self, struct text name)
{
    struct service *found = NULL;
    HASH_FIND(hh, self->by_name, name.data, name.size, found);
    return found;
}

struct service *service_add(struct services *self, struct text name)
{
    if (HASH_COUNT(self->by_name) >= MMI_MAX_SERVICES || name.size >= SERVICE_NAME_SIZE) {
        return NULL;
    }
    struct service *service = mem_alloc(sizeof *service);
    memcpy(service->name, name.data, name.size);
    HASH_ADD(hh, self->by_name, name, name.size, service);
    return service;
}

void service_remove(struct services *self, struct service *service)
{
    ASSERT(service->queue.count == 0 && service->in_flight == 0 && service->worker_count == 0);
    HASH_DEL(self->by_name, service);
    mem_free(service->heap);
    mem_free(service);
}

bool services_forget_one(struct services *self)
{
    for (struct service *service = self->by_name; service; service = service->hh.next) {
        if (service->worker_count == 0 && service->queue.count == 0) {
            service_remove(self, service);
            return true;
        }
    }
    return false;
}

const char *service_nearest(const struct services *self, struct text name)
{
    const char *nearest = NULL;
    if (name.size >= SERVICE_NAME_SIZE) {
        return NULL;
    }
    uint32_t least = name.size / 2 + 1;
    for (const struct service *service = self->by_name; service; service = service->hh.next) {
        uint32_t far = service->known ? text_distance(name, text_of(service->name)) : least;
        if (far < least) {
            least = far;
            nearest = service->name;
        }
    }
    return nearest;
}

/* ---- stations ---- */

uint32_t station_free_credit(const struct station *station)
{
    return station->credit > station->in_flight ? station->credit - station->in_flight : 0;
}

static bool goes_before(const struct station *a, const struct station *b)
{
    uint32_t a_free = station_free_credit(a), b_free = station_free_credit(b);
    return a_free != b_free ? a_free > b_free : a->used < b->used;
}

static void heap_put(struct service *service, uint32_t at, struct station *station)
{
    service->heap[at] = station;
    station->heap_at = at + 1;
}

/* Moves the station at this place to where it belongs. */
static void heap_settle(struct service *service, uint32_t at)
{
    struct station *station = service->heap[at];
    while (at > 0 && goes_before(station, service->heap[(at - 1) / 2])) {
        heap_put(service, at, service->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < service->station_count && goes_before(service->heap[child + 1], service->heap[child])) {
            child++;
        }
        if (child >= service->station_count || !goes_before(service->heap[child], station)) {
            break;
        }
        heap_put(service, at, service->heap[child]);
        at = child;
    }
    heap_put(service, at, station);
}

void station_open(struct station *station)
{
    struct service *service = station->service;
    ASSERT(station->heap_at == 0);
    if (service->station_count == service->heap_capacity) {
        service->heap_capacity = service->heap_capacity ? 2 * service->heap_capacity : 4;
        service->heap = mem_grow(service->heap, service->heap_capacity * sizeof(struct station *));
    }
    heap_put(service, service->station_count++, station);
    heap_settle(service, service->station_count - 1);
}

void station_close(struct station *station)
{
    struct service *service = station->service;
    if (station->heap_at == 0) {
        return;
    }
    uint32_t at = station->heap_at - 1;
    struct station *last = service->heap[--service->station_count];
    station->heap_at = 0;
    if (last != station) {
        heap_put(service, at, last);
        heap_settle(service, at);
    }
}

struct station *service_station(const struct service *service)
{
    struct station *top = service->station_count ? service->heap[0] : NULL;
    return top && station_free_credit(top) ? top : NULL;
}

static void station_settle(struct station *station)
{
    if (station->heap_at) {
        heap_settle(station->service, station->heap_at - 1);
    }
}

void station_begin(struct station *station, struct request *request)
{
    DL_APPEND(station->requests, request);
    request->station = station;
    station->in_flight++;
    station->service->in_flight++;
    station->used = ++station->service->next_use;
    station_settle(station);
}

void station_end(struct station *station, struct request *request)
{
    ASSERT(station->in_flight > 0 && request->station == station);
    DL_DELETE(station->requests, request);
    request->station = NULL;
    station->in_flight--;
    station->service->in_flight--;
    station_settle(station);
}

void station_set_credit(struct station *station, uint32_t credit)
{
    station->credit = credit;
    station_settle(station);
}
