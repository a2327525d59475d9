/* One session with one broker over a DEALER: HELLO, WELCOME, PING, silence, BYE, and a new socket when the session is
 * over. Owned by one thread. */
#ifndef ZMART_BUS_PEER_H
#define ZMART_BUS_PEER_H

#include "lib/bus/address.h"
#include "lib/bus/credentials.h"
#include "lib/bus/message.h"

enum {
    PEER_HIGH_WATER = 10000,     /* messages that wait in a socket */
    PEER_PASS_MAX = 64,          /* messages taken from one socket before the others have their turn */
    PEER_CLOSE_LINGER_MS = 1000, /* what a farewell may take to leave */
    PEER_CLOCK_LEAK = 2000       /* the smallest delay grows by 1/2000 of the time, since clocks drift */
};

struct peer_settings {
    void *context;       /* libzmq's */
    const char *role;    /* "worker", "gateway", ... */
    const char *instance;
    const struct hello_service *services; /* borrowed */
    uint32_t service_count;
    int64_t heartbeat_ms;
    const struct credentials *credentials; /* NULL: none */
};

struct peer {
    const struct peer_settings *settings; /* borrowed */
    char address[BUS_ADDRESS_SIZE];
    void *socket;
    bool up;              /* WELCOME has come */
    bool draining;        /* the broker leaves: nothing new for it */
    bool greeted;         /* a HELLO left on this socket */
    uint32_t epoch;       /* of the session; 0 without one */
    uint64_t hello_corr;  /* names the session that HELLO asks for */
    int64_t heartbeat_ms; /* what both keep */
    int64_t heard_ms, greeted_ms, pinged_ms, ticked_ms;
    int64_t delay_us, delay_at_us; /* smallest difference of the two clocks plus way, and when it was seen */
    char refusal[128];    /* what the broker said to a HELLO that it refused */
    bool refused;         /* refusal is new; the owner clears it */
};

/* What a message or the time has done to the session. */
enum peer_news {
    PEER_NOTHING, /* nothing for the owner */
    PEER_UP,      /* a session began */
    PEER_LOST,    /* the session is over: what it had must be thought of as unanswered */
    PEER_MESSAGE, /* *out is one of REQUEST, PARTIAL, REPLY, NACK, CANCEL, PONG */
    PEER_EMPTY    /* nothing waits in the socket */
};

/* settings and what it points to must outlive the peer. */
void peer_open(struct peer *peer, const struct peer_settings *settings, const char *address);
/* Says BYE to a broker that knows us, and gives what was sent a moment to leave. */
void peer_close(struct peer *peer);
/* Takes one message; *out is the caller's on PEER_MESSAGE only. */
enum peer_news peer_receive(struct peer *peer, struct message *out);
/* HELLO when it is time, and what silence means.. Call it after receiving, at least every
 * peer_wait_ms. */
enum peer_news peer_tick(struct peer *peer, int64_t now_ms);
/* True if a PING is due; the owner then calls peer_ping. */
bool peer_ping_due(const struct peer *peer, int64_t now_ms);
void peer_ping(struct peer *peer, int64_t now_ms, struct text body, uint64_t corr);
/* How long until peer_tick or peer_ping has something to do. */
int64_t peer_wait_ms(const struct peer *peer, int64_t now_ms);
/* What to poll the socket for. */
short peer_poll_events(const struct peer *peer);
/* A frame without parts: DRAIN, CANCEL, CREDIT. */
void peer_send_plain(struct peer *peer, enum frame_type type, uint64_t corr);
/* How long a message that arrived just now lay in buffers, by its t_send_us. */
int64_t peer_age_ms(struct peer *peer, const struct frame_head *head);

#endif
