/* From method and path to what answers: one table, made of the operations (proto/ops) and of the gateway's own pages.
 */
#ifndef ZMART_GATEWAY_ROUTER_H
#define ZMART_GATEWAY_ROUTER_H

#include <stdio.h>

#include "gateway/request.h"
#include "lib/base/mem.h"
#include "proto/fault.h"
#include "proto/ops.h"

/* What the gateway answers itself, without an operation. name, path, what it is */
#define OWN_ROUTES(X)                                                                                                  \
    X(OWN_INDEX, "/", "where to find what")                                                                            \
    X(OWN_DOCS, "/docs", "this interface as a page")                                                                   \
    X(OWN_OPENAPI, "/openapi.json", "this interface as OpenAPI 3.1")                                                   \
    X(OWN_ASYNCAPI, "/asyncapi.json", "the event stream as AsyncAPI 3.0")                                              \
    X(OWN_JWKS, "/.well-known/jwks.json", "public keys of the access tokens (RFC 7517)")                               \
    X(OWN_LIVEZ, "/livez", "200 while the process runs")                                                               \
    X(OWN_READYZ, "/readyz", "200 while requests can be answered, else 503")                                           \
    X(OWN_METRICS, "/metrics", "Prometheus text")                                                                      \
    X(OWN_EVENTS, "/api/events", "events, oldest first; with wait the answer is held until there is one")              \
    X(OWN_EVENTS_STREAM, "/api/events/stream",                                                                         \
      "events as Server-Sent Events: all since Last-Event-ID, then live; id is the seq")                               \
    X(OWN_WS, "/ws", "WebSocket of events: orders at first, then what is asked for")

enum own_route {
#define OWN_ROUTE_ENUM(name, path, prose) name,
    OWN_ROUTES(OWN_ROUTE_ENUM)
#undef OWN_ROUTE_ENUM
        OWN_ROUTE_COUNT
};

enum { ROUTE_MAX_COUNT = OP_COUNT + OWN_ROUTE_COUNT, ROUTE_MAX_SEGMENTS = 8 };

struct route_segment {
    struct text literal;       /* empty for a parameter */
    const struct field *field; /* the request's field that a parameter fills */
};

struct route {
    enum verb verb;
    const char *path; /* template */
    bool is_op;
    enum op op;         /* is_op */
    enum own_route own; /* else */
    const char *prose;  /* own routes, as the three below */
    enum op_role role;
    const struct record *request; /* of the query; NULL: there are no parameters */
    const struct record *reply;   /* NULL: not by table */
    struct route_segment segments[ROUTE_MAX_SEGMENTS];
    uint32_t segment_count;
    uint64_t preset; /* bits of the request's fields that the path fills */
    int location;    /* creating op: index of the GET route of what it creates; else -1 */
};

struct router {
    struct route routes[ROUTE_MAX_COUNT];
    int route_count;
};

struct route_match {
    const struct route *route;
    struct text params[ROUTE_MAX_SEGMENTS]; /* by segment; decoded, in the arena */
};

/* Never NULL; a table that cannot be routed is a broken invariant. */
struct router *router_new(void);
void router_destroy(struct router **self);

/* HEAD is matched as GET. NOT_FOUND; METHOD_NOT_ALLOWED (with the path's methods in fault->allowed). */
MUST_USE enum err router_match(const struct router *self, const struct http_request *request, struct arena *arena,
                               struct fault *fault, struct route_match *out);
/* Why a method that no path has is refused at this one: METHOD_NOT_ALLOWED as above, or NOT_FOUND. */
MUST_USE enum err router_refuse(const struct router *self, struct text path, struct arena *arena, struct fault *fault);
/* The methods of the path, "GET, HEAD, OPTIONS, PUT"; false for a path that is not ours. */
MUST_USE bool router_allowed(const struct router *self, struct text path, struct arena *arena, char *out, size_t size);
/* One line a route: method, path, operation or "-", who may call it. */
void router_print(const struct router *self, FILE *to);
const char *verb_name(enum verb verb);

#endif
