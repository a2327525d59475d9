/* `zmart bus status|workers|queues|dlq`: what the brokers of a shop say about themselves, and their dead letters. */
#ifndef ZMART_CLI_BUS_H
#define ZMART_CLI_BUS_H

#include "cli/bus_show.h"
#include "cli/operator.h"
#include "cli/words.h"
#include "lib/base/config.h"

#define BUS_COMMAND_CONFIG(X)                                                                                          \
    X(SWITCH, json, "json", "no", 0, 0, "one line of JSON instead of tables")                                          \
    X(NUMBER, watch_s, "watch", "0", 0, 86400, "show it again every so many seconds (2 if none are named); 0: once")   \
    X(NUMBER, budget_ms, "budget-ms", "30000", 1, 600000, "time that a requeued request has")
CONFIG_DECLARE(bus_command_config, BUS_COMMAND_CONFIG);

enum { BUS_COMMAND_MESSAGE_SIZE = 512 };

struct bus_command {
    struct operator_config shop;
    struct bus_command_config config;
    enum bus_topic topic;
    enum mmi_dlq_action action; /* of BUS_TOPIC_DLQ */
    const char *request_id;     /* to drop or requeue; points into the words */
};

/* words: copied from argv, and must outlive out. BAD: message is one line. */
MUST_USE enum config_result bus_command_read(const struct words *argv, struct words *words, struct bus_command *out,
                                             char message[BUS_COMMAND_MESSAGE_SIZE]);
/* 0 when every broker has answered, 1 when one has not or there is no such letter, 2 for bad usage. */
int bus_main(const struct words *argv);

#endif
