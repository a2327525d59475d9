#include "gateway/gateway.h"

#include "gateway/asyncapi.h"
#include "gateway/docs.h"
#include "gateway/openapi.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"

CONFIG_DEFINE(gateway_config, GATEWAY_CONFIG)

enum { DOCUMENT_MAX_SIZE = 1024 * 1024, ALLOW_SIZE = 120, MINUTE_MS = 60 * 1000 };

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void gateway_init(struct gateway *self, struct env *env, const struct gateway_config *config, struct bus_client *client,
                  struct auth *auth)
{
    *self = (struct gateway){.env = env, .config = config, .client = client, .auth = auth};
    self->router = router_new();
    self->cors = cors_new(config->cors_origins);
    self->counters = counters_new(env->metrics, self->router);
    ASSERT(forwarded_parse(config->trusted_proxies, &self->forwarded)); /* the program has looked at it */
    self->bad_tokens = config->bad_tokens ? limit_new(config->bad_tokens, MINUTE_MS) : NULL;
    self->rates = config->rate ? limit_new(config->rate, MINUTE_MS) : NULL;
    self->access_log = config->access_log ? access_log_new(env->log) : NULL;
    self->polls = long_polls_new(min_of(config->long_polls, config->workers / 4), env->metrics);
    buffer_init(&self->openapi, DOCUMENT_MAX_SIZE);
    openapi_print(self->router, &self->openapi);
    buffer_init(&self->asyncapi, DOCUMENT_MAX_SIZE);
    asyncapi_print(&self->asyncapi);
    docs_policy(self->docs_policy, sizeof self->docs_policy);
}

void gateway_release(struct gateway *self)
{
    buffer_release(&self->asyncapi);
    buffer_release(&self->openapi);
    long_polls_destroy(&self->polls);
    access_log_destroy(&self->access_log);
    limit_destroy(&self->rates);
    limit_destroy(&self->bad_tokens);
    counters_destroy(&self->counters);
    cors_destroy(&self->cors);
    router_destroy(&self->router);
}

static enum err options_handle(struct exchange *x)
{
    char methods[ALLOW_SIZE];
    if (!router_allowed(x->gateway->router, x->request.path, &x->arena, methods, sizeof methods)) {
        return fault_set(&x->fault, ERR_NOT_FOUND, NULL);
    }
    reply_add_field(&x->reply, "Allow", text_of(methods));
    x->reply.status = 204;
    if (x->request.headers[HEADER_ACCESS_CONTROL_REQUEST_METHOD].data) {
        cors_preflight(x->gateway->cors, x, text_of(methods));
    }
    return ERR_NONE;
}

static enum err routed_handle(struct exchange *x)
{
    if (x->request.verb == VERB_OPTIONS) {
        return options_handle(x);
    }
    enum err e = router_match(x->gateway->router, &x->request, &x->arena, &x->fault, &x->match);
    if (e != ERR_NONE) {
        return e;
    }
    x->route = x->match.route;
    return x->route->is_op ? api_handle(x) : own_handle(x);
}

void gateway_handle(struct exchange *x)
{
    cors_apply(x->gateway->cors, x);
    enum err e = routed_handle(x);
    if (e != ERR_NONE) {
        x->fault.code = e;
        reply_problem(x);
    }
    if (atomic_load_explicit(&x->gateway->draining, memory_order_relaxed)) {
        x->reply.close = true;
    }
}

static void log_request(const struct exchange *x, int64_t spent_us)
{
    enum log_level level = x->reply.status >= 500 ? LOG_WARN : LOG_INFO;
    access_log_add(x->gateway->access_log, x, level,
                   (struct kv[]){KV("event", "http.request"), KV("request_id", x->request_id_text),
                                 KV_TEXT("user", x->signed_in ? x->who.user_id : TEXT("")),
                                 KV("route", x->route ? x->route->path : "other"), KV_TEXT("method", x->request.method),
                                 KV_INT("status", x->reply.status), KV_INT("ms", (spent_us + 500) / 1000),
                                 KV_INT("us", spent_us), KV_INT("bytes", reply_body(x).size),
                                 KV_TEXT("client", x->request.client),
                                 KV("code", x->reply.status >= 400 ? err_info(x->fault.code)->slug : ""),
                                 KV("cause", x->fault.cause), KV_END});
}

void gateway_record(struct exchange *x)
{
    int64_t spent_us = clock_now_us() - x->started_us;
    counters_add(x->gateway->counters, x->route, x->request.verb, x->reply.status, spent_us);
    if (x->gateway->access_log) {
        log_request(x, spent_us);
    }
}
