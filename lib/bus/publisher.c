#include "lib/bus/publisher.h"

#include <stdio.h>
#include <zmq.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/credentials.h"
#include "lib/bus/handover.h"

enum {
    PUBLISHER_HIGH_WATER = 10000,
    PUBLISHER_LINGER_MS = 500, /* what the last events may take to leave */
    PUBLISHER_RECONNECT_MS = 20,
    PUBLISHER_RECONNECT_MAX_MS = 500,
    PUBLISHER_UNACKNOWLEDGED_MS = 10 * 1000, /* TCP gives up so long after the other side's last sign */
    PUBLISHER_META_MAX_SIZE = 4096
};

struct publisher {
    void *socket;
    struct buffer packed; /* scratch for the meta frame */
};

static void option_set(void *socket, int option, int value)
{
    ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

struct publisher *publisher_new(struct env *env, const struct bus_config *bus, char *message, size_t message_size)
{
    char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    char address[BUS_ADDRESS_SIZE];
    int base_count = bus_addresses(bus->bus, bases);
    if (base_count < 1) {
        snprintf(message, message_size, "--bus is no list of broker addresses: %.200s", bus->bus);
        return NULL;
    }
    AUTO(credentials_forget) struct credentials credentials;
    if (!credentials_load(env, bus, &credentials, message, message_size)) {
        return NULL;
    }
    struct publisher *self = mem_alloc(sizeof *self);
    buffer_init(&self->packed, PUBLISHER_META_MAX_SIZE);
    self->socket = zmq_socket(env->bus_context, ZMQ_PUB);
    ASSERT(self->socket != NULL);
    option_set(self->socket, ZMQ_SNDHWM, PUBLISHER_HIGH_WATER);
    option_set(self->socket, ZMQ_LINGER, PUBLISHER_LINGER_MS);
    option_set(self->socket, ZMQ_RECONNECT_IVL, PUBLISHER_RECONNECT_MS);
    option_set(self->socket, ZMQ_RECONNECT_IVL_MAX, PUBLISHER_RECONNECT_MAX_MS);
    /* a line that died without a word is noticed, and opened anew */
    option_set(self->socket, ZMQ_TCP_KEEPALIVE, 1);
    option_set(self->socket, ZMQ_TCP_KEEPALIVE_IDLE, 10);
    option_set(self->socket, ZMQ_TCP_KEEPALIVE_INTVL, 5);
    option_set(self->socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
    option_set(self->socket, ZMQ_TCP_MAXRT, PUBLISHER_UNACKNOWLEDGED_MS);
    for (int i = 0; i < base_count; i++) {
        ASSERT(bus_address(bases[i], BUS_PUBLISH, address));
        credentials_set(&credentials, self->socket, address);
        ASSERT(zmq_connect(self->socket, address) == 0);
    }
    return self;
}

void publisher_destroy(struct publisher **self)
{
    if (!*self) {
        return;
    }
    zmq_close((*self)->socket);
    buffer_release(&(*self)->packed);
    mem_free(*self);
    *self = NULL;
}

void publisher_send(struct publisher *self, struct text topic, const struct event_meta *meta, struct text data,
                    struct text private_data)
{
    buffer_clear(&self->packed);
    ASSERT(record_pack(&event_meta_record, meta, &self->packed));
    struct text frames[] = {topic, buffer_text(&self->packed), data, private_data};
    handover_give();
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        int more = i + 1 < ARRAY_COUNT(frames) ? ZMQ_SNDMORE : 0;
        /* a PUB socket drops what does not fit, and never says so */
        (void)zmq_send(self->socket, frames[i].data ? frames[i].data : "", frames[i].size, ZMQ_DONTWAIT | more);
    }
}
