#include "cli/ping.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/operator.h"
#include "cli/shop.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "proto/mmi.h"

#define PING_CONFIG(X)                                                                                             \
    X(STRING, data, "data", "./data", 1, 900, "data folder of the shop to ask")                                    \
    X(STRING, bus, "bus", "", 0, 1000, "broker to ask; the first one of --data if none")                           \
    X(NUMBER, timeout_ms, "timeout-ms", "3000", 1, 60000, "how long an answer is waited for")
CONFIG_DECLARE(ping_config, PING_CONFIG);
CONFIG_DEFINE(ping_config, PING_CONFIG)

static const struct config_section sections[] = {{"Ping", &ping_config_rows, 0}};
static const struct config_table table = {.program = "zmart ping",
                                          .summary = "asks who serves a service",
                                          .usage = "SERVICE [flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

static int service_ping(const struct ping_config *config, const char *service)
{
    char message[SETTINGS_MESSAGE_SIZE];
    if (text_of(service).size > 40 || service[0] == '\0') {
        return shop_refuse("ping takes the name of a service, such as product");
    }
    struct operator_place place = {.bus = config->bus, .data = config->data};
    AUTO(operator_destroy) struct operator *operator = operator_new(&place, message, sizeof message);
    if (!operator) {
        return shop_refuse("%s", message);
    }
    AUTO(arena_release) struct arena arena = {0};
    struct mmi_service_ref ref = {.name = text_of(service)};
    struct operator_question question = {.route = "mmi.service",
                                         .request = &mmi_service_ref_record,
                                         .in = &ref,
                                         .reply = &mmi_service_record,
                                         .timeout_ms = config->timeout_ms};
    struct mmi_service answer;
    struct fault fault;
    fault_init(&fault, &arena);
    int64_t start_us = clock_now_us();
    enum err e = operator_ask(operator, 0, &question, &arena, &fault, &answer);
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
