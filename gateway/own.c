/* The gateway's own pages. */
#include "gateway/docs.h"
#include "gateway/events.h"
#include "gateway/gateway.h"
#include "gateway/metrics_text.h"
#include "gateway/query.h"

enum { METRICS_BUDGET_MS = 1000, NAMES_COUNT = 3 };

static enum err text_reply(struct exchange *x, int status, const char *media_type, struct text body)
{
    x->reply.status = status;
    x->reply.media_type = media_type;
    x->reply.fixed_body = body;
    return ERR_NONE;
}

static enum err index_handle(struct exchange *x)
{
    x->reply.storable = true;
    return text_reply(x, 200, "application/json",
                      TEXT("{\"name\":\"zmart\",\"version\":\"" ZMART_VERSION
                           "\",\"documentation\":\"/docs\",\"openapi\":\"/openapi.json\",\"asyncapi\":\"/"
                           "asyncapi.json\",\"products\":\"/api/products\","
                           "\"health\":\"/readyz\",\"metrics\":\"/metrics\",\"events\":\"/ws\"}\n"));
}

static enum err readyz_handle(struct exchange *x)
{
    const struct gateway *gateway = x->gateway;
    const struct {
        const char *name;
        bool good;
    } parts[NAMES_COUNT] = {{"bus", bus_client_connected(gateway->client)},
                            {"keys", auth_ready(gateway->auth)},
                            {"accepting", !atomic_load(&gateway->draining)}};
    struct buffer *out = &x->reply.body;
    bool ready = true;
    for (int i = 0; i < NAMES_COUNT; i++) {
        ready = ready && parts[i].good;
    }
    (void)buffer_add_string(out, ready ? "{\"status\":\"ready\"" : "{\"status\":\"not ready\"");
    for (int i = 0; i < NAMES_COUNT; i++) {
        (void)(buffer_add_char(out, ',') && buffer_add_json_string(out, text_of(parts[i].name)) &&
               buffer_add_string(out, parts[i].good ? ":true" : ":false"));
    }
    (void)buffer_add_char(out, '}');
    x->reply.status = ready ? 200 : 503;
    x->reply.media_type = "application/json";
    if (!ready) {
        x->fault.code = ERR_SERVICE_UNAVAILABLE;
        reply_add_field(&x->reply, "Retry-After", TEXT("1"));
        x->reply.close = atomic_load(&gateway->draining);
    }
    return ERR_NONE;
}

/* The broker's and the workers' metrics; none when the bus does not answer at once. */
static void report_get(struct exchange *x, struct metric_report *out)
{
    struct fault fault;
    struct bus_answer answer;
    struct bus_request request = {
        .route = TEXT("mmi.metrics"), .budget_ms = METRICS_BUDGET_MS, .priority = 1, .flags = FRAME_REPEATABLE};
    *out = (struct metric_report){0};
    fault_init(&fault, &x->arena);
    memcpy(request.request_id, x->request_id, ID_SIZE);
    if (bus_client_connected(x->gateway->client) &&
        bus_client_call(x->gateway->client, &request, &x->arena, &fault, &answer) == ERR_NONE) {
        (void)!record_unpack(&metric_report_record, answer.body, &x->arena, &fault, out);
    }
}

static enum err metrics_handle(struct exchange *x)
{
    struct metric_report report;
    report_get(x, &report);
    uint32_t count = report.processes.count + 1;
    struct metric_list *processes = arena_alloc(&x->arena, count * sizeof *processes);
    metrics_list_of(x->gateway->env->metrics, x->gateway->env->instance, &x->arena, &processes[0]);
    if (report.processes.count) {
        memcpy(processes + 1, report.processes.items, report.processes.count * sizeof *processes);
    }
    x->reply.status = 200;
    x->reply.media_type = "text/plain; version=0.0.4; charset=utf-8";
    return metrics_write(processes, count, &x->arena, &x->reply.body) ? ERR_NONE
                                                                      : fault_set(&x->fault, ERR_INTERNAL, NULL);
}

static enum err jwks_handle(struct exchange *x)
{
    if (!auth_ready(x->gateway->auth)) {
        return fault_set(&x->fault, ERR_SERVICE_UNAVAILABLE, "The keys are not known yet.");
    }
    x->reply.status = 200;
    x->reply.media_type = "application/json";
    x->reply.storable = true;
    return auth_add_jwks(x->gateway->auth, &x->reply.body) ? ERR_NONE : fault_set(&x->fault, ERR_INTERNAL, NULL);
}

static enum err docs_handle(struct exchange *x)
{
    x->reply.policy = x->gateway->docs_policy;
    x->reply.storable = true;
    return text_reply(x, 200, "text/html; charset=utf-8", docs_page());
}

/* A request for the WebSocket path that asks for no WebSocket, or not for one of RFC 6455, or for one that would end at
 * once: the gateway is about to stop. */
static enum err plain_ws_handle(struct exchange *x)
{
    struct ws_query query = {0};
    if (x->request.upgrade && atomic_load(&x->gateway->draining)) {
        return fault_set(&x->fault, ERR_SERVICE_UNAVAILABLE, "This gateway stops; connect again.");
    }
    enum err e = query_read(&ws_query_record, x->request.query, 0, &x->arena, &x->fault, &query);
    if (e == ERR_NONE) {
        e = api_authenticate(x);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (!x->signed_in && !has(ws_query, &query, ticket)) {
        return fault_set(&x->fault, ERR_UNAUTHENTICATED, "A WebSocket needs a ticket or an access token.");
    }
    reply_add_field(&x->reply, "Upgrade", TEXT("websocket"));
    reply_add_field(&x->reply, "Sec-WebSocket-Version", TEXT(WS_VERSION));
    return fault_set(&x->fault, ERR_UPGRADE_REQUIRED, NULL);
}

static enum err own_answer(struct exchange *x)
{
    switch (x->route->own) {
    case OWN_INDEX: return index_handle(x);
    case OWN_DOCS: return docs_handle(x);
    case OWN_OPENAPI:
        x->reply.storable = true;
        return text_reply(x, 200, "application/json", buffer_text(&x->gateway->openapi));
    case OWN_ASYNCAPI:
        x->reply.storable = true;
        return text_reply(x, 200, "application/json", buffer_text(&x->gateway->asyncapi));
    case OWN_JWKS: return jwks_handle(x);
    case OWN_LIVEZ: return text_reply(x, 200, "application/json", TEXT("{\"status\":\"alive\"}"));
    case OWN_READYZ: return readyz_handle(x);
    case OWN_METRICS: return metrics_handle(x);
    case OWN_EVENTS: return events_handle(x);
    case OWN_EVENTS_STREAM: return events_stream_handle(x);
    case OWN_WS: return plain_ws_handle(x);
    case OWN_ROUTE_COUNT: break;
    }
    return fault_set(&x->fault, ERR_NOT_FOUND, NULL);
}

enum err own_handle(struct exchange *x)
{
    struct nothing none = {0};
    enum err e = ERR_NONE;
    if (!x->route->request) { /* the others read their parameters themselves */
        e = query_read(&nothing_record, x->request.query, 0, &x->arena, &x->fault, &none);
    }
    return e == ERR_NONE ? own_answer(x) : e;
}
