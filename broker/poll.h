/* The loop that owns the sockets for clients and workers and drives the core: receives at most 64 messages a socket,
 * sends what the core wants sent, lets it look at the time, and sleeps only when nothing came (for spin_us). Never
 * blocks on a peer: what one does not take waits in its backlog, and one who takes nothing for long is dropped. */
#ifndef ZMART_BROKER_POLL_H
#define ZMART_BROKER_POLL_H

#include "broker/broker.h"
#include "lib/base/process.h"

struct poller;

struct poller_settings {
    const char *clients, *workers; /* addresses to bind */
    const char *operators;         /* one more for clients; NULL: none */
    struct guard *guard;           /* of those on TCP; NULL: none */
    int hwm;                       /* messages a peer in libzmq's queues */
    size_t backlog_count_max;      /* messages a peer beyond that */
    size_t backlog_size_max;       /* bytes of them */
    int64_t spin_us;               /* after a message, before the loop sleeps: it looks for the next one */
    int64_t drain_ms;              /* for what is under way when the broker is told to stop */
};

/* Binds; NULL (and a message) if it cannot. env and settings are borrowed for the poller's life. */
struct poller *poller_new(struct env *env, const struct poller_settings *settings, char *message, size_t message_size);
/* Runs until env->stop_fd is readable and the broker has drained. */
void poller_run(struct poller *self, struct broker *broker);
/* After broker_destroy: the core may hold messages of ours. */
void poller_destroy(struct poller **self);

#endif
