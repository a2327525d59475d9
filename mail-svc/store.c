#include "mail-svc/store.h"

RECORD_DEFINE(mail, MAIL_FIELDS)

enum err mail_store_open(const struct store_config *config, bool writer, int64_t now_ms, struct metrics *metrics,
                         struct fault *fault, struct mail_store **out)
{
    return mail_store_sqlite_open(config, writer, now_ms, metrics, fault, out);
}

void mail_store_destroy(struct mail_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
