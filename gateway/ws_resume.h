/* A client that begins in the past: gets what it missed from the log, page by page and as fast as it reads, then what
 * came meanwhile from the newest events, then lives. One thread. */
#ifndef ZMART_GATEWAY_WS_RESUME_H
#define ZMART_GATEWAY_WS_RESUME_H

#include "gateway/ws_page.h"
#include "gateway/ws_peer.h"
#include "gateway/ws_recent.h"

struct ws_resumer {
    const struct ws_recent *recent; /* borrowed */
    /* Asks the log; must not block. Answered by ws_resume_take. */
    void (*ask)(void *user, const struct ws_ask *ask);
    void *user;
    int64_t *events_count; /* counts what is queued */
};

/* Goes on as far as it can: to be called when the peer starts, when its queue has been emptied, and when a page came.
 * Nothing happens for a peer that does not resume. */
void ws_resume_step(const struct ws_resumer *self, struct ws_peer *peer, uint32_t bucket, int64_t now_ms);
/* Takes over the page. NULL: the log could not be asked, or no longer reaches back: the peer is closed as one that
 * lags. */
void ws_resume_take(const struct ws_resumer *self, struct ws_peer *peer, uint32_t bucket, struct ws_page *page,
                    int64_t now_ms);
/* The client has subscribed to more: a page that is on its way is asked for again, since it would pass over that. */
void ws_resume_retype(struct ws_peer *peer);
/* Before the peer is destroyed. */
void ws_resume_release(struct ws_peer *peer);

#endif
