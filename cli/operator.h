/* An operator's sessions with the brokers of a shop: where they are, and questions to one of them. */
#ifndef ZMART_CLI_OPERATOR_H
#define ZMART_CLI_OPERATOR_H

#include "lib/bus/client.h"

/* Where the brokers are, and how to get in. */
#define OPERATOR_CONFIG(X)                                                                                             \
    X(STRING, data, "data", "./data", 1, 900, "data folder of the shop to ask")                                        \
    X(STRING, bus, "bus", "", 0, 1000, "brokers to ask, separated by commas; all those of --data if none")             \
    X(STRING, keys, "keys", "", 0, 900, "folder of the CURVE keys that brokers on TCP ask for (zmart keys new)")       \
    X(STRING, key, "key", "operator", 1, 40, "name of the key in it that is ours")                                     \
    X(SWITCH, insecure_loopback, "bus-insecure-loopback", "no", 0, 0,                                                  \
      "for tests: lets --bus be TCP on a loopback address without keys")                                               \
    X(NUMBER, timeout_ms, "timeout-ms", "3000", 1, 60000, "how long an answer is waited for")
CONFIG_DECLARE(operator_config, OPERATOR_CONFIG);

struct console;

/* Finds the brokers, one client each; config is borrowed for its life. NULL: message is one line that says what to do.
 * Nobody has answered yet. */
struct console *operator_new(const struct operator_config *config, char *message, size_t message_size);
void operator_destroy(struct console **self);
int operator_broker_count(const struct console *self);
/* The base address of a broker, good as long as self. */
const char *operator_address(const struct console *self, int broker);

/* One question: route, the request's record and value, the reply's record. */
struct operator_question {
    const char *route; /* "mmi.queues" */
    const struct record *request;
    const void *in;
    const struct record *reply;
};
/* Asks one broker. When none answers the fault says so, with its address. out lives in arena, untouched on failure. */
MUST_USE enum err operator_ask(struct console *self, int broker, const struct operator_question *question,
                               struct arena *arena, struct fault *fault, void *out);

#endif
