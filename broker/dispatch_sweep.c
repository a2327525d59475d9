/* What ends without anybody doing anything: requests that wait too long, and all of them when the broker does. */
#include "broker/dispatch.h"

static void service_end_queue(struct broker *self, struct service *service, const struct nack *nack)
{
    static const struct nack lost = {OUTCOME_LOST, "Its worker died, and no other one came.", NULL, 0};
    struct request *request;
    while ((request = queue_first(&service->queue)) != NULL) {
        dispatch_nack(self, request, request->begun ? &lost : nack);
    }
}

static void service_sweep(struct broker *self, struct service *service)
{
    static const struct nack unknown = {OUTCOME_UNKNOWN, "There is no such service.", NULL, 0};
    static const struct nack stale = {OUTCOME_FULL, "It has waited too long.", NULL, RETRY_AFTER_S};
    struct request *request;
    if (!service->known && !dispatch_in_grace(self)) {
        service_end_queue(self, service, &unknown);
        service_remove(&self->services, service);
        return;
    }
    while (service->worker_count &&
           (request = queue_stale(&service->queue, &self->settings.queue, self->now_us)) != NULL) {
        dispatch_nack(self, request, &stale);
    }
    if (service->known) {
        metric_set(service->queue_metric, service->queue.count);
        metric_set(service->workers_metric, service->station_count);
        metric_set(service->in_flight_metric, service->in_flight);
    }
}

void dispatch_sweep(struct broker *self)
{
    struct service *service, *next;
    HASH_ITER(hh, self->services.by_name, service, next)
    {
        service_sweep(self, service);
    }
}

void dispatch_end_all(struct broker *self)
{
    static const struct nack stopped = {OUTCOME_UNAVAILABLE, "This broker is going down.", NULL, RETRY_AFTER_S};
    static const struct nack lost = {OUTCOME_LOST, "The broker went down while a worker had it.", NULL, 0};
    struct service *service, *next;
    HASH_ITER(hh, self->services.by_name, service, next)
    {
        service_end_queue(self, service, &stopped);
    }
    for (uint32_t i = 0; i < self->requests.count; i++) {
        struct request *request = self->requests.slots[i];
        if (request->state == REQUEST_SENT) {
            dispatch_nack(self, request, &lost);
        }
    }
}
