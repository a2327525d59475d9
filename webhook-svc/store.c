#include "webhook-svc/store.h"

RECORD_DEFINE(webhook_key, WEBHOOK_KEY_FIELDS)
RECORD_DEFINE(webhook_kept, WEBHOOK_KEPT_FIELDS)
RECORD_DEFINE(delivery_kept, DELIVERY_KEPT_FIELDS)

enum err webhook_store_open(const struct store_config *config, bool writer, struct metrics *metrics, struct fault *fault,
                            struct webhook_store **out)
{
    return webhook_store_sqlite_open(config, writer, metrics, fault, out);
}

void webhook_store_destroy(struct webhook_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
