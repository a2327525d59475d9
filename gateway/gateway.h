/* What all requests share, and the way of one request through it. */
#ifndef ZMART_GATEWAY_GATEWAY_H
#define ZMART_GATEWAY_GATEWAY_H

#include <stdatomic.h>

#include "gateway/access_log.h"
#include "gateway/auth.h"
#include "gateway/cors.h"
#include "gateway/counters.h"
#include "gateway/exchange.h"
#include "gateway/forwarded.h"
#include "gateway/limit.h"
#include "gateway/long_poll.h"
#include "gateway/router.h"
#include "lib/base/config.h"
#include "lib/base/process.h"
#include "lib/bus/client.h"

#define GATEWAY_CONFIG(X)                                                                                              \
    X(STRING, host, "host", "127.0.0.1", 1, 200, "IPv4 address or name to listen on; 0.0.0.0 for all")                 \
    X(NUMBER, port, "port", "8080", 0, 65535, "port to listen on; 0 takes a free one")                                 \
    X(NUMBER, workers, "workers", "256", 4, 4096,                                                                      \
      "connections served at a time; three quarters of them may wait for services")                                    \
    X(NUMBER, queue, "connection-queue", "1024", 1, 16384, \
      "connections that wait for a free worker; more wait in the kernel") \
    X(NUMBER, client_connections, "client-connections", "0", 0, 100000, \
      "connections of one address at a time; 0: no limit") \
    X(NUMBER, keep_alive_ms, "keep-alive-ms", "5000", 100, 600000, "how long a connection without a request is kept") \
    X(NUMBER, arrival_ms, "arrival-ms", "10000", 200, 600000, "how long a request may take to arrive whole") \
    X(NUMBER, body_size, "body-size", "1048576", 1024, 3145728, \
      "bytes of a request's body; a larger one is answered 413") \
    X(NUMBER, drain_ms, "drain-ms", "0", 0, 25000, "when stopping, how long /readyz says 503 before connections end") \
    X(STRING, cors_origins, "cors-origins", "", 0, 4000,                                                               \
      "web origins whose pages may call, separated by commas; * for all; none by default")                             \
    X(STRING, trusted_proxies, "trusted-proxies", "", 0, 1000,                                                         \
      "IPv4 addresses and networks of proxies in front, by commas, 16 at most: their X-Forwarded-For says who asks")               \
    X(NUMBER, bad_tokens, "bad-tokens", "600", 0, 1000000, "bad access tokens a minute from one address; 0: no limit") \
    X(NUMBER, rate, "rate-limit", "0", 0, 1000000, "requests a minute of one account or address; 0: no limit")         \
    X(NUMBER, long_polls, "long-polls", "64", 0, 4096,                                                                 \
      "requests that wait for events at a time, a quarter of the workers at most; others are answered at once")        \
    X(NUMBER, tokens, "token-cache", "16384", 64, 4194304, "verified access tokens that are remembered")               \
    X(NUMBER, auth_refresh_s, "auth-refresh-s", "60", 1, 3600, \
      "how often signing keys and ended sessions are asked for again") \
    X(NUMBER, silence_ms, "silence-ms", "3000", 100, 600000, \
      "without a beacon of the event stream for this long, user-svc is asked about every token") \
    X(SWITCH, access_log, "access-log", "yes", 0, 0, "one log line for each request")
CONFIG_DECLARE(gateway_config, GATEWAY_CONFIG);

struct live;

struct gateway {
    struct env *env; /* borrowed, as all up to router */
    _Atomic(struct live *) live; /* NULL until it is there, shortly after the first request may come */
    const struct gateway_config *config;
    struct bus_client *client;
    struct auth *auth;
    struct router *router; /* owned, as all below */
    struct cors *cors;
    struct forwarded forwarded;
    struct counters *counters;
    struct limit *bad_tokens;      /* NULL: no limit */
    struct limit *rates;           /* NULL: no limit */
    struct access_log *access_log; /* NULL: not wanted */
    struct long_polls *polls;
    struct buffer openapi, asyncapi; /* printed at start */
    char docs_policy[256];         /* Content-Security-Policy of the page of /docs */
    atomic_bool draining;
};

void gateway_init(struct gateway *self, struct env *env, const struct gateway_config *config, struct bus_client *client,
                  struct auth *auth);
void gateway_release(struct gateway *self);

/* Answers exchange->request, which the guard has passed: fills exchange->reply. Any thread. */
void gateway_handle(struct exchange *exchange);
/* One log line and the metrics, after the reply was sent. */
void gateway_record(struct exchange *exchange);

/* An operation of a service. NONE: the reply is filled; else the fault is. */
MUST_USE enum err api_handle(struct exchange *exchange);
/* Who asks, by the Authorization field: signed_in and who, or nobody without the field; UNAUTHENTICATED for a bad
 * token. */
MUST_USE enum err api_authenticate(struct exchange *exchange);
/* The same, then whether this role may call, and --rate-limit. */
MUST_USE enum err api_admit(struct exchange *exchange, enum op_role role);
/* One of the gateway's own pages; the same. */
MUST_USE enum err own_handle(struct exchange *exchange);

#endif
