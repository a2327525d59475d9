#include "tests/gateway/peer_fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/event_types.h"

void fixture_open_as(struct fixture *f, enum role role, struct ws_filter filter)
{
    int pair[2], size = 16 * 1024;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    struct ws_peer_settings settings = {
        .id = 5,
        .fd = pair[0],
        .identity = {.user_id = "usr_a", .session_id = "ses_a", .role = role, .issued_at_ms = 1000},
        .filter = filter,
        .limits = &limits,
        .client = "127.0.0.1",
    };
    f->reader.fd = pair[1];
    f->now_ms = 1000000;
    f->peer = ws_peer_new(&settings, 0, f->now_ms);
    assert_non_null(f->peer);
    assert_true(ws_peer_is_held(f->peer));
    ws_peer_start(f->peer, (struct text){0}, f->now_ms);
}

int fixture_open(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_open_as(f, ROLE_CUSTOMER, (struct ws_filter){0});
    *state = f;
    return 0;
}

int fixture_close(void **state)
{
    struct fixture *f = *state;
    ws_peer_destroy(&f->peer);
    close(f->reader.fd);
    free(f);
    return 0;
}

void pump(struct fixture *f)
{
    struct pollfd wait = {.fd = ws_peer_fd(f->peer), .events = POLLIN | POLLOUT};
    while (!ws_peer_is_done(f->peer) && poll(&wait, 1, 0) == 1 && (wait.revents & POLLIN)) {
        ws_peer_on_io(f->peer, true, true, f->now_ms);
    }
    ws_peer_on_io(f->peer, false, true, f->now_ms);
}

void expect_close(struct fixture *f, int code)
{
    struct ws_frame frame;
    do {
        assert_true(ws_client_read(&f->reader, &frame));
    } while (frame.opcode != 8);
    assert_int_equal(frame.size ? (uint8_t)frame.payload[0] << 8 | (uint8_t)frame.payload[1] : 1005, code);
}

void expect_end(struct fixture *f)
{
    struct ws_frame frame;
    pump(f);
    assert_false(ws_client_read(&f->reader, &frame));
    shutdown(f->reader.fd, SHUT_RDWR);
    ws_peer_on_io(f->peer, true, true, f->now_ms);
    assert_true(ws_peer_is_done(f->peer));
}

struct ws_message *event_of(int64_t seq, const char *user, const char *order, uint32_t size)
{
    static char json[256 * 1024];
    memset(json, 'j', sizeof(json));
    struct ws_message *message = ws_message_of_event((struct text){json, size}, seq, text_of(user), text_of(order));
    message->types = event_types_bit(TEXT("order.placed"));
    return message;
}

bool send_event(struct fixture *f, int64_t seq, uint32_t size)
{
    struct ws_message *event = event_of(seq, "usr_a", "ord_1", size);
    bool sent = ws_peer_send(f->peer, event, f->now_ms);
    ws_message_drop(&event);
    return sent;
}
