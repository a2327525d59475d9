#include "gateway/router.h"

#include "gateway/guard.h"
#include "lib/base/invariant.h"

const char *verb_name(enum verb verb)
{
    static const char *const names[] = {
        [VERB_GET] = "GET",       [VERB_HEAD] = "HEAD",       [VERB_POST] = "POST", [VERB_PUT] = "PUT",
        [VERB_DELETE] = "DELETE", [VERB_OPTIONS] = "OPTIONS", [VERB_OTHER] = "-"};
    return names[verb];
}

static enum verb verb_of_method(enum http_method method)
{
    switch (method) {
    case HTTP_GET: return VERB_GET;
    case HTTP_POST: return VERB_POST;
    case HTTP_PUT: return VERB_PUT;
    case HTTP_DELETE: return VERB_DELETE;
    case HTTP_NONE: return VERB_OTHER;
    }
    return VERB_OTHER;
}

/* ---- making the table ---- */

static void segments_make(struct route *route, const struct record *request)
{
    struct text rest = text_of(route->path + 1);
    struct text segment;
    while (text_cut(&rest, '/', &segment)) {
        ASSERT(route->segment_count < ROUTE_MAX_SEGMENTS);
        struct route_segment *made = &route->segments[route->segment_count++];
        if (segment.size > 2 && segment.data[0] == '{') {
            made->field = record_field(request, (struct text){segment.data + 1, segment.size - 2});
            ASSERT(made->field && made->field->kind == FIELD_TEXT);
            route->preset |= UINT64_C(1) << (made->field - request->fields);
        } else {
            made->literal = segment;
        }
    }
}

static void ops_add(struct router *self)
{
    for (int op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = op_info((enum op)op);
        if (info->method != HTTP_NONE) {
            struct route *route = &self->routes[self->route_count++];
            *route = (struct route){.verb = verb_of_method(info->method),
                                    .path = info->path,
                                    .is_op = true,
                                    .op = (enum op)op,
                                    .location = -1};
            segments_make(route, info->request);
        }
    }
}

static void own_add(struct router *self)
{
    static const struct {
        const char *path, *prose;
    } own[] = {
#define OWN_ROUTE_ROW(name, path, prose) [name] = {path, prose},
        OWN_ROUTES(OWN_ROUTE_ROW)
#undef OWN_ROUTE_ROW
    };
    static const struct {
        enum op_role role;
        const struct record *request, *reply;
    } more[OWN_ROUTE_COUNT] = {[OWN_EVENTS] = {OP_SIGNED_IN, &event_query_record, &event_list_record},
                               [OWN_EVENTS_STREAM] = {OP_SIGNED_IN, &event_stream_query_record, &event_view_record},
                               [OWN_WS] = {OP_SIGNED_IN, &ws_query_record, NULL}};
    for (int i = 0; i < OWN_ROUTE_COUNT; i++) {
        struct route *route = &self->routes[self->route_count++];
        *route = (struct route){.verb = VERB_GET,
                                .path = own[i].path,
                                .prose = own[i].prose,
                                .own = (enum own_route)i,
                                .role = more[i].role,
                                .request = more[i].request,
                                .reply = more[i].reply,
                                .location = -1};
        segments_make(route, NULL);
    }
}

/* What POST /api/products creates is found at GET /api/products/{id}. */
static void locations_find(struct router *self)
{
    for (int i = 0; i < self->route_count; i++) {
        struct route *made = &self->routes[i];
        for (int j = 0; made->is_op && made->verb == VERB_POST && j < self->route_count; j++) {
            const struct route *found = &self->routes[j];
            size_t size = strlen(made->path);
            if (found->verb == VERB_GET && strncmp(found->path, made->path, size) == 0 &&
                strcmp(found->path + size, "/{id}") == 0) {
                made->location = j;
            }
        }
    }
}

struct router *router_new(void)
{
    struct router *self = mem_alloc(sizeof *self);
    ops_add(self);
    own_add(self);
    locations_find(self);
    return self;
}

void router_destroy(struct router **self)
{
    mem_free(*self);
    *self = NULL;
}

/* ---- matching ---- */

struct segments {
    struct text list[ROUTE_MAX_SEGMENTS];
    uint32_t count;
};

