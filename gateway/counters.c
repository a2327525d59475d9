#include "gateway/counters.h"

#include <stdio.h>

#include "lib/base/mem.h"

enum { VERB_COUNT = VERB_OTHER + 1, STATUS_COUNT = 32, LABELS_SIZE = 160, UNROUTED = ROUTE_MAX_COUNT };

/* The statuses that are answered; others count as the last one. */
static const int statuses[] = {200, 201, 204, 304, 400, 401, 403, 404, 405, 408, 409, 410, 412,
                               413, 414, 415, 422, 429, 431, 500, 501, 502, 503, 504, 505};

struct counters {
    struct metrics *metrics;
    const struct router *router;
    struct metric *in_flight;
    _Atomic(struct metric *) seconds[ROUTE_MAX_COUNT + 1];
    _Atomic(struct metric *) requests[ROUTE_MAX_COUNT + 1][VERB_COUNT][STATUS_COUNT];
};

_Static_assert(ARRAY_COUNT(statuses) <= STATUS_COUNT, "a place for each status");

struct counters *counters_new(struct metrics *metrics, const struct router *router)
{
    struct counters *self = mem_alloc(sizeof *self);
    self->metrics = metrics;
    self->router = router;
    self->in_flight =
        metrics_get(metrics, METRIC_GAUGE, "zmart_http_requests_in_flight", "", "HTTP requests being answered.");
    return self;
}

void counters_destroy(struct counters **self)
{
    mem_free(*self);
    *self = NULL;
}

struct metric *counters_in_flight(struct counters *self)
{
    return self->in_flight;
}

static const char *path_of(const struct route *route)
{
    return route ? route->path : "other";
}

static struct metric *seconds_of(struct counters *self, const struct route *route, int at)
{
    struct metric *metric = atomic_load_explicit(&self->seconds[at], memory_order_acquire);
    if (!metric) {
        char labels[LABELS_SIZE];
        snprintf(labels, sizeof labels, "route=\"%s\"", path_of(route));
        metric = metrics_get(self->metrics, METRIC_TIME, "zmart_http_request_seconds", labels,
                             "Time from a request's head to the end of its reply.");
        atomic_store_explicit(&self->seconds[at], metric, memory_order_release);
    }
    return metric;
}

static struct metric *requests_of(struct counters *self, const struct route *route, int at, enum verb verb, int status)
{
    size_t slot = 0;
    while (slot + 1 < ARRAY_COUNT(statuses) && statuses[slot] != status) {
        slot++;
    }
    struct metric *metric = atomic_load_explicit(&self->requests[at][verb][slot], memory_order_acquire);
    if (!metric) {
        char labels[LABELS_SIZE];
        snprintf(labels, sizeof labels, "route=\"%s\",method=\"%s\",status=\"%d\"", path_of(route),
                 verb == VERB_OTHER ? "OTHER" : verb_name(verb), statuses[slot]);
        metric = metrics_get(self->metrics, METRIC_COUNTER, "zmart_http_requests_total", labels,
                             "HTTP requests answered, by route, method and status.");
        atomic_store_explicit(&self->requests[at][verb][slot], metric, memory_order_release);
    }
    return metric;
}

void counters_add(struct counters *self, const struct route *route, enum verb verb, int status, int64_t spent_us)
{
    int at = route ? (int)(route - self->router->routes) : UNROUTED;
    metric_add(requests_of(self, route, at, verb, status), 1);
    metric_observe(seconds_of(self, route, at), spent_us);
}
