#include "product-svc/store.h"

#include "product-svc/store_mongo.h"
#include "product-svc/store_sqlite.h"

enum err product_store_open(const struct store_config *config, const struct product_access *access,
                            struct fault *fault, struct product_store **out)
{
    switch (store_kind_of(config->store)) {
    case STORE_SQLITE: return product_sqlite_open(config, access->writer, access->metrics, fault, out);
    case STORE_MONGO: return product_mongo_open(config, access->shared, access->metrics, fault, out);
    case STORE_UNKNOWN: break;
    }
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                     "--store takes sqlite:DIR or mongodb://HOST/DATABASE, not \"%.200s\"", config->store);
}

void product_store_destroy(struct product_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
