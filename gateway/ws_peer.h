/* One client of events: a bounded queue towards it, and the rules for ending it. A WebSocket speaks RFC 6455 through
 * libwslay; a stream is the endless body of an answer (Server-Sent Events): plain bytes, comments instead of pings, and
 * an end instead of a close frame. Owned by one loop's thread. Never blocks; what a client sends is checked and
 * counted, and then its hearer's. */
#ifndef ZMART_GATEWAY_WS_PEER_H
#define ZMART_GATEWAY_WS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/ws_input.h"
#include "gateway/ws_message.h"
#include "lib/base/auto.h"
#include "proto/user.h"

enum ws_code {
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_POLICY = 1008,
    WS_TOO_BIG = 1009,
    WS_SESSION_ENDED = 4001,
    WS_LAGGING = 4008 /* events were not delivered; the reason names the last seq that was */
};

enum { WS_FILTER_MAX = 20, WS_CONTROL_MAX = 64, WS_CLIENT_SIZE = 48, WS_HOLD_MS = 10 * 1000 };

struct ws_limits {
    int64_t queue_count;  /* events that wait for one client */
    int64_t queue_size;   /* their bytes; one event alone may be larger */
    int64_t receive_size; /* bytes of one message from a client */
    int64_t keep_size;    /* bytes of it that the hearer gets */
    int64_t receive_rate; /* messages a minute; of frames eight times as many */
    int64_t ping_ms;      /* a ping so often; a client that misses two is dropped */
    int64_t close_ms;     /* without any progress end a closing handshake; ten times that end it anyway */
    int64_t age_ms;       /* of a socket, so that a lost notice of a session's end does not hold for ever */
};

struct ws_identity {
    char user_id[WS_ID_SIZE];
    char session_id[WS_ID_SIZE];
    enum role role;
    int64_t issued_at_ms; /* wall clock: when its token was made */
    int64_t checked_ms;   /* clock_now_ms() before it was checked */
};

/* Orders whose events are wanted whatever their type. */
struct ws_filter {
    uint32_t count; /* at most WS_FILTER_MAX */
    char (*order_ids)[WS_ID_SIZE];
};

enum ws_kind { WS_SOCKET, WS_STREAM };

struct ws_peer_settings {
    uint64_t id; /* unique in the process */
    enum ws_kind kind;
    bool bare;      /* a stream that is not chunked: its client speaks HTTP/1.0 */
    bool resume;    /* begins with what is newer than after, else with what comes */
    int64_t after;
    uint64_t types; /* as in event_types.h; 0: those of orders, or with a filter none */
    int fd;      /* connected; the peer owns it from now on */
    struct ws_identity identity;
    struct ws_filter filter;        /* its array is the peer's from now on */
    const struct ws_limits *limits; /* borrowed */
    const struct ws_hearer *hearer; /* borrowed; NULL: what a client says is thrown away */
    char client[WS_CLIENT_SIZE];    /* address, for the log */
};

/* What the log is told about a socket. */
struct ws_record {
    uint64_t id;
    enum ws_kind kind;
    const struct ws_identity *identity;
    const char *client;
    uint16_t code;        /* last close code that was sent or received; 1006: none */
    int64_t events_count; /* queued to it */
    int64_t lived_ms;
};

struct ws_peer;

/* The peer is held: it queues what it is sent and leaves the socket alone, because the handshake's answer is still
 * being written to it. One that is not started within WS_HOLD_MS is done. */
struct ws_peer *ws_peer_new(const struct ws_peer_settings *settings, int64_t last_seq, int64_t now_ms);
void ws_peer_destroy(struct ws_peer **self);
/* The handshake is over: sends what was queued meanwhile. early: what the client had said already. */
void ws_peer_start(struct ws_peer *self, struct text early, int64_t now_ms);
bool ws_peer_is_held(const struct ws_peer *self);

const struct ws_identity *ws_peer_identity(const struct ws_peer *self);
uint64_t ws_peer_id(const struct ws_peer *self);
int ws_peer_fd(const struct ws_peer *self);
/* For its loop, which changes what it wants. */
struct ws_peer_settings *ws_peer_settings(struct ws_peer *self);
/* The types that it may get events of; never 0. */
uint64_t ws_peer_types(const struct ws_peer *self);
/* Whether more of the past may be queued: half of the queue is kept for what comes. */
bool ws_peer_has_room(const struct ws_peer *self);
void ws_peer_record(const struct ws_peer *self, int64_t now_ms, struct ws_record *out);
/* Whether this client may see the event and asked for it. */
bool ws_peer_sees(const struct ws_peer *self, const struct ws_message *event);
/* Whether this denial ends its session. */
bool ws_identity_is_denied(const struct ws_identity *identity, const struct denial *denial);

/* Queues a reference and sends what the socket takes. False if the queue was full: the socket is closed with
 * WS_LAGGING, and what waited is dropped. True, and nothing queued, when it is closing anyway. */
bool ws_peer_send(struct ws_peer *self, struct ws_message *event, int64_t now_ms);
/* Queues an answer and takes over the reference; nothing is sent when it is closing. */
void ws_peer_say(struct ws_peer *self, struct ws_message *message, int64_t now_ms);
/* Starts the closing handshake; what waited is dropped when drop_queue. A second call changes nothing. */
void ws_peer_close(struct ws_peer *self, uint16_t code, const char *reason, bool drop_queue, int64_t now_ms);
/* As ws_peer_close with WS_LAGGING and the last seq in the reason. */
void ws_peer_lag(struct ws_peer *self, int64_t now_ms);

/* The socket can be read or written (edge or level does not matter). */
void ws_peer_on_io(struct ws_peer *self, bool readable, bool writable, int64_t now_ms);
/* To be called at least once a second. */
void ws_peer_on_tick(struct ws_peer *self, int64_t now_ms);
bool ws_peer_wants_write(const struct ws_peer *self);
bool ws_peer_is_closing(const struct ws_peer *self);
/* Nothing more will happen: destroy it. */
bool ws_peer_is_done(const struct ws_peer *self);

struct ws_page;
struct ws_change;

/* How far a peer that began in the past has come (ws_resume.h). */
struct ws_resume {
    bool on;        /* not in the present yet: events that come are not for it */
    bool asked;     /* a page is on its way */
    bool stale;     /* what is on its way was asked before the client subscribed to more */
    bool caught_up; /* the log had no more when it was asked last */
    int64_t after;  /* everything up to here was queued; events that come later and are older are not new */
    struct ws_page *page;
    uint32_t sent_count; /* of the page */
};

/* For the loop that owns the peer: its places in the loop's lists. */
struct ws_links {
    struct ws_peer *next, *previous; /* all peers of one account, or all administrators */
    struct ws_peer *next_done, *next_held;
    bool listed_done;
    bool watched_write;
    struct ws_resume resume;
    struct ws_change *changes; /* that it asked for, oldest first; owned */
    bool change_asked;         /* whether the oldest is allowed is being looked up */
};
struct ws_links *ws_peer_links(struct ws_peer *self);

#endif
