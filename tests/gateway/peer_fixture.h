/* One end of a socket pair as a WebSocket client of the gateway, the other as its peer. */
#ifndef ZMART_TESTS_GATEWAY_PEER_FIXTURE_H
#define ZMART_TESTS_GATEWAY_PEER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/ws_peer.h"
#include "tests/gateway/ws_client.h"

static const struct ws_limits limits = {
    .queue_count = 8,
    .queue_size = 64 * 1024,
    .receive_size = 64 * 1024,
    .receive_rate = 20,
    .ping_ms = 25000,
    .close_ms = 2000,
    .age_ms = 3600 * 1000,
};

struct fixture {
    struct ws_peer *peer;
    struct ws_reader reader; /* the client's end */
    int64_t now_ms;
};

void fixture_open_as(struct fixture *f, enum role role, struct ws_filter filter);
int fixture_open(void **state);
int fixture_close(void **state);
void pump(struct fixture *f);
void expect_close(struct fixture *f, int code);
/* The client says goodbye and hangs up; nothing is left. */
void expect_end(struct fixture *f);
struct ws_message *event_of(int64_t seq, const char *user, const char *order, uint32_t size);
bool send_event(struct fixture *f, int64_t seq, uint32_t size);

#endif
