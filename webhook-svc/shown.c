#include "webhook-svc/shown.h"

void webhook_show(const struct webhook_kept *kept, struct webhook *out)
{
    *out = (struct webhook){.id = kept->id,
                            .url = kept->url,
                            .types = kept->types,
                            .description = kept->description,
                            .active = kept->active,
                            .stopped = kept->stopped,
                            .failures = kept->failures,
                            .quiet_until = kept->quiet_until,
                            .created_at = kept->created_at,
                            .updated_at = kept->updated_at,
                            .version = kept->version};
    if (has(webhook_kept, kept, description)) {
        set_has(webhook, out, description);
    }
    if (has(webhook_kept, kept, stopped)) {
        set_has(webhook, out, stopped);
    }
    if (has(webhook_kept, kept, quiet_until)) {
        set_has(webhook, out, quiet_until);
    }
}

void webhook_open(const struct webhook *shown, struct text secret, struct webhook_opened *out)
{
    *out = (struct webhook_opened){.present = shown->present, /* the fields begin with the same ones */
                                   .id = shown->id,
                                   .url = shown->url,
                                   .types = shown->types,
                                   .description = shown->description,
                                   .active = shown->active,
                                   .stopped = shown->stopped,
                                   .failures = shown->failures,
                                   .quiet_until = shown->quiet_until,
                                   .created_at = shown->created_at,
                                   .updated_at = shown->updated_at,
                                   .version = shown->version,
                                   .secret = secret};
}

_Static_assert((int)webhook_opened_at_version == (int)webhook_at_version, "webhook_opened begins like webhook");

void delivery_show(const struct delivery_kept *kept, struct webhook_delivery *out)
{
    *out = (struct webhook_delivery){.id = kept->id,
                                     .webhook_id = kept->webhook_id,
                                     .event_id = kept->event_id,
                                     .type = kept->type,
                                     .state = kept->state,
                                     .tries = kept->tries,
                                     .next_at = kept->next_at,
                                     .created_at = kept->created_at};
    out->attempts.items = kept->attempts.items;
    out->attempts.count = kept->attempts.count;
    if (has(delivery_kept, kept, next_at)) {
        set_has(webhook_delivery, out, next_at);
    }
}
