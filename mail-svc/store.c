#include "mail-svc/store.h"

RECORD_DEFINE(mail, MAIL_FIELDS)

void mail_store_destroy(struct mail_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
