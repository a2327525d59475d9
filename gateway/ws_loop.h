/* A thread that owns many WebSockets (epoll). Everything reaches it through a bounded mailbox, so callers never
 * wait for a client. When the mailbox is full, something was lost: every socket is closed with WS_LAGGING, and clients
 * that come back are checked anew. */
#ifndef ZMART_GATEWAY_WS_LOOP_H
#define ZMART_GATEWAY_WS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/ws_page.h"
#include "gateway/ws_peer.h"
#include "lib/base/metrics.h"

enum { WS_LOOP_MAILBOX = 16384, WS_TICK_MS = 1000, WS_CLOSING_TICK_MS = 50 };

struct ws_loop_settings {
    struct metrics *metrics; /* borrowed */
    /* Called on the loop's thread when a socket is gone. */
    void (*closed)(void *user, const struct ws_record *record);
    void *user;
    /* Asks for a client, on the loop's thread; must not block. Answered once, by ws_loop_answer if a page is wanted,
     * else by ws_loop_permit. NULL: nobody resumes, and who follows an order is not told that it is another's. */
    void (*ask)(void *user, const struct ws_ask *ask);
    void *ask_user;
    /* Told what clients say; NULL: it is taken as a change of what they want. */
    const struct ws_hearer *hearer;
};

struct ws_loop;

/* Starts the thread. NULL when the system gives no epoll or thread. */
struct ws_loop *ws_loop_new(const struct ws_loop_settings *settings);
/* Closes what is left without a handshake, and joins the thread. No other call may run or follow. */
void ws_loop_destroy(struct ws_loop **self);

/* All of these are thread-safe and return at once. */
/* From now on events are queued for the socket; nothing is sent or read before ws_loop_start, which must follow within
 * WS_HOLD_MS. So whoever has seen the handshake's answer misses nothing.
 * False when the loop drains or has no room: then fd and filter stay the caller's, and closed is not called. */
MUST_USE bool ws_loop_add(struct ws_loop *self, const struct ws_peer_settings *settings);
/* early: what the client has said already; copied. */
void ws_loop_start(struct ws_loop *self, uint64_t peer_id, struct text early);
/* What the log has for an ask. Takes over the page; NULL: it could not be asked, or no longer reaches back, so that the
 * client is closed with WS_LAGGING and asks anew. */
void ws_loop_answer(struct ws_loop *self, const struct ws_ask *ask, struct ws_page *page);
/* Whether the orders of an ask are the client's: NONE, NOT_FOUND, or why it could not be found out; detail for the
 * client. */
void ws_loop_permit(struct ws_loop *self, const struct ws_ask *ask, enum err code, const char *detail);
/* Takes over the caller's reference. */
void ws_loop_publish(struct ws_loop *self, struct ws_message *event);
void ws_loop_end_sessions(struct ws_loop *self, const struct denial *denial);
/* Events were missed: closes all with WS_LAGGING. */
void ws_loop_lag(struct ws_loop *self);

/* Takes no more sockets, closes all with WS_GOING_AWAY, and waits until they are gone, at most wait_ms.
 * Returns how many were still there. */
int64_t ws_loop_drain(struct ws_loop *self, int64_t wait_ms);

#endif
