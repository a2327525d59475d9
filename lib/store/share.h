/* For service.prepare and service.forget: what the loops of a program share of their store. */
#ifndef ZMART_STORE_SHARE_H
#define ZMART_STORE_SHARE_H

#include "lib/bus/service.h"
#include "lib/store/mongo.h"

/* SQLite: nothing, one loop writes. MongoDB: the pool (what service_shared gives is a struct mongo_pool *), every loop
 * writes. The fault's detail is one line for whoever starts the program. */
MUST_USE enum err store_share_prepare(const struct store_config *config, const struct mongo_schema *schema,
                                      struct env *env, struct fault *fault, struct service_share *out);
void store_share_forget(void *shared);

#endif
