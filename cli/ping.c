#include "cli/ping.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/operator.h"
#include "cli/shop.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "proto/mmi.h"

static const struct config_section sections[] = {{"Shop", &operator_config_rows, 0}};
static const struct config_table table = {.program = "zmart ping",
                                          .summary = "asks who serves a service",
                                          .usage = "SERVICE [flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

static int service_ping(const struct operator_config *config, const char *service)
{
    char message[SETTINGS_MESSAGE_SIZE];
    if (text_of(service).size > 40 || service[0] == '\0') {
        return shop_refuse("ping takes the name of a service, such as product");
    }
    AUTO(operator_destroy) struct console *console = operator_new(config, message, sizeof message);
    if (!console) {
        return shop_refuse("%s", message);
    }
    AUTO(arena_release) struct arena arena = {0};
    struct mmi_service_ref ref = {.name = text_of(service)};
    struct operator_question question = {
        .route = "mmi.service", .request = &mmi_service_ref_record, .in = &ref, .reply = &mmi_service_record};
    struct mmi_service answer;
    struct fault fault;
    fault_init(&fault, &arena);
    int64_t start_us = clock_now_us();
    enum err e = operator_ask(console, 0, &question, &arena, &fault, &answer);
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
    struct operator_config config;
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
