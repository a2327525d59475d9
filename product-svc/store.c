#include "product-svc/store.h"

#include "product-svc/store_sqlite.h"

enum err product_store_open(const struct store_config *config, bool writer, struct metrics *metrics,
                            struct fault *fault, struct product_store **out)
{
    struct text scheme;
    struct text rest = text_of(config->store);
    if (text_cut(&rest, ':', &scheme) && text_is(scheme, "sqlite")) {
        return product_sqlite_open(config, writer, metrics, fault, out);
    }
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "--store takes sqlite:DIR, not \"%.200s\"", config->store);
}

void product_store_destroy(struct product_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
