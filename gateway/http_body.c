#include "gateway/http_body.h"

#include <civetweb.h>
#include <poll.h>
#include <sys/socket.h>

#include "gateway/gateway.h"
#include "lib/base/clock.h"

enum {
    SMALL_BODY_SIZE = 64 * 1024,   /* an unread body up to here is read, so that the connection goes on */
    LINGER_SIZE = 4 * 1024 * 1024, /* else so much of it is thrown away, so that the reply arrives */
    LINGER_MS = 1000,
    CHUNK_SIZE = 16 * 1024
};

static struct mg_connection *connection_of(const struct exchange *x)
{
    return ((struct body_source *)x->connection)->connection;
}

static enum err incomplete(struct exchange *x, bool cut)
{
    return cut ? fault_set(&x->fault, ERR_REQUEST_TIMEOUT, NULL)
               : fault_set(&x->fault, ERR_BAD_REQUEST,
                           "The body ended before its announced end, or is framed wrongly.");
}

static bool sized_read(struct exchange *x, struct text *out)
{
    size_t size = (size_t)x->request.content_length, done = 0;
    char *room = arena_alloc(&x->arena, size);
    while (done < size) {
        int got = mg_read(connection_of(x), room + done, size - done);
        if (got <= 0) {
            return false;
        }
        done += (size_t)got;
    }
    *out = (struct text){room, (uint32_t)size};
    return true;
}

/* *out_large: it was more than max_size. */
static bool chunks_read(struct exchange *x, size_t max_size, struct text *out, bool *out_large)
{
    AUTO(buffer_release) struct buffer body;
    char *room = arena_alloc(&x->arena, CHUNK_SIZE);
    buffer_init(&body, max_size);
    for (;;) {
        int got = mg_read(connection_of(x), room, CHUNK_SIZE);
        if (got < 0) {
            return false;
        }
        if (got == 0) {
            *out = (struct text){arena_copy(&x->arena, body.data, body.size), (uint32_t)body.size};
            return true;
        }
        if (!buffer_add(&body, room, (size_t)got)) {
            *out_large = true;
            return false;
        }
    }
}

enum err http_body_read(struct exchange *x, size_t max_size, struct text *out)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct body_source *source = x->connection;
    struct reaper_watch watch;
    struct text body;
    bool large = false;
    if (!x->request.http_1_0 && text_equal_ignoring_case(x->request.headers[HEADER_EXPECT], TEXT("100-continue"))) {
        (void)mg_write(connection_of(x), go_on, sizeof go_on - 1);
    }
    if (source->fd >= 0) {
        reaper_watch(source->reaper, &watch, source->fd, clock_now_ms() + x->gateway->config->arrival_ms / 2);
    }
    bool good = x->request.chunked ? chunks_read(x, max_size, &body, &large) : sized_read(x, &body);
    bool cut = source->fd >= 0 && reaper_release(source->reaper, &watch);
    if (large) {
        return fault_set(&x->fault, ERR_BODY_TOO_LARGE, "A body takes at most %zu bytes.", max_size);
    }
    if (!good) {
        return incomplete(x, cut);
    }
    x->body_read = true;
    *out = body;
    return ERR_NONE;
}

void http_body_skip(struct exchange *x)
{
    struct text body;
    struct fault fault = x->fault;
    bool small =
        !x->request.chunked && x->request.content_length <= SMALL_BODY_SIZE && !x->request.headers[HEADER_EXPECT].data;
    if (!small || x->reply.close || http_body_read(x, SMALL_BODY_SIZE, &body) != ERR_NONE) {
        x->reply.close = true;
    }
    x->fault = fault;
}

void http_linger(int fd)
{
    char room[2048];
    int64_t until_ms = clock_now_ms() + LINGER_MS;
    size_t left = LINGER_SIZE;
    (void)shutdown(fd, SHUT_WR);
    for (int64_t now_ms = clock_now_ms(); now_ms < until_ms; now_ms = clock_now_ms()) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)(until_ms - now_ms)) <= 0) {
            return;
        }
        ssize_t got = recv(fd, room, sizeof room, MSG_DONTWAIT);
        if (got <= 0 || (size_t)got >= left) {
            return;
        }
        left -= (size_t)got;
    }
}
