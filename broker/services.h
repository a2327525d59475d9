/* Services by name, and at each of them its stations: one a worker that serves it, the one with the most free
 * credit on top of a heap (among equals, the one that was used least recently). */
#ifndef ZMART_BROKER_SERVICES_H
#define ZMART_BROKER_SERVICES_H

#include "broker/queue.h"
#include "lib/base/metrics.h"

enum { SERVICE_NAME_SIZE = 41 };

struct station {
    struct peer *worker;
    struct service *service;
    uint32_t credit;          /* requests at a time */
    uint32_t in_flight;       /* requests that the worker has, those ended for their client too */
    uint64_t used;            /* when it was last given something: service->next_use */
    uint32_t heap_at;         /* index + 1; 0: not in the heap, takes nothing */
    struct request *requests; /* SENT and ENDED */
};

struct service {
    char name[SERVICE_NAME_SIZE];
    struct queue queue;
    struct station **heap; /* those that take requests */
    uint32_t station_count, heap_capacity;
    uint32_t worker_count; /* with those that drain */
    uint32_t in_flight;
    uint64_t next_use;
    int64_t seen_us; /* when a worker was there last */
    bool known;      /* a worker has served it at some time */
    struct metric *queue_metric, *workers_metric, *in_flight_metric;
    UT_hash_handle hh;
};

struct services {
    struct service *by_name;
};

struct service *service_find(const struct services *self, struct text name);
/* NULL when there are MMI_MAX_SERVICES already, or the name is too long. */
struct service *service_add(struct services *self, struct text name);
/* Makes room for another service by forgetting one that has no worker and nothing to do; false if there is none. */
bool services_forget_one(struct services *self);
/* Nothing may wait for it or be at work. */
void service_remove(struct services *self, struct service *service);
/* The name most like this one; NULL if none is near. */
const char *service_nearest(const struct services *self, struct text name);

/* Puts a station up for requests, or takes it away. */
void station_open(struct station *station);
void station_close(struct station *station);
uint32_t station_free_credit(const struct station *station);
/* The one to use next; NULL if none has credit. */
struct station *service_station(const struct service *service);
/* Counts a request in or out, or a changed credit, and finds the station's place again. */
void station_begin(struct station *station, struct request *request);
void station_end(struct station *station, struct request *request);
void station_set_credit(struct station *station, uint32_t credit);

#endif
