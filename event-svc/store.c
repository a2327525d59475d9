#include "event-svc/store_parts.h"

enum err event_store_open(const struct store_config *config, struct mongo_pool *pool, bool writer, int64_t epoch,
                          struct metrics *metrics, struct fault *fault, struct event_store **out)
{
    if (pool) {
        return event_store_open_mongo(pool, writer, epoch, fault, out);
    }
    return event_store_open_sqlite(config, writer, epoch, metrics, fault, out);
}

void event_store_destroy(struct event_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
