/* Events to WebSockets and streams: gate (handshake), loop (sockets), replay and quota, put together.
 *
 *     GET /ws?ticket=...  or with the Authorization header, and at will &types=order.*,... &orders=ord_...,ord_... and &after=SEQ
 *
 * A customer gets the events of own orders, an administrator all that were asked for. What is wanted can be changed by messages
 * (ws_change.h). Close codes: 1001 restarting; 1002, 1007, 1008, 1009
 * the client broke a rule; 4001 the session has ended; 4008 events were not delivered, the reason is "last seq N".
 * All functions are thread-safe but new and destroy. */
#ifndef ZMART_GATEWAY_LIVE_H
#define ZMART_GATEWAY_LIVE_H

#include "gateway/accept.h"
#include "gateway/forwarded.h"
#include "gateway/long_poll.h"
#include "gateway/ws_access.h"
#include "gateway/ws_peer.h"
#include "lib/base/config.h"
#include "lib/base/process.h"
#include "lib/bus/subscriber.h"

#define LIVE_CONFIG(X)                                                                                    \
    X(NUMBER, total_max, "ws-sockets", "10000", 1, 1000000, "WebSockets and streams open at a time")                  \
    X(NUMBER, user_max, "ws-user-sockets", "20", 1, 100000, "WebSockets and streams of one customer at a time")        \
    X(STRING, origins, "ws-origins", "", 0, 4000,                                                         \
      "pages that may open WebSockets: origins separated by commas; all if none")                         \
    X(NUMBER, queue_count, "ws-queue", "64", 1, 65536, "events that wait for one WebSocket or stream; more close it")  \
    X(NUMBER, queue_size, "ws-queue-size", "262144", 1024, 67108864, \
      "bytes of the events that wait for one WebSocket or stream; more close it") \
    X(NUMBER, messages, "ws-messages", "100", 1, 1000000, \
      "messages a minute that a client may send; more end its socket") \
    X(NUMBER, message_size, "ws-message-size", "65536", 125, 1048576, \
      "bytes of one message of a client; more end its socket") \
    X(STRING, listen, "ws-listen", "", 0, 200, "HOST:PORT for WebSockets alone, besides the port for all; none by default")  \
    X(NUMBER, loops, "ws-loops", "0", 0, 16, "threads that serve WebSockets and streams; 0: one a core, four at most")  \
    X(NUMBER, ping_s, "ws-ping-s", "25", 1, 3600, "time between pings; two without answer end a socket")
CONFIG_DECLARE(live_config, LIVE_CONFIG);

/* As they are without settings. */
extern const struct ws_limits live_limits;

struct mg_connection;
struct mg_context;

struct live_settings {
    const struct live_config *config;
    struct accept_registry *accepts;
    struct ws_access access;
    const struct forwarded *forwarded;  /* proxies in front; NULL: none */
    struct bus_client *client;          /* to ask the log; NULL: nobody begins in the past */
    int64_t (*silence_ms)(void *user);  /* as in ws_replay_settings */
    void *silence_user;
    struct long_polls *polls;           /* woken by events; may be NULL */
    const struct ws_limits *limits; /* NULL: live_limits with the config's ping_s */
    /* As in ws_gate_settings; NULL: the gate answers refused handshakes itself. */
    void (*refuse)(void *user, struct mg_connection *connection, const struct fault *fault);
    void *refuse_user;
};

struct live;

/* All that the settings point to is borrowed for its life. NULL when the system gives no thread or epoll. */
struct live *live_new(struct env *env, const struct live_settings *settings);
/* After mg_stop. Sockets that are still there are dropped. */
void live_destroy(struct live **self);
/* Registers /ws. */
void live_attach(struct live *self, struct mg_context *context);
/* Listens at --ws-listen, if that is set. False if it cannot (message says why). */
MUST_USE bool live_listen(struct live *self, char *message, size_t message_size);
/* Any event of the bus; those that are not an order's are ignored. With a gap before it, every socket is closed with
 * 4008: whoever repairs gaps does so first. Does not block. */
void live_publish(struct live *self, const struct subscriber_event *event);
/* Closes the sockets of ended sessions with 4001. Call auth_deny first, so that nobody comes back in between. */
void live_end_sessions(struct live *self, const struct denial *denial);
/* Whether somebody may begin behind after (resume), or with what comes. Blocks up to a call's budget. POSITION_LOST
 * with fault->head, or SERVICE_UNAVAILABLE. */
MUST_USE enum err live_position_check(struct live *self, bool resume, int64_t after, struct fault *fault);
/* A stream: as ws_entry_add and ws_entry_start. peer has its identity, its address and what it wants; its limits are
 * set here. */
MUST_USE enum err live_stream_add(struct live *self, int civetweb_fd, struct ws_peer_settings *peer,
                                  struct fault *fault);
void live_stream_start(struct live *self, int civetweb_fd, const struct ws_peer_settings *peer);
/* Closes all with 1001, takes no more, waits at most wait_ms; returns how many are left. Before mg_stop. */
int64_t live_drain(struct live *self, int64_t wait_ms);

#endif
