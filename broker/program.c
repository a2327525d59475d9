#include "broker/program.h"

#include <stdio.h>

#include "broker/poll.h"
#include "broker/relay.h"
#include "broker/socket.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/id.h"
#include "lib/bus/address.h"
#include "lib/bus/main.h"

#define BROKER_CONFIG(X)                                                                                               \
    X(STRING, events, "events", "tcp://127.0.0.1:5556", 0, 255,                                                        \
      "where subscribers outside the shop connect to; empty: nowhere")                                                 \
    X(STRING, operators, "operators", "", 0, 200,                                                                      \
      "one more address for clients, ipc://DIR, when --bus is inproc://: where operators connect to; empty: nowhere")  \
    X(NUMBER, queue_count, "queue-requests", "10000", 1, 1000000,                                                      \
      "requests that wait for one service at most; the lowest priority is shed first")                                 \
    X(NUMBER, queue_size, "queue-bytes", "67108864", 65536, 4294967296, \
      "bytes of the requests that wait for one service at most") \
    X(NUMBER, queue_age_ms, "queue-age-ms", "5000", 10, 600000,                                                        \
      "how long a request may wait while its service has workers; what services ask for waits longer")                 \
    X(NUMBER, service_wait_ms, "service-wait-ms", "5000", 0, 600000,                                                   \
      "a service whose last worker left within this time is waited for")                                               \
    X(NUMBER, requests, "requests", "200000", 1, 4000000, "requests that the broker holds at most")                    \
    X(NUMBER, client_requests, "client-requests", "65536", 1, 4000000, \
      "requests of one client that the broker holds at most") \
    X(NUMBER, held_size, "request-bytes", "268435456", 1048576, 68719476736, \
      "bytes of all requests that the broker holds at most") \
    X(NUMBER, peers, "peers", "20000", 2, 1000000, "clients and workers at most")                                      \
    X(NUMBER, affinity, "affinity-keys", "16384", 0, 1000000, \
      "keys of requests whose last worker is remembered; 0: none") \
    X(NUMBER, letters, "dead-letters", "1000", 0, 100000, \
      "given-up requests kept until event-svc has stored them; 0: none") \
    X(NUMBER, letters_size, "dead-letter-bytes", "16777216", 0, 4294967296, "bytes of those at most") \
    X(NUMBER, hwm, "socket-messages", "5000", 10, 1000000, "messages in libzmq's queue of one peer at most")           \
    X(NUMBER, backlog, "backlog-messages", "10000", 1, 1000000, \
      "messages that wait for a slow peer beyond that; more, and it is dropped") \
    X(NUMBER, backlog_size, "backlog-bytes", "67108864", 65536, 4294967296, \
      "bytes of the messages that wait for a slow peer; more, and it is dropped") \
    X(NUMBER, spin_us, "spin-us", "0", 0, 10000, \
      "how long the broker looks for the next message before it sleeps: shorter ways for processor time") \
    X(NUMBER, drain_ms, "broker-drain-ms", "10000", 0, 600000, "time for what is under way when the broker is stopped")
CONFIG_DECLARE(broker_config, BROKER_CONFIG);
CONFIG_DEFINE(broker_config, BROKER_CONFIG)

struct broker_program_config {
    struct process_config process;
    struct bus_config bus;
    struct broker_config broker;
};

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct broker_program_config, process)},
    {"Bus", &bus_config_rows, offsetof(struct broker_program_config, bus)},
    {"Broker", &broker_config_rows, offsetof(struct broker_program_config, broker)}};

