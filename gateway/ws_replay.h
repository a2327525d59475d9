/* Finds out for clients what services know: threads of its own that ask event-svc for what was missed (and make
 * frames), and order-svc whose orders are, so that neither a loop nor a civetweb worker waits for it. */
#ifndef ZMART_GATEWAY_WS_REPLAY_H
#define ZMART_GATEWAY_WS_REPLAY_H

#include "gateway/ws_access.h"
#include "gateway/ws_loop.h"
#include "lib/base/log.h"
#include "lib/bus/client.h"

enum { WS_REPLAY_THREADS = 2, WS_REPLAY_ASKS = 65536, WS_REPLAY_HEARD_MS = 3000 };

struct ws_replay_settings {
    struct bus_client *client; /* borrowed, as everything here; NULL: nothing can be asked */
    const struct log *log;
    /* Milliseconds since the event stream was heard; INT64_MAX: never. What follows a page must be heard, so nobody
     * begins before the stream was. */
    int64_t (*silence_ms)(void *user);
    void *user;
    struct ws_access access; /* whose orders they are */
};

struct ws_replay;

struct ws_replay *ws_replay_new(const struct ws_replay_settings *settings);
/* Starts the threads. False when the system gives none. */
MUST_USE bool ws_replay_start(struct ws_replay *self);
/* Ends the threads; before the loops that ask are destroyed. Waits for calls that run. */
void ws_replay_stop(struct ws_replay *self);
/* After the loops. */
void ws_replay_destroy(struct ws_replay **self);

/* For ws_loop_settings.ask; user is the replay. */
void ws_replay_ask(void *user, const struct ws_ask *ask);
/* Whether the orders are this account's: NONE or the first error, with the order in the detail. Any thread. */
MUST_USE enum err ws_replay_permit(struct ws_replay *self, const struct ws_ask *ask, struct fault *fault);
/* Waits until the event stream has been heard, WS_REPLAY_HEARD_MS at most: SERVICE_UNAVAILABLE else. Any thread. */
MUST_USE enum err ws_replay_hear(struct ws_replay *self, struct fault *fault);
/* The same, and asks whether the log reaches back: POSITION_LOST with fault->head, or why it could not be asked. */
MUST_USE enum err ws_replay_check(struct ws_replay *self, int64_t after, struct fault *fault);

#endif
