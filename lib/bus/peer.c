#include "lib/bus/peer.h"

#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "proto/fault.h"

enum {
    PEER_RECONNECT_MS = 20,
    PEER_RECONNECT_MAX_MS = 500,
    PEER_CONNECT_TIMEOUT_MS = 3000,
    PEER_HANDSHAKE_MS = 5000,
    PEER_KEEPALIVE_IDLE_S = 30,
    PEER_KEEPALIVE_INTERVAL_S = 10,
    PEER_KEEPALIVE_COUNT = 3,
    PEER_HELLO_MAX_SIZE = 8 * 1024,
    PEER_LEAST_WAIT_MS = 1
};

static void option_set(void *socket, int option, int value)
{
    ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void options_set(void *socket)
{
    int64_t max_size = FRAME_MAX_BODY + 64 * 1024;
    ASSERT(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_size, sizeof max_size) == 0);
    option_set(socket, ZMQ_IMMEDIATE, 1);
    option_set(socket, ZMQ_LINGER, 0);
    option_set(socket, ZMQ_SNDTIMEO, 0);
    option_set(socket, ZMQ_RCVTIMEO, 0);
    option_set(socket, ZMQ_SNDHWM, PEER_HIGH_WATER);
    option_set(socket, ZMQ_RCVHWM, PEER_HIGH_WATER);
    option_set(socket, ZMQ_RECONNECT_IVL, PEER_RECONNECT_MS);
    option_set(socket, ZMQ_RECONNECT_IVL_MAX, PEER_RECONNECT_MAX_MS);
    option_set(socket, ZMQ_CONNECT_TIMEOUT, PEER_CONNECT_TIMEOUT_MS);
    option_set(socket, ZMQ_HANDSHAKE_IVL, PEER_HANDSHAKE_MS);
    option_set(socket, ZMQ_TCP_KEEPALIVE, 1);
    option_set(socket, ZMQ_TCP_KEEPALIVE_IDLE, PEER_KEEPALIVE_IDLE_S);
    option_set(socket, ZMQ_TCP_KEEPALIVE_INTVL, PEER_KEEPALIVE_INTERVAL_S);
    option_set(socket, ZMQ_TCP_KEEPALIVE_CNT, PEER_KEEPALIVE_COUNT);
}

/* A fresh socket for a fresh session. */
static void socket_renew(struct peer *peer)
{
    if (peer->socket) {
        zmq_close(peer->socket);
    }
    peer->socket = zmq_socket(peer->settings->context, ZMQ_DEALER);
    ASSERT(peer->socket != NULL);
    options_set(peer->socket);
    credentials_set(peer->settings->credentials, peer->socket, peer->address);
    ASSERT(zmq_connect(peer->socket, peer->address) == 0);
    id_random(&peer->hello_corr, sizeof peer->hello_corr);
    peer->hello_corr |= 1;
    peer->up = peer->draining = peer->greeted = false;
    peer->epoch = 0;
    peer->heartbeat_ms = peer->settings->heartbeat_ms;
    peer->heard_ms = clock_now_ms();
    peer->delay_us = INT64_MAX;
}

void peer_open(struct peer *peer, const struct peer_settings *settings, const char *address)
{
    *peer = (struct peer){.settings = settings, .ticked_ms = clock_now_ms()};
    snprintf(peer->address, sizeof peer->address, "%s", address);
    socket_renew(peer);
}

void peer_close(struct peer *peer)
{
    if (!peer->socket) {
        return;
    }
    if (peer->up) {
        peer_send_plain(peer, FRAME_BYE, 0);
        option_set(peer->socket, ZMQ_LINGER, PEER_CLOSE_LINGER_MS);
    }
    zmq_close(peer->socket);
    peer->socket = NULL;
    peer->up = false;
}

void peer_send_plain(struct peer *peer, enum frame_type type, uint64_t corr)
{
    struct message message = {.head = {.type = type, .attempt = 1, .corr = corr, .epoch = peer->epoch}};
    bool sent = message_send(peer->socket, &message);
    (void)sent; /* what these say is said again by silence, if it does not arrive */
}

static void hello_send(struct peer *peer, int64_t now_ms)
{
    const struct peer_settings *settings = peer->settings;
    struct hello hello = {.role = text_of(settings->role),
                          .instance = text_of(settings->instance),
                          .version = TEXT(ZMART_VERSION),
                          .hb_ms = settings->heartbeat_ms};
    hello.services.items = (struct hello_service *)(uintptr_t)settings->services;
    hello.services.count = settings->service_count;
    AUTO(buffer_release) struct buffer body;
    buffer_init(&body, PEER_HELLO_MAX_SIZE);
    ASSERT(record_pack(&hello_record, &hello, &body));
    struct message message = {.head = {.type = FRAME_HELLO, .attempt = 1, .corr = peer->hello_corr}};
    message_add(&message, buffer_text(&body));
    if (message_send(peer->socket, &message)) {
        peer->greeted = true;
        peer->greeted_ms = now_ms;
    }
    message_release(&message);
}

static enum peer_news welcome_take(struct peer *peer, const struct message *message)
{
    AUTO(arena_release) struct arena arena = {0};
    struct welcome welcome;
    if (peer->up || record_unpack(&welcome_record, message_part(message, 0), &arena, NULL, &welcome) != ERR_NONE) {
        return PEER_NOTHING;
    }
    peer->up = true;
    peer->epoch = (uint32_t)welcome.epoch;
    peer->heartbeat_ms = welcome.hb_ms;
    peer->pinged_ms = peer->heard_ms;
    (void)peer_age_ms(peer, &message->head);
    return PEER_UP;
}