static const struct config_table table = {.program = "broker",
                                          .summary = "routes requests, relays events, knows who is alive",
                                          .usage = "[flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

enum { MESSAGE_SIZE = 512 };

/* What has to be released in the reverse order. */
struct run {
    struct env *env;
    const struct broker_program_config *config;
    char addresses[BUS_EVENTS + 1][BUS_ADDRESS_SIZE];
    char operators[BUS_ADDRESS_SIZE]; /* "": none */
    struct poller_settings poller_settings;
    struct claims claims;
    struct guard *guard;
    struct relay *relay;
    struct poller *poller;
    struct broker *broker;
};

static void run_note(void *user, const char *event, const char *instance, const char *detail)
{
    const struct env *env = user;
    log_info(env->log, event, KV("instance", instance), KV("detail", detail));
}

static bool addresses_claim(struct run *run, char *message)
{
    const char *base = run->config->bus.bus;
    const char *outside = run->config->broker.events;
    const char *operators = run->config->broker.operators;
    run->claims.keys = run->guard != NULL;
    run->claims.insecure_loopback = run->config->bus.insecure_loopback;
    if (operators[0] && bus_is_tcp(base)) {
        snprintf(message, MESSAGE_SIZE, "--operators is for --bus inproc://: on TCP operators have keys of their own");
        return false;
    }
    if (!claim_bus(&run->claims, base, message, MESSAGE_SIZE) ||
        (outside[0] && !claim_events(&run->claims, outside, message, MESSAGE_SIZE)) ||
        (operators[0] && !claim_operators(&run->claims, operators, message, MESSAGE_SIZE))) {
        return false;
    }
    ASSERT(!operators[0] || bus_address(operators, BUS_CLIENTS, run->operators));
    for (int socket = BUS_CLIENTS; socket <= BUS_EVENTS; socket++) {
        if (!bus_address(base, (enum bus_socket)socket, run->addresses[socket])) {
            snprintf(message, MESSAGE_SIZE, "--bus %.200s cannot be used", base);
            return false;
        }
    }
    return true;
}

static bool sockets_bind(struct run *run, char *message)
{
    const struct broker_config *config = &run->config->broker;
    struct relay_settings relay = {.context = run->env->bus_context,
                                   .publish = run->addresses[BUS_PUBLISH],
                                   .events = run->addresses[BUS_EVENTS],
                                   .outside = config->events,
                                   .hwm = (int)config->hwm,
                                   .guard = run->guard,
                                   .metrics = run->env->metrics};
    run->poller_settings = (struct poller_settings){.clients = run->addresses[BUS_CLIENTS],
                                                    .workers = run->addresses[BUS_WORKERS],
                                                    .operators = run->operators[0] ? run->operators : NULL,
                                                    .guard = run->guard,
                                                    .hwm = (int)config->hwm,
                                                    .backlog_count_max = (size_t)config->backlog,
                                                    .backlog_size_max = (size_t)config->backlog_size,
                                                    .spin_us = config->spin_us,
                                                    .drain_ms = config->drain_ms};
    run->relay = relay_new(&relay, message, MESSAGE_SIZE);
    if (run->relay) {
        run->poller = poller_new(run->env, &run->poller_settings, message, MESSAGE_SIZE);
    }
    return run->poller != NULL;
}

/* Before any socket is bound: nobody gets in while there is no guard. */
static bool guard_post(struct run *run, char *message)
{
    const struct bus_config *bus = &run->config->bus;
    if (bus->keys[0]) {
        run->guard = guard_new(run->env, bus->keys, bus->key, message, MESSAGE_SIZE);
        return run->guard != NULL;
    }
    return true;
}

static struct broker *core_new(struct run *run)
{
    const struct broker_config *config = &run->config->broker;
    struct broker_settings settings = {.instance = run->env->instance,
                                       .metrics = run->env->metrics,
                                       .heartbeat_ms = run->config->bus.heartbeat_ms,
                                       .queue = {.count = (uint32_t)config->queue_count,
                                                 .size = (size_t)config->queue_size,
                                                 .age_us = config->queue_age_ms * 1000},
                                       .peers_max = (uint32_t)config->peers,
                                       .requests_max = (uint32_t)config->requests,
                                       .client_requests_max = (uint32_t)config->client_requests,
                                       .held_size_max = (size_t)config->held_size,
                                       .service_wait_ms = config->service_wait_ms,
                                       .affinity_max = (uint32_t)config->affinity,
                                       .letters_max = (uint32_t)config->letters,
                                       .letters_size_max = (size_t)config->letters_size,
                                       .note = run_note,
                                       .note_user = run->env};
    id_random(&settings.first_epoch, sizeof settings.first_epoch);
    settings.first_epoch |= 1; /* not 0 */
    return broker_new(&settings, clock_now_us());
}

static void log_counts(const struct run *run)
{
    struct broker_counts counts = broker_counts(run->broker);
    log_info(run->env->log, "broker.stopped", KV_INT("accepted", (int64_t)counts.accepted),
             KV_INT("replied", (int64_t)counts.replied), KV_INT("nacked", (int64_t)counts.nacked),
             KV_INT("redelivered", (int64_t)counts.redelivered), KV_INT("late", (int64_t)counts.late),
             KV_INT("garbage", (int64_t)counts.garbage));
}

static int program_main(const void *config, struct env *env)
{
    char message[MESSAGE_SIZE] = "";
    struct run run = {.env = env, .config = config};
    int status = PROCESS_FAILED;
    if (guard_post(&run, message) && addresses_claim(&run, message) && sockets_bind(&run, message)) {
        run.broker = core_new(&run);
        log_info(env->log, "broker.listening", KV("clients", run.addresses[BUS_CLIENTS]),
                 KV("workers", run.addresses[BUS_WORKERS]), KV("publish", run.addresses[BUS_PUBLISH]),
                 KV("events", run.addresses[BUS_EVENTS]), KV("outside", run.config->broker.events));
        env->ready(env, run.config->bus.bus);
        poller_run(run.poller, run.broker);
        log_counts(&run);
        status = PROCESS_OK;
    } else {
        log_error(env->log, "broker.refused", KV("message", message));
    }
    broker_destroy(&run.broker);
    poller_destroy(&run.poller);
    relay_destroy(&run.relay);
    guard_destroy(&run.guard);
    claims_release(&run.claims);
    return status;
}

const struct program broker_program = {
    .name = "broker", .config = &table, .config_size = sizeof(struct broker_program_config), .run = program_main};
