/* What `zmart up` is told, and whether that can work. Reads no file and opens nothing. */
#ifndef ZMART_CLI_SETTINGS_H
#define ZMART_CLI_SETTINGS_H

#include <stdio.h>

#include "cli/arguments.h"
#include "cli/rooms.h"

#define UP_CONFIG(X)                                                                                                \
    X(STRING, host, "host", "127.0.0.1", 1, 255, "address that the gateway listens on")                            \
    X(NUMBER, port, "port", "8080", 0, 65535, "port that the gateway listens on; 0 takes a free one and says which") \
    X(STRING, data, "data", "./data", 1, 900, "folder that everything is kept in; it has one shop at a time")       \
    X(STRING, store, "store", "", 0, 1000, "where data lives: sqlite:DIR or mongodb://HOST/DATABASE; in the data folder if none") \
    X(STRING, events, "events", "tcp://127.0.0.1:5556", 0, 255, "address of the PUB socket for subscribers")        \
    X(STRING, keys, "keys", "", 0, 900, "folder of the CURVE keys; with it --events asks for one")           \
    X(SWITCH, processes, "processes", "no", 0, 0, "run each room as a process of its own, and supervise them")      \
    X(NUMBER, silence_ms, "child-silence-ms", "10000", 2000, 600000,                                                \
      "with --processes: a process that is stopped or hangs this long is killed and started again")                 \
    X(NUMBER, loops, "j", "0", 0, 64, "worker loops a service; 0: by store")                                        \
    X(NUMBER, broker, "broker", "1", 1, 8, "brokers (with --processes)")                                            \
    X(NUMBER, gateway, "gateway", "1", 1, 16, "gateways, on --port and the ports behind it (with --processes)")     \
    X(NUMBER, product_svc, "product-svc", "1", 1, 64, "processes of product-svc (more than one on MongoDB)")        \
    X(NUMBER, order_svc, "order-svc", "1", 1, 64, "processes of order-svc (more than one on MongoDB)")              \
    X(NUMBER, user_svc, "user-svc", "1", 1, 64, "processes of user-svc (more than one on MongoDB)")                 \
    X(NUMBER, event_svc, "event-svc", "1", 1, 64, "processes of event-svc (more than one on MongoDB)")              \
    X(NUMBER, webhook_svc, "webhook-svc", "1", 0, 64, "processes of webhook-svc (more than one on MongoDB); 0: no webhooks") \
    X(NUMBER, mail_svc, "mail-svc", "1", 0, 64, "processes of mail-svc (more than one on MongoDB); 0: no mails")
CONFIG_DECLARE(up_config, UP_CONFIG);

struct up_settings {
    struct process_config process;
    struct up_config up;
};

extern const struct config_table up_table;

enum { SETTINGS_MESSAGE_SIZE = 512 };

/* Loads up's own flags and checks that they, and those handed to the rooms, can work together.
 * HELP: --help was asked for. BAD: message is one line that says what to do. */
MUST_USE enum config_result settings_load(const struct words *argv, struct arguments *out_arguments,
                                          struct up_settings *out, char message[SETTINGS_MESSAGE_SIZE]);
/* Up's rows and every room's, each once. */
void settings_print_help(FILE *to);
/* How many processes of a room are wanted. */
int settings_room_count(const struct up_settings *settings, enum room_id id);
/* True for an address that only this machine can reach: tcp on a loopback address, or ipc. */
bool address_is_local(const char *address);
/* Host and port of "tcp://host:port"; false for any other form. */
MUST_USE bool address_tcp(const char *address, char *host, size_t host_size, int *out_port);

#endif
