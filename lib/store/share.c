#include "lib/store/share.h"

enum err store_share_prepare(const struct store_config *config, const struct mongo_schema *schema, struct env *env,
                             struct fault *fault, struct service_share *out)
{
    struct mongo_pool *pool = NULL;
    char shown[STORE_SHOWN_SIZE];
    switch (store_kind_of(config->store)) {
    case STORE_SQLITE: return ERR_NONE;
    case STORE_MONGO: {
        enum err e = mongo_pool_open(config, schema, env->metrics, fault, &pool);
        if (e == ERR_NONE) {
            *out =
                (struct service_share){.shared = pool, .loops = MONGO_DEFAULT_LOOPS, .all_write = true, .many = true};
        }
        return e;
    }
    case STORE_UNKNOWN: break;
    }
    store_url_show(config->store, shown);
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                     "--store takes sqlite:DIR or mongodb://HOST/DATABASE, not \"%.100s\"", shown);
}

void store_share_forget(void *shared)
{
    struct mongo_pool *pool = shared;
    mongo_pool_destroy(&pool);
}
