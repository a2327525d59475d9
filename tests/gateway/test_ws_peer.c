/* What a peer hears and says, how it ends, what it queues. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "tests/gateway/peer_fixture.h"

static void events_arrive_as_text(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    assert_true(send_event(f, 1, 5));
    assert_true(send_event(f, 2, 300));
    assert_true(ws_client_read(&f->reader, &frame));
    assert_true(frame.fin && frame.opcode == 1 && frame.rsv == 0 && !frame.masked);
    assert_string_equal(frame.payload, "jjjjj");
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.size, 300);
    assert_false(ws_peer_wants_write(f->peer));
}

static void pings_are_answered(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    char payload[125];
    memset(payload, 0xfe, sizeof(payload));
    ws_client_frame(f->reader.fd, 0x89, payload, sizeof(payload));
    pump(f);
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 10);
    assert_int_equal(frame.size, sizeof(payload));
    assert_memory_equal(frame.payload, payload, sizeof(payload));
}

static void fragments_and_pings_between_them_are_fine(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    ws_client_frame(f->reader.fd, 0x01, "caf\xc3", 4); /* a code point over two frames */
    ws_client_frame(f->reader.fd, 0x89, "p", 1);
    ws_client_frame(f->reader.fd, 0x00, "\xa9", 1);
    ws_client_frame(f->reader.fd, 0x80, "", 0);
    pump(f);
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 10);
    assert_false(ws_peer_is_closing(f->peer));
}

static void a_byte_at_a_time_is_fine(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    static const uint8_t ping[] = {0x89, 0x82, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2};
    for (size_t i = 0; i < sizeof(ping); i++) {
        ws_client_write(f->reader.fd, ping + i, 1);
        pump(f);
    }
    assert_true(ws_client_read(&f->reader, &frame));
    assert_string_equal(frame.payload, "ab");
}

struct bad {
    const char *what;
    const char *bytes;
    size_t size;
    int code;
};

#define MASK "\0\0\0\0"
#define BAD(what, bytes, code)                                                                                         \
    {                                                                                                                  \
        what, bytes, sizeof(bytes) - 1, code                                                                           \
    }

static void broken_rules_have_their_codes(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        BAD("not masked", "\x81\x01x", 1002),
        BAD("RSV1", "\xc1\x81" MASK "x", 1002),
        BAD("RSV2", "\xa1\x81" MASK "x", 1002),
        BAD("RSV3 on a ping", "\x99\x80" MASK, 1002),
        BAD("opcode 3", "\x83\x80" MASK, 1002),
        BAD("opcode 11", "\x8b\x80" MASK, 1002),
        BAD("continuation of nothing", "\x80\x81" MASK "x", 1002),
        BAD("text within a message", "\x01\x81" MASK "x\x81\x81" MASK "y", 1002),
        BAD("fragmented ping", "\x09\x80" MASK, 1002),
        BAD("ping of 126 bytes", "\x89\xfe\x00\x7e" MASK, 1002),
        BAD("half a close code", "\x88\x81" MASK "x", 1002),
        BAD("close code 1005", "\x88\x82" MASK "\x03\xed", 1002),
        BAD("close code 999", "\x88\x82" MASK "\x03\xe7", 1002),
        BAD("close code 5000", "\x88\x82" MASK "\x13\x88", 1002),
        BAD("close reason not UTF-8", "\x88\x83" MASK "\x03\xe8\xff", 1007),
        BAD("length not minimal", "\x81\xfe\x00\x05" MASK "hello", 1002),
        BAD("length with bit 63", "\x81\xff\x80\0\0\0\0\0\0\0" MASK, 1002),
        BAD("not UTF-8", "\x81\x82" MASK "\xc0\x80", 1007),
        BAD("a surrogate", "\x81\x83" MASK "\xed\xa0\x80", 1007),
        BAD("UTF-8 cut off at the end", "\x81\x81" MASK "\xc3", 1007),
        BAD("one byte too much", "\x82\xff\0\0\0\0\0\x01\0\x01" MASK, 1009),
        BAD("two gigabytes", "\x82\xff\0\0\0\0\x80\0\0\0" MASK, 1009),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f;
        fixture_open((void **)&f);
        ws_client_write(f->reader.fd, cases[i].bytes, cases[i].size);
        /* What comes behind must not be read as frames any more. */
        ws_client_write(f->reader.fd, "\x89\x80" MASK, 6);
        pump(f);
        struct ws_frame frame;
        assert_true(ws_client_read(&f->reader, &frame));
        int code = frame.size >= 2 ? (uint8_t)frame.payload[0] << 8 | (uint8_t)frame.payload[1] : 1005;
        if (frame.opcode != 8 || code != cases[i].code) {
            fail_msg("%s: opcode %d code %d", cases[i].what, frame.opcode, code);
        }
        expect_end(f);
        fixture_close((void **)&f);
    }
}

