/* The calling side of the bus. One I/O thread owns all sockets (one DEALER a broker, IMMEDIATE, LINGER 0) and does
 * HELLO, PING, retry and failover; any thread may call. A call takes a slot (mutex, condition on the monotonic clock,
 * generation); with all slots taken it is refused at once with SERVICE_UNAVAILABLE and retry_after_s.
 *
 * A call ends in a reply, in a problem, or at its deadline with EXPIRED; a late reply finds another generation
 * in the slot and is only counted. A broker that is silent for 3.5 heartbeats gets nothing more; what it had is sent
 * again through another (same request id, attempt + 1), and without one it is kept while its budget lasts.
 *
 * With settings->calls what is sent again keeps to a share of all calls (it waits for its turn within its budget), what
 * a broker has refused before it was begun is sent once more when the broker said it may be, and calls to a service
 * that has not answered for a while are refused at once (SERVICE_UNAVAILABLE with retry_after_s), except what services
 * ask for. */
#ifndef ZMART_BUS_CLIENT_H
#define ZMART_BUS_CLIENT_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "proto/fault.h"
#include "proto/ops.h"

/* How a client keeps from making trouble worse. */
#define CALLS_CONFIG(X)                                                                                                \
    X(NUMBER, retry_percent, "retry-percent", "10", 0, 100, \
      "requests that may be sent again, in percent of those that are sent; 0: no limit") \
    X(NUMBER, retry_floor, "retry-floor", "20", 1, 10000, \
      "requests that may be sent again each second, whatever the traffic") \
    X(NUMBER, breaker_percent, "breaker-percent", "50", 0, 100, \
      "when so many of the calls to a service get no answer, it is called no more for a while; 0: never") \
    X(NUMBER, breaker_window_ms, "breaker-window-ms", "10000", 100, 600000, \
      "what that is judged by: the calls within this time") \
    X(NUMBER, breaker_calls, "breaker-calls", "20", 1, 1000000, "so many calls there must have been in it") \
    X(NUMBER, breaker_patience_ms, "breaker-patience-ms", "5000", 1, 600000, "and so long it must have been that bad") \
    X(NUMBER, breaker_open_ms, "breaker-open-ms", "2000", 10, 600000, \
      "how long the service is not called then; after it a few calls are let through to see")
CONFIG_DECLARE(calls_config, CALLS_CONFIG);

struct bus_client;

struct bus_client_settings {
    const struct bus_config *bus;     /* borrowed for the client's life */
    const char *role;                 /* "gateway", "service", "operator" */
    int slot_count;                   /* calls in flight at a time, 1..65536 */
    const struct calls_config *calls; /* retry budget and circuit breakers; NULL: neither */
};

struct bus_request {
    struct text route; /* "product.get", "product.reserve#prd_...", "mmi.metrics" */
    uint8_t request_id[ID_SIZE];
    struct text meta;   /* packed call_meta */
    struct text body;   /* packed request record; at most FRAME_MAX_BODY */
    uint32_t budget_ms; /* 1..600,000 */
    uint8_t priority;
    uint8_t flags; /* frame_flags */
};

struct bus_answer {
    int status;        /* HTTP status; errors come as a fault instead */
    struct text meta;  /* packed reply_meta; in the caller's arena */
    struct text body;  /* packed reply record; in the caller's arena */
    uint32_t queue_us; /* waited in the broker */
    uint8_t attempt;   /* 1 unless it was sent again */
};

/* NULL if the settings are unusable (message says why). The client works without a broker: calls wait for one. */
struct bus_client *bus_client_new(struct env *env, const struct bus_client_settings *settings, char *message,
                                  size_t message_size);
/* Waits for nothing: calls still waiting end with SERVICE_UNAVAILABLE. */
void bus_client_destroy(struct bus_client **self);
/* True when at least one broker has answered HELLO and is alive. Thread-safe. */
bool bus_client_connected(struct bus_client *self);
/* How many brokers that is. Thread-safe. */
int bus_client_brokers(struct bus_client *self);

/* Blocks until the call has ended, at most its budget. Thread-safe. out is untouched on failure. */
MUST_USE enum err bus_client_call(struct bus_client *self, const struct bus_request *request, struct arena *arena,
                                  struct fault *fault, struct bus_answer *out);
/* The same by table: packs, calls, unpacks. request_id NULL: a fresh one. meta may be NULL. */
MUST_USE enum err bus_client_do(struct bus_client *self, enum op op, const uint8_t *request_id,
                                const struct call_meta *meta, const void *request, struct arena *arena,
                                struct fault *fault, void *out_reply);

/* Without blocking: done is called once, on the I/O thread, and must not block or call back into the client except
 * bus_client_start. The answer's texts are good only during done. Returns SERVICE_UNAVAILABLE when no slot is free. */
typedef void bus_done(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem);
MUST_USE enum err bus_client_start(struct bus_client *self, const struct bus_request *request, bus_done *done,
                                   void *user);

#endif
