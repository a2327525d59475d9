/* Operations: one line each in ops/<service>.def makes the gateway's route, the access check, the bus name, the
 * worker's dispatch entry, the OpenAPI path and the route listing. */
#ifndef ZMART_PROTO_OPS_H
#define ZMART_PROTO_OPS_H

#include "proto/event.h"
#include "proto/frame.h"
#include "proto/letter.h"
#include "proto/order.h"
#include "proto/product.h"
#include "proto/user.h"
#include "proto/webhook.h"

enum op {
#define OP(service, name, method, path, role, key, access, priority, budget_ms, request, reply, status) \
    OP_##service##_##name,
#include "proto/ops/all.def"
    OP_COUNT
};

enum http_method { HTTP_NONE, HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE };
enum op_role { OP_ANYONE, OP_SIGNED_IN, OP_ADMIN, OP_SERVICES };
enum op_access { OP_READ, OP_WRITE };

struct op_info {
    const char *service;       /* "product" */
    const char *name;          /* "create" */
    const char *route;         /* "product.create": its name on the bus */
    enum http_method method;   /* HTTP_NONE: not reachable over HTTP */
    const char *path;          /* "/api/products/{id}"; each {name} is a field of the request */
    enum op_role role;
    bool keyed;                /* Idempotency-Key is honoured */
    enum op_access access;     /* OP_READ changes nothing */
    uint8_t priority;          /* 0 is shed first; 3: services only, never shed */
    uint32_t budget_ms;
    const struct record *request;
    const struct record *reply; /* nothing_record: no body */
    int status;                /* of success */
};

const struct op_info *op_info(enum op op);
/* By bus name; false if there is none. */
MUST_USE bool op_find(struct text route, enum op *out);
const char *http_method_name(enum http_method method);
/* True if the request has a SECRET field at any depth. */
bool op_is_secret(enum op op);

#endif
