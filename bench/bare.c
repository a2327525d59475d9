/* The floor of a broker: moves messages between two ROUTERs and does nothing else. Clients on one, one worker on the
 * other. bare BASE [KEYS]      binds as the broker does, with the broker's key from the folder KEYS, but lets in
 * everybody who knows its public half; ends on a signal */
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "lib/bus/address.h"
#include "lib/bus/key_files.h"

enum { ID_MAX_SIZE = 64, MESSAGES_PER_PASS = 64, HIGH_WATER = 10000 };

static bool server_keys_set(void *socket, const char *keys)
{
    struct key_pair pair;
    char why[256];
    int on = 1;
    if (!key_pair_load(keys, KEY_BROKER_NAME, &pair, why, sizeof why)) {
        fprintf(stderr, "bare: %s\n", why);
        return false;
    }
    bool set = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) == 0 &&
               zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, pair.secret_key, KEY_TEXT_SIZE) == 0;
    key_pair_forget(&pair);
    return set;
}

static void *router_open(void *context, const char *base, const char *keys, enum bus_socket which)
{
    char address[BUS_ADDRESS_SIZE];
    int high_water = HIGH_WATER, linger = 0, backlog = 512;
    void *socket = zmq_socket(context, ZMQ_ROUTER);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof high_water);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_BACKLOG, &backlog, sizeof backlog);
    if (keys && !server_keys_set(socket, keys)) {
        return NULL;
    }
    if (!bus_address(base, which, address) || zmq_bind(socket, address) != 0) {
        fprintf(stderr, "bare: cannot bind below %s\n", base);
        return NULL;
    }
    return socket;
}

/* What is left of the message goes on as it is, or nowhere. */
static void rest_move(void *from, void *to)
{
    zmq_msg_t frame;
    bool more = true;
    while (more) {
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, from, 0) < 0) {
            return;
        }
        more = zmq_msg_more(&frame);
        if (!to || zmq_msg_send(&frame, to, more ? ZMQ_SNDMORE : 0) < 0) {
            zmq_msg_close(&frame);
        }
    }
}

struct worker {
    char id[ID_MAX_SIZE];
    size_t size; /* 0: none yet */
};

/* From a client: in front of its id comes the worker's. */
static bool request_move(void *clients, void *workers, const struct worker *worker)
{
    zmq_msg_t id;
    zmq_msg_init(&id);
    if (zmq_msg_recv(&id, clients, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    bool known = worker->size > 0;
    if (known) {
        zmq_send(workers, worker->id, worker->size, ZMQ_SNDMORE);
        zmq_msg_send(&id, workers, ZMQ_SNDMORE);
    } else {
        zmq_msg_close(&id);
    }
    rest_move(clients, known ? workers : NULL);
    return true;
}

/* From the worker: its own id is taken off, and the client's is the next one. A single frame says that it is there. */
static bool reply_move(void *workers, void *clients, struct worker *worker)
{
    zmq_msg_t frame;
    char id[ID_MAX_SIZE];
    int size = zmq_recv(workers, id, sizeof id, ZMQ_DONTWAIT);
    if (size < 0) {
        return false;
    }
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, workers, 0) >= 0 && zmq_msg_more(&frame)) {
        zmq_msg_send(&frame, clients, ZMQ_SNDMORE);
        rest_move(workers, clients);
    } else {
        memcpy(worker->id, id, (size_t)size);
        worker->size = (size_t)size;
    }
    zmq_msg_close(&frame);
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: bare BASE [KEYS]\n");
        return 2;
    }
    void *context = zmq_ctx_new();
    struct worker worker = {.size = 0};
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 65535);
    const char *keys = argc == 3 ? argv[2] : NULL;
    void *clients = router_open(context, argv[1], keys, BUS_CLIENTS);
    void *workers = router_open(context, argv[1], keys, BUS_WORKERS);
    if (!clients || !workers) {
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int count = 0;
        for (int n = 0; n < MESSAGES_PER_PASS && reply_move(workers, clients, &worker); n++) {
            count++;
        }
        for (int n = 0; n < MESSAGES_PER_PASS && request_move(clients, workers, &worker); n++) {
            count++;
        }
        if (count == 0) {
            zmq_pollitem_t items[] = {{.socket = clients, .events = ZMQ_POLLIN},
                                      {.socket = workers, .events = ZMQ_POLLIN}};
            zmq_poll(items, 2, -1);
        }
    }
}
