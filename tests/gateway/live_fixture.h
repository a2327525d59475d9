/* A real civetweb with the live part of the gateway behind it, and clients of it. */
#ifndef ZMART_TESTS_GATEWAY_LIVE_FIXTURE_H
#define ZMART_TESTS_GATEWAY_LIVE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <civetweb.h>
#include <stdatomic.h>

#include "gateway/live.h"
#include "tests/gateway/ws_client.h"
#include "tests/gateway/ws_order.h"

enum { WORKERS = 3 };

struct fixture {
    struct log log;
    struct metrics *metrics;
    struct env env;
    struct accept_registry *accepts;
    struct live_config config;
    struct ws_limits limits;
    struct live *live;
    struct mg_context *context;
    int port;
    struct ws_reader reader;
};

extern atomic_bool orders_wait;    /* whoever asks for an order gets no answer yet */
extern atomic_bool stream_unheard; /* no event and no beacon has come yet */

int fixture_open(void **state);
int fixture_close(void **state);
int open_at(struct fixture *f, const char *target, const char *extra);
void publish(struct fixture *f, int64_t seq, const char *user, const char *order, uint32_t note_size);
int64_t read_seq(struct fixture *f, int fd);
int read_close(struct fixture *f, int fd);
void wait_connections(struct fixture *f, int64_t count);
/* The next message that is no event. */
void expect_text(struct fixture *f, int fd, const char *wanted);
void say(int fd, const char *text);

#endif
