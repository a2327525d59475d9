/* Where a broker listens. A bus address is a base that four sockets follow from:
 *
 *     ipc:///run/zmart      -> ipc:///run/zmart/clients  .../workers  .../publish  .../events
 *     tcp://host:5570       -> port 5570 clients, 5571 workers, 5572 publish, 5573 events
 *     inproc://name         -> inproc://name.clients ... (threads of one process) */
#ifndef ZMART_BUS_ADDRESS_H
#define ZMART_BUS_ADDRESS_H

#include <stddef.h>

#include "lib/base/auto.h"
#include "lib/base/config.h"

#define BUS_CONFIG(X)                                                                                            \
    X(STRING, bus, "bus", "ipc:///run/zmart", 1, 1000,                                                           \
      "brokers, separated by commas: ipc://DIR, tcp://HOST:PORT (and the three ports behind it), inproc://NAME") \
    X(NUMBER, heartbeat_ms, "heartbeat-ms", "1000", 50, 60000,                                                   \
      "something is sent at least this often; 3.5 times of silence count as death")                              \
    X(STRING, keys, "keys", "", 0, 900, "folder of the CURVE keys that TCP needs (zmart keys new)")              \
    X(STRING, key, "key", "", 0, 40, "name of the key in it that is ours; the program's name if none")           \
    X(SWITCH, insecure_loopback, "bus-insecure-loopback", "no", 0, 0,                                            \
      "for tests: TCP on a loopback address needs no keys")
CONFIG_DECLARE(bus_config, BUS_CONFIG);

enum bus_socket { BUS_CLIENTS, BUS_WORKERS, BUS_PUBLISH, BUS_EVENTS };
enum { BUS_ADDRESS_SIZE = 256, BUS_MAX_BROKERS = 8, BUS_IPC_MAX = 107 };

/* The address of one socket; false if base has none of the three forms or the result is too long
 * (an ipc path ends at 107 bytes). */
MUST_USE bool bus_address(const char *base, enum bus_socket socket, char out[BUS_ADDRESS_SIZE]);
/* True for tcp://. */
bool bus_is_tcp(const char *address);
/* True for an address of tcp:// that only this machine can reach. */
bool bus_is_loopback(const char *address);
/* Splits --bus at the commas; returns how many, -1 if there are more than BUS_MAX_BROKERS or a base is malformed. */
int bus_addresses(const char *bus, char out[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE]);

#endif
