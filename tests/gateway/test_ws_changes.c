/* Clients that change what they follow, from what they say with the handshake on. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/ws_change.h"
#include "tests/gateway/live_fixture.h"

#define ALL_OF_ORDERS "\"order.placed\",\"order.confirmed\",\"order.shipped\",\"order.delivered\",\"order.cancelled\""

/* Frames in the same packet as the handshake: civetweb has read them, so they are handed over. */
static void what_is_said_before_the_101_is_heard(void **state)
{
    struct fixture *f = *state;
    static const char early[] = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: "
                                "13\r\nAuthorization: customer usr_a s\r\n\r\n"
                                "\x81\x82\0\0\0\0hi\x89\x84\0\0\0\0ping";
    char head[1024];
    size_t used = 0;
    int fd = ws_client_connect(f->port);
    ws_client_write(fd, early, sizeof(early) - 1);
    while (used < 4 || memcmp(head + used - 4, "\r\n\r\n", 4) != 0) {
        assert_int_equal(recv(fd, head + used, 1, 0), 1);
        assert_true(++used < sizeof(head));
    }
    assert_memory_equal(head, "HTTP/1.1 101", 12);
    expect_text(f, fd, "\"invalid_body\"");
    struct ws_frame frame;
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 10);
    assert_string_equal(frame.payload, "ping");
    publish(f, 1, "usr_a", ORDER_A, 0);
    assert_int_equal(read_seq(f, fd), 1);
    close(fd);
    wait_connections(f, 0);
}

static void clients_change_what_they_follow(void **state)
{
    struct fixture *f = *state;
    int fd = open_at(f, "/ws?orders=" ORDER_B, "Authorization: customer usr_b ses_2\r\n");
    publish(f, 1, "usr_b", ORDER_C, 0);
    publish(f, 2, "usr_b", ORDER_B, 0);
    assert_int_equal(read_seq(f, fd), 2);
    say(fd, "{\"subscribe\":{\"orders\":[\"" ORDER_C "\"]}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[],\"orders\":[\"" ORDER_B "\",\"" ORDER_C "\"]}}");
    publish(f, 3, "usr_b", ORDER_C, 0);
    assert_int_equal(read_seq(f, fd), 3);
    say(fd, "{\"unsubscribe\":{\"orders\":[\"" ORDER_B "\"]}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[],\"orders\":[\"" ORDER_C "\"]}}");
    publish(f, 4, "usr_b", ORDER_B, 0);
    publish(f, 5, "usr_b", ORDER_C, 0);
    assert_int_equal(read_seq(f, fd), 5);
    say(fd, "{\"subscribe\":{\"types\":[\"order.*\"]}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[" ALL_OF_ORDERS "],\"orders\":[\"" ORDER_C "\"]}}");
    publish(f, 6, "usr_b", ORDER_B, 0);
    assert_int_equal(read_seq(f, fd), 6);
    close(fd);
}

/* Changes that ask order-svc wait in line, so many of one client; the next one is refused, and those in line go on. */
static void so_many_changes_wait(void **state)
{
    struct fixture *f = *state;
    int fd = open_at(f, "/ws?types=order.shipped", "Authorization: customer usr_b ses_2\r\n");
    atomic_store(&orders_wait, true);
    for (int i = 0; i < WS_CHANGES_MAX + 1; i++) {
        say(fd, "{\"subscribe\":{\"orders\":[\"" ORDER_B "\"]}}");
    }
    expect_text(f, fd, "\"rate_limited\"");
    atomic_store(&orders_wait, false);
    for (int i = 0; i < WS_CHANGES_MAX; i++) {
        expect_text(f, fd, "{\"subscribed\":{\"types\":[\"order.shipped\"],\"orders\":[\"" ORDER_B "\"]}}");
    }
    close(fd);
}

static void changes_that_are_refused_change_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *said, *told;
    } cases[] = {
        {"hello", "\"invalid_body\""},
        {"{}", "takes {"},
        {"{\"subscribe\":{},\"unsubscribe\":{}}", "\"invalid_body\""},
        {"{\"subscribe\":{\"topics\":[]}}", "\"/subscribe/topics\""},
        {"{\"subscribe\":{\"types\":[\"order.placed\",\"order.lost\"]}}", "\"/subscribe/types/1\""},
        {"{\"subscribe\":{\"orders\":[\"ord_1\"]}}", "\"/subscribe/orders/0\""},
        {"{\"unsubscribe\":{\"orders\":[\"ord_1\"]}}", "\"/unsubscribe/orders/0\""},
        {"{\"subscribe\":{\"types\":[\"order.placed\"],\"orders\":[\"" ORDER_A "\"]}}", "\"not_found\""},
    };
    int fd = open_at(f, "/ws?types=order.shipped", "Authorization: customer usr_b ses_2\r\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        say(fd, cases[i].said);
        expect_text(f, fd, "{\"error\":{");
        assert_non_null(strstr(f->reader.payload, cases[i].told));
    }
    static char big[5000];
    memset(big, ' ', sizeof(big));
    ws_client_frame(fd, 0x81, big, sizeof(big));
    expect_text(f, fd, "at most 4096 bytes");
    ws_client_frame(fd, 0x82, "{}", 2);
    expect_text(f, fd, "\"invalid_body\"");
    publish(f, 1, "usr_b", ORDER_B, 0); /* order.placed */
    say(fd, "{\"subscribe\":{}}");
    expect_text(f, fd, "{\"subscribed\":{\"types\":[\"order.shipped\"],\"orders\":[]}}");
    close(fd);
}

#define WITH_LIVE(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LIVE(what_is_said_before_the_101_is_heard),
        WITH_LIVE(clients_change_what_they_follow),
        WITH_LIVE(so_many_changes_wait),
        WITH_LIVE(changes_that_are_refused_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