/* Cuts first, decodes each segment once. False for more segments than any route has. */
static bool path_split(struct text path, struct arena *arena, struct segments *out)
{
    struct text rest = {path.data + 1, path.size - 1};
    struct text segment;
    out->count = 0;
    while (text_cut(&rest, '/', &segment)) {
        if (out->count == ROUTE_MAX_SEGMENTS) {
            return false;
        }
        if (segment.size && memchr(segment.data, '%', segment.size)) {
            char *room = arena_alloc(arena, segment.size);
            if (!percent_decode(segment, false, room, &segment)) {
                return false;
            }
        }
        out->list[out->count++] = segment;
    }
    return true;
}

static bool route_fits(const struct route *route, const struct segments *segments)
{
    if (route->segment_count != segments->count) {
        return false;
    }
    for (uint32_t i = 0; i < segments->count; i++) {
        const struct route_segment *segment = &route->segments[i];
        if (!segment->field && !text_equal(segment->literal, segments->list[i])) {
            return false;
        }
    }
    return true;
}

static enum err not_allowed(const struct router *self, const struct segments *segments, struct fault *fault)
{
    enum err e = fault_set(fault, ERR_METHOD_NOT_ALLOWED, NULL);
    for (int i = 0; i < self->route_count; i++) {
        if (route_fits(&self->routes[i], segments)) {
            fault_allow(fault, verb_name(self->routes[i].verb));
            if (self->routes[i].verb == VERB_GET) {
                fault_allow(fault, "HEAD");
            }
        }
    }
    fault_allow(fault, "OPTIONS");
    return e;
}

enum err router_match(const struct router *self, const struct http_request *request, struct arena *arena,
                      struct fault *fault, struct route_match *out)
{
    struct segments segments;
    enum verb verb = request->verb == VERB_HEAD ? VERB_GET : request->verb;
    bool known = false;
    if (!path_split(request->path, arena, &segments)) {
        return fault_set(fault, ERR_NOT_FOUND, NULL);
    }
    for (int i = 0; i < self->route_count; i++) {
        if (!route_fits(&self->routes[i], &segments)) {
            continue;
        }
        known = true;
        if (self->routes[i].verb == verb) {
            out->route = &self->routes[i];
            memcpy(out->params, segments.list, segments.count * sizeof *out->params);
            return ERR_NONE;
        }
    }
    return known ? not_allowed(self, &segments, fault) : fault_set(fault, ERR_NOT_FOUND, NULL);
}

enum err router_refuse(const struct router *self, struct text path, struct arena *arena, struct fault *fault)
{
    struct segments segments;
    bool known = false;
    if (path_split(path, arena, &segments)) {
        for (int i = 0; i < self->route_count; i++) {
            known = known || route_fits(&self->routes[i], &segments);
        }
    }
    return known ? not_allowed(self, &segments, fault) : fault_set(fault, ERR_NOT_FOUND, NULL);
}

bool router_allowed(const struct router *self, struct text path, struct arena *arena, char *out, size_t size)
{
    struct segments segments;
    bool known = false;
    if (!path_split(path, arena, &segments)) {
        return false;
    }
    AUTO(buffer_release) struct buffer list;
    buffer_init(&list, size - 1);
    for (int i = 0; i < self->route_count; i++) {
        if (route_fits(&self->routes[i], &segments)) {
            known = true;
            (void)buffer_printf(&list, "%s%s, ", verb_name(self->routes[i].verb),
                                self->routes[i].verb == VERB_GET ? ", HEAD" : "");
        }
    }
    (void)buffer_add_string(&list, "OPTIONS");
    return known && text_to_string(buffer_text(&list), out, size);
}

/* ---- listing ---- */

static const char *role_name(enum op_role role)
{
    static const char *const names[] = {
        [OP_ANYONE] = "anyone", [OP_SIGNED_IN] = "signed in", [OP_ADMIN] = "admin", [OP_SERVICES] = "services"};
    return names[role];
}

void router_print(const struct router *self, FILE *to)
{
    for (int i = 0; i < self->route_count; i++) {
        const struct route *route = &self->routes[i];
        const struct op_info *info = route->is_op ? op_info(route->op) : NULL;
        fprintf(to, "%-7s %-26s %-16s %s\n", verb_name(route->verb), route->path, info ? info->route : "-",
                role_name(info ? info->role : route->role));
    }
}
