#include "cli/ping.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/folders.h"
#include "cli/shop.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/client.h"
#include "lib/bus/main.h"
#include "proto/mmi.h"

#define PING_CONFIG(X)                                                                                             \
    X(STRING, data, "data", "./data", 1, 900, "data folder of the shop to ask, when it runs as processes")         \
    X(STRING, bus, "bus", "", 0, 1000, "broker to ask; the one of --data if none")                                 \
    X(NUMBER, timeout_ms, "timeout-ms", "3000", 1, 60000, "how long an answer is waited for")
CONFIG_DECLARE(ping_config, PING_CONFIG);
CONFIG_DEFINE(ping_config, PING_CONFIG)

static const struct config_section sections[] = {{"Ping", &ping_config_rows, 0}};
static const struct config_table table = {.program = "zmart ping",
                                          .summary = "asks who serves a service",
                                          .usage = "SERVICE [flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

/* The address of the broker that `zmart up --processes` has started over this data folder. */
static bool bus_find(const struct ping_config *config, char out[BUS_ADDRESS_SIZE])
{
    char real[PATH_MAX];
    char folder[RUNTIME_PATH_SIZE];
    if (config->bus[0]) {
        return snprintf(out, BUS_ADDRESS_SIZE, "%s", config->bus) < BUS_ADDRESS_SIZE;
    }
    return realpath(config->data, real) && runtime_folder_find(real, folder) &&
           snprintf(out, BUS_ADDRESS_SIZE, "ipc://%s/0", folder) < BUS_ADDRESS_SIZE;
}

static enum err service_ask(struct env *env, const struct bus_config *bus, const char *service, int64_t timeout_ms,
                            struct arena *arena, struct fault *fault, struct mmi_service *out)
{
    char message[200];
    struct bus_client_settings settings = {.bus = bus, .role = "operator", .slot_count = 1};
    AUTO(bus_client_destroy) struct bus_client *client = bus_client_new(env, &settings, message, sizeof message);
    if (!client) {
        return fault_set(fault, ERR_INVALID_PARAMETER, "%s", message);
    }
    struct mmi_service_ref ref = {.name = text_of(service)};
    struct call_meta meta = {0};
    struct bus_request request = {.route = TEXT("mmi.service"), .budget_ms = (uint32_t)timeout_ms, .priority = 3};
    struct bus_answer answer;
    id_new(request.request_id);
    request.meta = record_pack_in(&call_meta_record, &meta, arena);
    request.body = record_pack_in(&mmi_service_ref_record, &ref, arena);
    enum err e = bus_client_call(client, &request, arena, fault, &answer);
    return e == ERR_NONE ? record_unpack(&mmi_service_record, answer.body, arena, fault, out) : e;
}

static int service_ping(const struct ping_config *config, const char *service)
{
    char address[BUS_ADDRESS_SIZE];
    if (text_of(service).size > 40 || service[0] == '\0') {
        return shop_refuse("ping takes the name of a service, such as product");
    }
    if (!bus_find(config, address)) {
        return shop_refuse("no shop runs as processes over %s; start it with `zmart up --processes`, or name a --bus",
                           config->data);
    }
    AUTO(arena_release) struct arena arena = {0};
    AUTO(metrics_destroy) struct metrics *metrics = metrics_new();
    AUTO(bus_context_destroy) void *context = bus_context_new();
    struct log log = {.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "zmart"};
    struct env env = {.log = &log, .metrics = metrics, .instance = "zmart-ping", .bus_context = context, .stop_fd = -1};
    struct bus_config bus = {.bus = address, .heartbeat_ms = 1000};
    struct mmi_service answer;
    struct fault fault;
    fault_init(&fault, &arena);
    int64_t start_us = clock_now_us();
    enum err e = service_ask(&env, &bus, service, config->timeout_ms, &arena, &fault, &answer);
    if (e != ERR_NONE) {
        return shop_refuse("%s: %s", service, fault.detail[0] ? fault.detail : err_info(e)->title);
    }
    printf("%s: %" PRId64 " workers, %" PRId64 " requests in flight, answered in %.1f ms\n", service, answer.workers,
           answer.in_flight, (double)(clock_now_us() - start_us) / 1000.0);
    return answer.workers > 0 ? PROCESS_OK : PROCESS_FAILED;
}

int ping_main(const struct words *argv)
{
    char message[SETTINGS_MESSAGE_SIZE];
    struct ping_config config;
    int rest_count = 0;
    switch (config_load(&table, argv->count, argv->items, &config, &rest_count, message, sizeof message)) {
    case CONFIG_HELP: config_print_help(&table, stdout); return PROCESS_OK;
    case CONFIG_BAD: shop_refuse("%s", message); return PROCESS_BAD_CONFIG;
    case CONFIG_OK: break;
    }
    if (rest_count != 1) {
        shop_refuse("ping takes one service, such as product (try zmart ping --help)");
        return PROCESS_BAD_CONFIG;
    }
    return service_ping(&config, argv->items[1]);
}