static void fragments_count_together(void **state)
{
    struct fixture *f = *state;
    static char part[30 * 1024];
    memset(part, 'x', sizeof(part));
    for (int i = 0; i < 3; i++) {
        ws_client_frame(f->reader.fd, i == 0 ? 0x02 : 0x00, part, sizeof(part));
        pump(f);
    }
    expect_close(f, 1009);
    expect_end(f);
}

static void a_message_of_the_full_size_is_fine(void **state)
{
    struct fixture *f = *state;
    static char message[64 * 1024];
    memset(message, 'x', sizeof(message));
    for (size_t done = 0; done < sizeof(message); done += 16 * 1024) {
        ws_client_frame(f->reader.fd, done == 0 ? 0x01 : done == 48 * 1024 ? 0x80 : 0x00, message, 16 * 1024);
        pump(f);
    }
    assert_false(ws_peer_is_closing(f->peer));
}

static void too_many_messages_are_against_policy(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        ws_client_frame(f->reader.fd, 0x81, "x", 1);
    }
    pump(f);
    assert_false(ws_peer_is_closing(f->peer));
    f->now_ms += 60 * 1000; /* a new minute */
    ws_peer_on_tick(f->peer, f->now_ms);
    for (int i = 0; i < 21; i++) {
        ws_client_frame(f->reader.fd, 0x81, "x", 1);
    }
    pump(f);
    expect_close(f, 1008);
    expect_end(f);
}

static void tiny_fragments_without_end_are_against_policy(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 8 * 20 + 1; i++) {
        ws_client_frame(f->reader.fd, i == 0 ? 0x01 : 0x00, "", 0);
    }
    pump(f);
    expect_close(f, 1008);
}

static void the_client_closes(void **state)
{
    struct fixture *f = *state;
    struct ws_record record;
    ws_client_frame(f->reader.fd, 0x88,
                    "\x03\xe8"
                    "bye",
                    5);
    pump(f);
    struct ws_frame frame;
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 8);
    assert_memory_equal(frame.payload, "\x03\xe8", 2);
    ws_peer_record(f->peer, f->now_ms + 7, &record);
    assert_int_equal(record.code, 1000);
    assert_int_equal(record.lived_ms, 7);
    assert_string_equal(record.client, "127.0.0.1");
    expect_end(f);
}

static void the_client_closes_without_a_code(void **state)
{
    struct fixture *f = *state;
    ws_client_frame(f->reader.fd, 0x88, "", 0);
    pump(f);
    expect_close(f, 1005);
    expect_end(f);
}

static void we_close_and_wait_for_the_echo(void **state)
{
    struct fixture *f = *state;
    ws_peer_close(f->peer, WS_SESSION_ENDED, "session ended", true, f->now_ms);
    ws_peer_close(f->peer, WS_GOING_AWAY, "too late", true, f->now_ms);
    assert_true(send_event(f, 9, 10)); /* nothing more is queued */
    struct ws_frame frame;
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 8);
    assert_memory_equal(frame.payload, "\x0f\xa1session ended", 15);
    ws_client_frame(f->reader.fd, 0x89, "still here?", 11); /* not answered any more */
    pump(f);
    assert_false(ws_peer_is_done(f->peer));
    ws_client_frame(f->reader.fd, 0x88, "\x0f\xa1", 2);
    expect_end(f);
}

