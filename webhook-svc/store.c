#include "webhook-svc/store.h"

RECORD_DEFINE(webhook_key, WEBHOOK_KEY_FIELDS)
RECORD_DEFINE(webhook_kept, WEBHOOK_KEPT_FIELDS)
RECORD_DEFINE(delivery_kept, DELIVERY_KEPT_FIELDS)
RECORD_DEFINE(answer_kept, ANSWER_KEPT_FIELDS)

void webhook_store_destroy(struct webhook_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
