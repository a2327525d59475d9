#include "lib/bus/credentials.h"

#include <stdio.h>
#include <zmq.h>

#include "lib/base/invariant.h"

static bool keys_are_named(const struct bus_config *bus)
{
    return bus->keys && bus->keys[0];
}

/* The first address that needs keys; NULL if none does. Malformed lists are the address's own affair. */
static const char *address_in_need(const struct bus_config *bus, char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE])
{
    int count = bus_addresses(bus->bus, bases);
    for (int i = 0; i < count; i++) {
        bool spared = bus->insecure_loopback && bus_is_loopback(bases[i]);
        if (bus_is_tcp(bases[i]) && (!spared || keys_are_named(bus))) {
            return bases[i];
        }
    }
    return NULL;
}

bool credentials_load(const struct env *env, const struct bus_config *bus, struct credentials *out, char *message,
                      size_t message_size)
{
    char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    char why[400];
    struct credentials credentials = {.known = true};
    const char *address = address_in_need(bus, bases);
    if (!address) {
        *out = (struct credentials){.known = false};
        return true;
    }
    if (!keys_are_named(bus)) {
        snprintf(message, message_size,
                 "--bus %.200s is TCP and needs CURVE keys: make one with zmart keys new, and name its folder with "
                 "--keys DIR",
                 address);
        return false;
    }
    const char *name = bus->key && bus->key[0] ? bus->key : env->log->program;
    bool loaded = key_pair_load(bus->keys, name, &credentials.own, why, sizeof why) &&
                  key_public_of(bus->keys, KEY_BROKER_NAME, credentials.broker, why, sizeof why);
    if (loaded) {
        *out = credentials;
    } else {
        snprintf(message, message_size, "%s (zmart keys new %s --keys %.200s makes one)", why, name, bus->keys);
    }
    credentials_forget(&credentials);
    return loaded;
}

void credentials_set(const struct credentials *credentials, void *socket, const char *address)
{
    int none = 0;
    if (!credentials || !credentials->known) {
        return;
    }
    if (!bus_is_tcp(address)) { /* a socket may have several addresses, each connected as it was set just before */
        ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &none, sizeof none) == 0);
        return;
    }
    const struct {
        int option;
        const char *value;
    } options[] = {{ZMQ_CURVE_SERVERKEY, credentials->broker},
                   {ZMQ_CURVE_PUBLICKEY, credentials->own.public_key},
                   {ZMQ_CURVE_SECRETKEY, credentials->own.secret_key}};
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        ASSERT(zmq_setsockopt(socket, options[i].option, options[i].value, KEY_TEXT_SIZE) == 0);
    }
}

void credentials_forget(struct credentials *credentials)
{
    explicit_bzero(credentials, sizeof *credentials);
}