static void a_client_that_ignores_our_close_is_dropped(void **state)
{
    struct fixture *f = *state;
    ws_peer_close(f->peer, WS_GOING_AWAY, "", true, f->now_ms);
    ws_peer_on_tick(f->peer, f->now_ms + limits.close_ms - 1);
    assert_false(ws_peer_is_done(f->peer));
    ws_peer_on_tick(f->peer, f->now_ms + limits.close_ms);
    assert_true(ws_peer_is_done(f->peer));
}

static void a_client_that_vanishes_is_noticed(void **state)
{
    struct fixture *f = *state;
    shutdown(f->reader.fd, SHUT_RDWR);
    ws_peer_on_io(f->peer, true, false, f->now_ms);
    assert_true(ws_peer_is_done(f->peer));
}

static void two_missed_pongs_end_it(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    for (int round = 0; round < 3; round++) { /* one that answers lives on */
        f->now_ms += limits.ping_ms;
        ws_peer_on_tick(f->peer, f->now_ms);
        assert_true(ws_client_read(&f->reader, &frame));
        assert_int_equal(frame.opcode, 9);
        ws_client_frame(f->reader.fd, 0x8a, frame.payload, frame.size);
        pump(f);
    }
    for (int round = 0; round < 2; round++) {
        f->now_ms += limits.ping_ms;
        ws_peer_on_tick(f->peer, f->now_ms);
        assert_false(ws_peer_is_done(f->peer));
    }
    ws_peer_on_tick(f->peer, f->now_ms + limits.ping_ms - 1);
    assert_false(ws_peer_is_done(f->peer));
    ws_peer_on_tick(f->peer, f->now_ms + limits.ping_ms);
    assert_true(ws_peer_is_done(f->peer));
}

static void no_socket_is_for_ever(void **state)
{
    struct fixture *f = *state;
    ws_peer_on_tick(f->peer, f->now_ms + limits.age_ms);
    expect_close(f, WS_SESSION_ENDED);
}

/* Events of 8 KiB until the queue is full; returns the seq that was refused. */
static int64_t fill(struct fixture *f)
{
    int64_t seq = 1;
    while (send_event(f, seq, 8 * 1024)) {
        assert_true(++seq < 1000);
    }
    return seq;
}

static void a_slow_reader_is_told_where_it_stands(void **state)
{
    struct fixture *f = *state;
    int64_t refused = fill(f), last = 0, told = -1;
    assert_true(refused > limits.queue_count);
    struct ws_frame frame;
    struct ws_record record;
    for (bool closed = false; !closed;) {
        pump(f);
        assert_true(ws_client_read(&f->reader, &frame)); /* whole frames to the end: none was cut */
        closed = frame.opcode == 8;
        if (closed) {
            assert_memory_equal(frame.payload, "\x0f\xa8last seq ", 11);
            told = strtoll(frame.payload + 11, NULL, 10);
        } else {
            assert_int_equal(frame.size, 8 * 1024);
            last++;
        }
    }
    assert_int_equal(told, last);
    assert_true(last < refused);
    ws_peer_record(f->peer, f->now_ms, &record);
    assert_int_equal(record.code, WS_LAGGING);
    ws_client_frame(f->reader.fd, 0x88, frame.payload, 2);
    expect_end(f);
}

/* Pings whose answers nobody reads: so many wait, then the peer is dropped. */
static void so_many_answers_wait(void **state)
{
    struct fixture *f = *state;
    for (int64_t seq = 1; seq < limits.queue_count && !ws_peer_wants_write(f->peer); seq++) {
        assert_true(send_event(f, seq, 8 * 1024)); /* until the socket takes no more */
    }
    assert_true(ws_peer_wants_write(f->peer));
    for (int i = 0; i < WS_CONTROL_MAX; i++) {
        ws_client_frame(f->reader.fd, 0x89, "ping", 4);
        ws_peer_on_io(f->peer, true, false, f->now_ms);
        assert_false(ws_peer_is_done(f->peer));
    }
    ws_client_frame(f->reader.fd, 0x89, "ping", 4);
    ws_peer_on_io(f->peer, true, false, f->now_ms);
    assert_true(ws_peer_is_done(f->peer));
}

