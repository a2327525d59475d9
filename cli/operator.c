#include "cli/operator.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/folders.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"

CONFIG_DEFINE(operator_config, OPERATOR_CONFIG)

enum { OPERATOR_PRIORITY = 3, OPERATOR_HEARTBEAT_MS = 1000 };

struct broker_line {
    char address[BUS_ADDRESS_SIZE];
    struct bus_config bus;
    struct bus_client *client;
};

struct console {
    const struct operator_config *config;
    struct log log;
    struct env env;
    void *context;
    struct metrics *metrics;
    struct broker_line brokers[BUS_MAX_BROKERS];
    int broker_count;
};

/* A shop's brokers listen in folders 0, 1, ... of its runtime folder. */
static int brokers_find(const char *data, char out[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE])
{
    char real[PATH_MAX];
    char folder[RUNTIME_PATH_SIZE];
    char clients[BUS_ADDRESS_SIZE];
    int count = 0;
    if (!realpath(data, real) || !runtime_folder_find(real, folder)) {
        return 0;
    }
    for (int i = 0; i < BUS_MAX_BROKERS; i++) {
        snprintf(out[count], BUS_ADDRESS_SIZE, "ipc://%s/%d", folder, i);
        if (bus_address(out[count], BUS_CLIENTS, clients) && access(clients + strlen("ipc://"), F_OK) == 0) {
            count++;
        }
    }
    return count;
}

static int place_find(const struct operator_config *config, char out[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE], char *message,
                      size_t message_size)
{
    int count = config->bus[0] ? bus_addresses(config->bus, out) : brokers_find(config->data, out);
    if (count < 1 && config->bus[0]) {
        snprintf(message, message_size, "--bus takes addresses such as ipc://DIR or tcp://HOST:PORT, not \"%.200s\"",
                 config->bus);
    } else if (count < 1) {
        snprintf(message, message_size,
                 "no shop runs over %.200s; start it with `zmart up`, or name a --data or a --bus", config->data);
    }
    return count;
}

static bool line_open(struct console *self, const char *address, char *message, size_t message_size)
{
    struct broker_line *line = &self->brokers[self->broker_count];
    snprintf(line->address, sizeof line->address, "%s", address);
    line->bus = (struct bus_config){.bus = line->address,
                                    .heartbeat_ms = OPERATOR_HEARTBEAT_MS,
                                    .keys = self->config->keys,
                                    .key = self->config->key,
                                    .insecure_loopback = self->config->insecure_loopback};
    struct bus_client_settings settings = {.bus = &line->bus, .role = "operator", .slot_count = 1};
    line->client = bus_client_new(&self->env, &settings, message, message_size);
    self->broker_count += line->client != NULL;
    return line->client != NULL;
}

struct console *operator_new(const struct operator_config *config, char *message, size_t message_size)
{
    char addresses[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    int count = place_find(config, addresses, message, message_size);
    if (count < 1) {
        return NULL;
    }
    struct console *self = mem_alloc(sizeof *self);
    self->config = config;
    self->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "zmart"};
    self->context = bus_context_new();
    self->metrics = metrics_new();
    self->env = (struct env){.log = &self->log,
                             .metrics = self->metrics,
                             .instance = "zmart-operator",
                             .bus_context = self->context,
                             .stop_fd = -1};
    bool opened = true;
    for (int i = 0; opened && i < count; i++) {
        opened = line_open(self, addresses[i], message, message_size);
    }
    if (!opened) {
        operator_destroy(&self);
    }
    return self;
}

void operator_destroy(struct console **self)
{
    struct console *console = *self;
    if (!console) {
        return;
    }
    for (int i = 0; i < console->broker_count; i++) {
        bus_client_destroy(&console->brokers[i].client);
    }
    bus_context_destroy(&console->context);
    metrics_destroy(&console->metrics);
    mem_free(console);
    *self = NULL;
}

int operator_broker_count(const struct console *self)
{
    return self->broker_count;
}

const char *operator_address(const struct console *self, int broker)
{
    return self->brokers[broker].address;
}

enum err operator_ask(struct console *self, int broker, const struct operator_question *question, struct arena *arena,
                      struct fault *fault, void *out)
{
    static const struct call_meta nobody;
    struct broker_line *line = &self->brokers[broker];
    struct bus_answer answer;
    struct bus_request request = {.route = text_of(question->route),
                                  .meta = record_pack_in(&call_meta_record, &nobody, arena),
                                  .body = record_pack_in(question->request, question->in, arena),
                                  .budget_ms = (uint32_t)self->config->timeout_ms,
                                  .priority = OPERATOR_PRIORITY};
    id_new(request.request_id);
    enum err e = bus_client_call(line->client, &request, arena, fault, &answer);
    if (e == ERR_EXPIRED) {
        fault_set(fault, e, "no broker answers at %s (waited %" PRId64 " ms)", line->address, self->config->timeout_ms);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (record_unpack(question->reply, answer.body, arena, NULL, out) != ERR_NONE) {
        return fault_set(fault, ERR_INTERNAL, "the broker at %s answers %s with something else than a %s",
                         line->address, question->route, question->reply->name);
    }
    return ERR_NONE;
}
