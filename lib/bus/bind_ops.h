/* Binds a service's table of operations to its handlers. In handlers.c:
 *
 *     #define BIND_OPS "proto/ops/product.def"
 *     #include "lib/bus/bind_ops.h"
 *
 * declares `static enum err product_get(struct call *, const struct product_ref *, struct product *);` for every line
 * (a handler that is missing does not build), typed thunks, and `bound_ops`, the table for struct service. */
#define OP(service, name, method, path, role, key, access, priority, budget_ms, request, reply, status)  \
    static enum err service##_##name(struct call *call, const struct request *in, struct reply *out);    \
    static enum err service##_##name##_thunk(struct call *call, const void *in, void *out)               \
    {                                                                                                    \
        return service##_##name(call, in, out);                                                          \
    }
#include BIND_OPS
#undef OP

static const struct op_handler bound_ops[] = {
#define OP(service, name, method, path, role, key, access, priority, budget_ms, request, reply, status) \
    {OP_##service##_##name, service##_##name##_thunk},
#include BIND_OPS
#undef OP
};