/* HELLO was refused: keep what was said for the owner's log, and try again at the usual pace. */
static enum peer_news refusal_take(struct peer *peer, const struct message *message)
{
    AUTO(arena_release) struct arena arena = {0};
    struct problem problem;
    if (record_unpack(&problem_record, message_part(message, 1), &arena, NULL, &problem) == ERR_NONE) {
        char refusal[sizeof peer->refusal];
        snprintf(refusal, sizeof refusal, "%.*s: %.*s", TEXT_ARG(problem.code), TEXT_ARG(problem.detail));
        peer->refused = peer->refused || strcmp(refusal, peer->refusal) != 0;
        snprintf(peer->refusal, sizeof peer->refusal, "%s", refusal);
    }
    return PEER_NOTHING;
}

static enum peer_news session_lost(struct peer *peer)
{
    bool was_up = peer->up;
    socket_renew(peer);
    return was_up ? PEER_LOST : PEER_NOTHING;
}

/* What is about the session itself; PEER_MESSAGE for what is the owner's. */
static enum peer_news message_take(struct peer *peer, const struct message *message)
{
    const struct frame_head *head = &message->head;
    switch (head->type) {
    case FRAME_WELCOME: return welcome_take(peer, message);
    case FRAME_BYE: return peer->up && head->epoch == peer->epoch ? session_lost(peer) : PEER_NOTHING;
    case FRAME_DRAIN: peer->draining = true; return PEER_NOTHING;
    case FRAME_NACK:
        if (!peer->up) {
            return refusal_take(peer, message);
        }
        return PEER_MESSAGE;
    case FRAME_REQUEST:
    case FRAME_PARTIAL:
    case FRAME_REPLY:
    case FRAME_CANCEL:
    case FRAME_PONG: return peer->up ? PEER_MESSAGE : PEER_NOTHING;
    case FRAME_HELLO:
    case FRAME_CREDIT:
    case FRAME_PING:
    case FRAME_TYPE_COUNT: break;
    }
    return PEER_NOTHING;
}

enum peer_news peer_receive(struct peer *peer, struct message *out)
{
    switch (message_receive(peer->socket, out)) {
    case MESSAGE_NONE: return PEER_EMPTY;
    case MESSAGE_BAD: return PEER_NOTHING;
    case MESSAGE_GOOD: break;
    }
    peer->heard_ms = clock_now_ms();
    enum peer_news news = message_take(peer, out);
    if (news != PEER_MESSAGE) {
        message_release(out);
    }
    return news;
}

enum peer_news peer_tick(struct peer *peer, int64_t now_ms)
{
    int64_t limit_ms = peer->heartbeat_ms * 7 / 2;
    if (now_ms - peer->ticked_ms > peer->heartbeat_ms) {
        /* We were stopped ourselves: what arrived meanwhile must be read before silence means anything. */
        int64_t least_ms = now_ms - limit_ms + peer->heartbeat_ms;
        peer->heard_ms = peer->heard_ms > least_ms ? peer->heard_ms : least_ms;
    }
    peer->ticked_ms = now_ms;
    if (now_ms - peer->heard_ms > limit_ms) {
        return session_lost(peer);
    }
    if (!peer->up && (!peer->greeted || now_ms - peer->greeted_ms >= peer->heartbeat_ms)) {
        hello_send(peer, now_ms);
    }
    return PEER_NOTHING;
}

bool peer_ping_due(const struct peer *peer, int64_t now_ms)
{
    return peer->up && now_ms - peer->pinged_ms >= peer->heartbeat_ms;
}

void peer_ping(struct peer *peer, int64_t now_ms, struct text body, uint64_t corr)
{
    struct message message = {.head = {.type = FRAME_PING, .attempt = 1, .corr = corr, .epoch = peer->epoch}};
    if (body.size) {
        message_add(&message, body);
    }
    bool sent = message_send(peer->socket, &message);
    (void)sent; /* a broker that cannot be reached falls silent */
    message_release(&message);
    peer->pinged_ms = now_ms;
}

int64_t peer_wait_ms(const struct peer *peer, int64_t now_ms)
{
    int64_t next_ms = peer->heard_ms + peer->heartbeat_ms * 7 / 2 + 1;
    int64_t said_ms = peer->up ? peer->pinged_ms : peer->greeted_ms;
    if ((peer->up || peer->greeted) && said_ms + peer->heartbeat_ms < next_ms) {
        next_ms = said_ms + peer->heartbeat_ms;
    }
    return next_ms - now_ms > PEER_LEAST_WAIT_MS ? next_ms - now_ms : PEER_LEAST_WAIT_MS;
}

short peer_poll_events(const struct peer *peer)
{
    /* Until HELLO has left, being writable is news: the connection stands. */
    return peer->up || peer->greeted ? ZMQ_POLLIN : ZMQ_POLLIN | ZMQ_POLLOUT;
}

int64_t peer_age_ms(struct peer *peer, const struct frame_head *head)
{
    enum { LEAK_EVERY_US = 1000000 };
    int64_t now_us = clock_now_us();
    if (head->t_send_us < 0) {
        return 0;
    }
    int64_t delay_us = now_us - head->t_send_us;
    if (peer->delay_us == INT64_MAX) {
        peer->delay_us = delay_us;
        peer->delay_at_us = now_us;
    } else if (now_us - peer->delay_at_us >= LEAK_EVERY_US) {
        peer->delay_us += (now_us - peer->delay_at_us) / PEER_CLOCK_LEAK;
        peer->delay_at_us = now_us;
    }
    if (delay_us < peer->delay_us) {
        peer->delay_us = delay_us;
    }
    return (delay_us - peer->delay_us) / 1000;
}
