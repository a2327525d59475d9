#include "broker/access.h"

#include <stdio.h>

static enum key_plane plane_of(enum plane plane)
{
    return plane == PLANE_WORKERS ? KEY_AT_WORKERS : KEY_AT_CLIENTS;
}

bool access_is_same(const struct broker *self, const struct peer *peer)
{
    return strcmp(peer->key, self->speaker ? self->speaker->key : "") == 0;
}

bool access_greet(struct broker *self, enum plane plane, const struct hello *hello, char detail[ACCESS_DETAIL_SIZE])
{
    const struct key_grant *speaker = self->speaker;
    if (!speaker) {
        return true;
    }
    bool allowed = key_may_greet(speaker, plane_of(plane), hello->role);
    if (!allowed) {
        snprintf(detail, ACCESS_DETAIL_SIZE, "The key %s has the role %s: it may not come as %.*s.", speaker->name,
                 key_role_name(speaker->role), TEXT_ARG(hello->role));
    }
    for (uint32_t i = 0; allowed && i < hello->services.count; i++) {
        struct text service = hello->services.items[i].name;
        allowed = key_may_serve(speaker, service);
        if (!allowed) {
            snprintf(detail, ACCESS_DETAIL_SIZE, "The key %s may not serve %.*s.", speaker->name, TEXT_ARG(service));
        }
    }
    metric_add(self->meters.denied_hellos, !allowed);
    return allowed;
}

bool access_call(struct broker *self, struct text service, struct text operation, char detail[ACCESS_DETAIL_SIZE])
{
    const struct key_grant *speaker = self->speaker;
    if (!speaker || key_may_call(speaker, service, operation)) {
        return true;
    }
    int service_size = service.size < 40 ? (int)service.size : 40;
    int operation_size = operation.size < 40 ? (int)operation.size : 40;
    snprintf(detail, ACCESS_DETAIL_SIZE, "The key %s may not call %.*s.%.*s.", speaker->name, service_size,
             service.data, operation_size, operation.data);
    metric_add(self->meters.denied_requests, 1);
    return false;
}

bool access_holds(const struct peer *peer, const struct key_grants *grants)
{
    const struct key_grant *grant;
    if (!peer->key[0]) {
        return true;
    }
    grant = key_grants_find(grants, text_of(peer->key));
    if (!grant || !key_may_greet(grant, plane_of(peer->plane), text_of(peer->role))) {
        return false;
    }
    for (int i = 0; i < peer->station_count; i++) {
        if (!key_may_serve(grant, text_of(peer->stations[i].service->name))) {
            return false;
        }
    }
    return true;
}