static void a_reader_that_stalls_for_good_is_dropped(void **state)
{
    struct fixture *f = *state;
    (void)fill(f);
    assert_true(ws_peer_is_closing(f->peer));
    assert_true(ws_peer_wants_write(f->peer));
    ws_peer_on_tick(f->peer, f->now_ms + limits.close_ms);
    assert_true(ws_peer_is_done(f->peer));
}

static void one_event_larger_than_the_queue_still_goes(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    assert_true(send_event(f, 1, 128 * 1024));
    assert_true(ws_peer_wants_write(f->peer));
    struct pollfd wait = {.fd = f->reader.fd, .events = POLLIN};
    size_t got = 0;
    while (got < 128 * 1024 + 10) {
        assert_int_equal(poll(&wait, 1, WS_CLIENT_WAIT_MS), 1);
        ssize_t part = recv(f->reader.fd, f->reader.payload, sizeof(f->reader.payload), 0);
        assert_true(part > 0);
        got += (size_t)part;
        pump(f);
    }
    assert_int_equal(got, 128 * 1024 + 10);
    assert_true(send_event(f, 2, 1));
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.size, 1);
}

static struct ws_peer *held_peer(struct fixture *f)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct ws_peer_settings settings = {.fd = pair[0], .identity = {.user_id = "usr_a"}, .limits = &limits};
    close(f->reader.fd);
    f->reader.fd = pair[1];
    return ws_peer_new(&settings, 0, f->now_ms);
}

static void a_held_peer_queues_and_keeps_silent(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    char byte;
    ws_peer_destroy(&f->peer);
    f->peer = held_peer(f);
    for (int64_t seq = 1; seq <= limits.queue_count; seq++) {
        assert_true(send_event(f, seq, 10));
    }
    ws_peer_on_tick(f->peer, f->now_ms + WS_HOLD_MS - 1);
    assert_int_equal(recv(f->reader.fd, &byte, 1, MSG_DONTWAIT), -1);
    ws_peer_start(f->peer, (struct text){0}, f->now_ms);
    for (int64_t seq = 1; seq <= limits.queue_count; seq++) {
        assert_true(ws_client_read(&f->reader, &frame));
    }
    ws_peer_destroy(&f->peer);
    f->peer = held_peer(f);
    ws_peer_close(f->peer, WS_GOING_AWAY, "", true, f->now_ms);
    assert_int_equal(recv(f->reader.fd, &byte, 1, MSG_DONTWAIT), -1);
    ws_peer_on_tick(f->peer, f->now_ms + WS_HOLD_MS);
    assert_true(ws_peer_is_done(f->peer)); /* its handshake came to nothing */
}

#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PEER(events_arrive_as_text),
        WITH_PEER(pings_are_answered),
        WITH_PEER(fragments_and_pings_between_them_are_fine),
        WITH_PEER(a_byte_at_a_time_is_fine),
        cmocka_unit_test(broken_rules_have_their_codes),
        WITH_PEER(fragments_count_together),
        WITH_PEER(a_message_of_the_full_size_is_fine),
        WITH_PEER(too_many_messages_are_against_policy),
        WITH_PEER(tiny_fragments_without_end_are_against_policy),
        WITH_PEER(the_client_closes),
        WITH_PEER(the_client_closes_without_a_code),
        WITH_PEER(we_close_and_wait_for_the_echo),
        WITH_PEER(a_client_that_ignores_our_close_is_dropped),
        WITH_PEER(a_client_that_vanishes_is_noticed),
        WITH_PEER(two_missed_pongs_end_it),
        WITH_PEER(no_socket_is_for_ever),
        WITH_PEER(a_slow_reader_is_told_where_it_stands),
        WITH_PEER(so_many_answers_wait),
        WITH_PEER(a_reader_that_stalls_for_good_is_dropped),
        WITH_PEER(one_event_larger_than_the_queue_still_goes),
        WITH_PEER(a_held_peer_queues_and_keeps_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
