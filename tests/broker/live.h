/* A whole broker on a thread of its own, and peers that speak to it through raw sockets. All waits have a deadline. */
#ifndef ZMART_TESTS_BROKER_LIVE_H
#define ZMART_TESTS_BROKER_LIVE_H

#include <pthread.h>
#include <zmq.h>

#include "lib/bus/main.h"
#include "tests/broker/harness.h"

enum { LIVE_MAX_FLAGS = 24, LIVE_WAIT_MS = 20 * 1000 };

struct live {
    void *context;
    int stop_fd, ready_fd;
    pthread_t thread;
    int status; /* of the program, once it has ended */
    struct log log;
    int argc;
    char *argv[LIVE_MAX_FLAGS + 2];
};

/* Starts a broker in the context with these flags (NULL-terminated) and waits until it is ready. False: it has ended.
 */
bool live_start(struct live *live, void *context, const char *const *flags);
/* The same with a file descriptor for its log lines of level error. */
bool live_start_logged(struct live *live, void *context, const char *const *flags, int log_fd);
/* Lets it drain, without waiting. */
void live_stop(struct live *live);
/* Waits for its end and returns its exit status. */
int live_join(struct live *live);

struct wire_peer {
    void *socket;
    uint32_t epoch;
};

/* A DEALER with a session. services as for say_hello. */
struct wire_peer peer_open(void *context, const char *address, const char *services);
void peer_close(struct wire_peer *peer);
/* A DEALER, connected, without a word. */
void *dealer_open(void *context, const char *address);
struct frame_head peer_head(const struct wire_peer *peer, enum frame_type type, uint64_t corr);
void peer_send_frame(struct wire_peer *peer, const struct frame_head *head, const struct text *parts, int count);

struct wire_frame {
    struct frame_head head;
    zmq_msg_t parts[PARCEL_MAX_PARTS];
    int count;
};

/* False when nothing came for wait_ms. Frames have to be released. */
bool frame_receive(void *socket, int wait_ms, struct wire_frame *out);
void frame_release(struct wire_frame *frame);
struct text frame_part(struct wire_frame *frame, int at);
/* Receives one that must be of this type. */
void frame_expect(struct wire_peer *peer, enum frame_type type, struct wire_frame *out);

#endif
