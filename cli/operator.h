/* An operator's sessions with the brokers of a shop: where they are, and questions to one of them. */
#ifndef ZMART_CLI_OPERATOR_H
#define ZMART_CLI_OPERATOR_H

#include "lib/bus/client.h"

/* Where the brokers are: bus if it is not empty, else those of the shop that runs over the data folder. */
struct operator_place {
    const char *bus;  /* as --bus */
    const char *data; /* as --data */
};

struct operator;

/* Finds the brokers, one client each. NULL: message is one line that says what to do. Nobody has answered yet. */
struct operator* operator_new(const struct operator_place *place, char *message, size_t message_size);
void operator_destroy(struct operator** self);
int operator_broker_count(const struct operator* self);
/* The base address of a broker, good as long as self. */
const char *operator_address(const struct operator* self, int broker);

/* One question: route, the request's record and value, the reply's record. */
struct operator_question {
    const char *route; /* "mmi.queues" */
    const struct record *request;
    const void *in;
    const struct record *reply;
    int64_t timeout_ms; /* 1..600,000 */
};
/* Asks one broker. When none answers the fault says so, with its address. out lives in arena, untouched on failure. */
MUST_USE enum err operator_ask(struct operator* self, int broker, const struct operator_question *question,
                               struct arena *arena, struct fault *fault, void *out);

#endif
