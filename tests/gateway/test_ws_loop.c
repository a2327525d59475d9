#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/ws_ended.h"
#include "gateway/event_types.h"
#include "gateway/ws_loop.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/gateway/ws_client.h"

static const struct ws_limits limits = {
    .queue_count = 16,
    .queue_size = 256 * 1024,
    .receive_size = 64 * 1024,
    .receive_rate = 100,
    .ping_ms = 25000,
    .close_ms = 1000,
    .age_ms = 3600 * 1000,
};

enum { CODES_MAX = 64 };

struct fixture {
    struct metrics *metrics;
    struct ws_loop *loop;
    pthread_mutex_t mutex;
    int closed_count;
    int codes[CODES_MAX]; /* by socket id */
    uint64_t next_id;
    bool hold; /* sockets are added and not started */
    struct ws_reader reader;
};

static void on_closed(void *user, const struct ws_record *record)
{
    struct fixture *f = user;
    pthread_mutex_lock(&f->mutex);
    f->closed_count++;
    if (record->id < CODES_MAX) {
        f->codes[record->id] = record->code;
    }
    pthread_mutex_unlock(&f->mutex);
}

static int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->metrics = metrics_new();
    pthread_mutex_init(&f->mutex, NULL);
    struct ws_loop_settings settings = {.metrics = f->metrics, .closed = on_closed, .user = f};
    f->loop = ws_loop_new(&settings);
    assert_non_null(f->loop);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;
    ws_loop_destroy(&f->loop);
    metrics_destroy(&f->metrics);
    pthread_mutex_destroy(&f->mutex);
    free(f);
    return 0;
}

static int closed_count(struct fixture *f)
{
    pthread_mutex_lock(&f->mutex);
    int count = f->closed_count;
    pthread_mutex_unlock(&f->mutex);
    return count;
}

static void wait_closed(struct fixture *f, int count)
{
    int64_t until = clock_now_ms() + WS_CLIENT_WAIT_MS;
    struct timespec pause = {.tv_nsec = 1000000};
    while (closed_count(f) < count) {
        assert_true(clock_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}

/* Returns the client's end. */
static int add_at(struct fixture *f, const char *user, const char *session, enum role role, int64_t checked_ms)
{
    int pair[2], size = 16 * 1024;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    struct ws_peer_settings settings = {
        .id = f->next_id++,
        .fd = pair[0],
        .identity = {.role = role, .issued_at_ms = 1000, .checked_ms = checked_ms},
        .limits = &limits,
        .client = "127.0.0.1",
    };
    snprintf(settings.identity.user_id, WS_ID_SIZE, "%s", user);
    snprintf(settings.identity.session_id, WS_ID_SIZE, "%s", session);
    if (!ws_loop_add(f->loop, &settings)) {
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    if (!f->hold) {
        ws_loop_start(f->loop, settings.id, (struct text){0});
    }
    return pair[1];
}

static int add(struct fixture *f, const char *user, enum role role)
{
    return add_at(f, user, "ses_1", role, clock_now_ms());
}

static void publish(struct fixture *f, int64_t seq, const char *user, uint32_t size)
{
    static char json[64 * 1024];
    memset(json, 'j', size);
    int used = snprintf(json, sizeof(json), "%lld", (long long)seq);
    json[used] = ' ';
    struct ws_message *message = ws_message_of_event((struct text){json, size}, seq, text_of(user), TEXT("ord_1"));
    message->types = event_types_bit(TEXT("order.placed"));
    ws_loop_publish(f->loop, message);
}

static int64_t read_seq(struct fixture *f, int fd)
{
    struct ws_frame frame;
    f->reader.fd = fd;
    assert_true(ws_client_read(&f->reader, &frame));
    assert_int_equal(frame.opcode, 1);
    return strtoll(frame.payload, NULL, 10);
}

static int read_close(struct fixture *f, int fd)
{
    f->reader.fd = fd;
    return ws_client_read_close(&f->reader, NULL);
}

static int64_t metric_of(struct fixture *f, enum metric_kind kind, const char *name)
{
    return metric_value(metrics_get(f->metrics, kind, name, "", ""));
}

/* A frame may be read before the loop has counted it. */
static void metric_reaches(struct fixture *f, enum metric_kind kind, const char *name, int64_t value)
{
    int64_t until_ms = clock_now_ms() + 20000;
    while (metric_of(f, kind, name) < value && clock_now_ms() < until_ms) {
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(metric_of(f, kind, name), value);
}

static void events_go_to_those_who_may_see_them(void **state)
{
    struct fixture *f = *state;
    int a = add(f, "usr_a", ROLE_CUSTOMER), b = add(f, "usr_b", ROLE_CUSTOMER), admin = add(f, "usr_c", ROLE_ADMIN);
    assert_int_equal(metric_of(f, METRIC_GAUGE, "zmart_ws_connections"), 3);
    publish(f, 1, "usr_a", 20);
    publish(f, 2, "usr_b", 20);
    publish(f, 3, "usr_c", 20); /* the administrator's own: once */
    publish(f, 4, "", 20);
    publish(f, 5, "usr_a", 20);
    publish(f, 6, "usr_b", 20);
    assert_int_equal(read_seq(f, a), 1);
    assert_int_equal(read_seq(f, a), 5);
    assert_int_equal(read_seq(f, b), 2);
    assert_int_equal(read_seq(f, b), 6);
    for (int64_t seq = 1; seq <= 6; seq++) {
        assert_int_equal(read_seq(f, admin), seq);
    }
    metric_reaches(f, METRIC_COUNTER, "zmart_ws_messages_total", 10);
    close(a);
    close(b);
    close(admin);
    wait_closed(f, 3);
    assert_int_equal(f->codes[0], 1006);
    assert_int_equal(ws_loop_drain(f->loop, 0), 0);
    assert_int_equal(metric_of(f, METRIC_GAUGE, "zmart_ws_connections"), 0);
}

static void a_stalled_reader_does_not_delay_others(void **state)
{
    struct fixture *f = *state;
    int stalled = add(f, "usr_a", ROLE_CUSTOMER), lively = add(f, "usr_a", ROLE_CUSTOMER);
    for (int64_t seq = 1; seq <= 200; seq++) {
        publish(f, seq, "usr_a", 4000);
        assert_int_equal(read_seq(f, lively), seq);
    }
    assert_int_equal(metric_of(f, METRIC_COUNTER, "zmart_ws_dropped_total"), 1);
    wait_closed(f, 1); /* it never reads: close_ms ends it */
    assert_int_equal(f->codes[0], WS_LAGGING);
    publish(f, 201, "usr_a", 10);
    assert_int_equal(read_seq(f, lively), 201);
    close(stalled);
    close(lively);
}

static struct denial denial_of_session(const char *session)
{
    struct denial denial = {.session_id = text_of(session)};
    set_has(denial, &denial, session_id);
    return denial;
}

static void ended_sessions_are_closed(void **state)
{
    struct fixture *f = *state;
    int first = add_at(f, "usr_a", "ses_1", ROLE_CUSTOMER, clock_now_ms());
    int second = add_at(f, "usr_a", "ses_2", ROLE_CUSTOMER, clock_now_ms());
    int admin = add_at(f, "usr_b", "ses_3", ROLE_ADMIN, clock_now_ms());
    struct denial denial = denial_of_session("ses_1");
    ws_loop_end_sessions(f->loop, &denial);
    assert_int_equal(read_close(f, first), WS_SESSION_ENDED);
    publish(f, 1, "usr_a", 10);
    assert_int_equal(read_seq(f, second), 1);
    denial = (struct denial){.user_id = TEXT("usr_b"), .before = 1000};
    set_has(denial, &denial, user_id);
    ws_loop_end_sessions(f->loop, &denial);
    assert_int_equal(read_seq(f, admin), 1);
    assert_int_equal(read_close(f, admin), WS_SESSION_ENDED);
    publish(f, 2, "usr_a", 10);
    assert_int_equal(read_seq(f, second), 2);
    close(first);
    close(second);
    close(admin);
}

static void a_session_that_ends_while_its_socket_opens_is_closed_too(void **state)
{
    struct fixture *f = *state;
    struct denial denial = denial_of_session("ses_1");
    int64_t checked_ms = clock_now_ms();
    for (int i = 0; i < 3 * WS_ENDED_COUNT / 2; i++) { /* the list of the newest goes round */
        struct denial other = denial_of_session("ses_other");
        ws_loop_end_sessions(f->loop, &other);
    }
    ws_loop_end_sessions(f->loop, &denial);
    int late = add_at(f, "usr_a", "ses_1", ROLE_CUSTOMER, checked_ms);
    assert_int_equal(read_close(f, late), WS_SESSION_ENDED);
    /* Checked after the end: whoever checked it knew of the end. */
    int later = add_at(f, "usr_a", "ses_1", ROLE_CUSTOMER, clock_now_ms() + 1000);
    publish(f, 1, "usr_a", 10);
    assert_int_equal(read_seq(f, later), 1);
    close(late);
    close(later);
}

static void nothing_is_missed_while_the_handshake_is_answered(void **state)
{
    struct fixture *f = *state;
    char byte;
    f->hold = true;
    int a = add(f, "usr_a", ROLE_CUSTOMER), b = add(f, "usr_a", ROLE_CUSTOMER), c = add(f, "usr_a", ROLE_CUSTOMER);
    publish(f, 1, "usr_a", 10);
    ws_loop_start(f->loop, 1, (struct text){0});
    assert_int_equal(read_seq(f, b), 1);
    assert_int_equal(recv(a, &byte, 1, MSG_DONTWAIT), -1);
    ws_loop_start(f->loop, 0, (struct text){0});
    ws_loop_start(f->loop, 99, (struct text){0});
    assert_int_equal(read_seq(f, a), 1);
    publish(f, 2, "usr_a", 10);
    assert_int_equal(read_seq(f, a), 2);
    close(a);
    close(b);
    close(c); /* never started: dropped with the loop */
}

static void a_gap_closes_all_with_the_last_seq(void **state)
{
    struct fixture *f = *state;
    char reason[124];
    int a = add(f, "usr_a", ROLE_CUSTOMER);
    publish(f, 41, "usr_a", 10);
    assert_int_equal(read_seq(f, a), 41);
    int b = add(f, "usr_b", ROLE_CUSTOMER); /* has had nothing, but stands where the loop stands */
    ws_loop_lag(f->loop);
    f->reader.fd = a;
    assert_int_equal(ws_client_read_close(&f->reader, reason), WS_LAGGING);
    assert_string_equal(reason, "last seq 41");
    f->reader.fd = b;
    assert_int_equal(ws_client_read_close(&f->reader, reason), WS_LAGGING);
    assert_string_equal(reason, "last seq 41");
    close(a);
    close(b);
}

static void what_came_with_the_handshake_is_heard_first(void **state)
{
    struct fixture *f = *state;
    f->hold = true;
    int a = add(f, "usr_a", ROLE_CUSTOMER);
    ws_client_frame(a, 0x89, "second", 6);
    ws_loop_start(f->loop, f->next_id - 1, TEXT("\x89\x85\0\0\0\0first"));
    static const char *const pongs[] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        struct ws_frame frame;
        f->reader.fd = a;
        assert_true(ws_client_read(&f->reader, &frame));
        assert_int_equal(frame.opcode, 10);
        assert_string_equal(frame.payload, pongs[i]);
    }
    close(a);
}

static void *drain(void *argument)
{
    return (void *)(intptr_t)ws_loop_drain(argument, WS_CLIENT_WAIT_MS);
}

static void a_drain_says_goodbye_to_all(void **state)
{
    struct fixture *f = *state;
    int sockets[20];
    pthread_t thread;
    void *left;
    for (int i = 0; i < 20; i++) {
        sockets[i] = add(f, "usr_a", i % 2 ? ROLE_ADMIN : ROLE_CUSTOMER);
    }
    assert_int_equal(pthread_create(&thread, NULL, drain, f->loop), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(read_close(f, sockets[i]), WS_GOING_AWAY);
        close(sockets[i]);
    }
    assert_int_equal(pthread_join(thread, &left), 0);
    assert_int_equal((intptr_t)left, 0);
    assert_int_equal(closed_count(f), 20);
    assert_int_equal(add(f, "usr_a", ROLE_CUSTOMER), -1);
}

static void what_is_left_is_dropped_with_the_loop(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    int a = add(f, "usr_a", ROLE_CUSTOMER);
    assert_int_equal(ws_loop_drain(f->loop, 1), 1);
    struct ws_loop_settings settings = {.metrics = f->metrics, .closed = on_closed, .user = f};
    ws_loop_destroy(&f->loop);
    assert_int_equal(closed_count(f), 1);
    f->reader.fd = a;
    while (ws_client_read(&f->reader, &frame)) {
    }
    close(a);
    f->loop = ws_loop_new(&settings);
}

static void *flood(void *argument)
{
    for (int64_t seq = 1; seq <= 3 * WS_LOOP_MAILBOX; seq++) {
        publish(argument, seq, "usr_z", 10);
    }
    return NULL;
}

/* Whether or not the loop keeps up with the flood, nobody is left believing that nothing was missed. */
static void a_flood_loses_nothing_silently(void **state)
{
    struct fixture *f = *state;
    struct ws_frame frame;
    int a = add(f, "usr_z", ROLE_CUSTOMER);
    pthread_t thread;
    int64_t last = 0;
    bool closed = false;
    assert_int_equal(pthread_create(&thread, NULL, flood, f), 0);
    f->reader.fd = a;
    while (!closed && last < 3 * WS_LOOP_MAILBOX) {
        assert_true(ws_client_read(&f->reader, &frame));
        closed = frame.opcode == 8;
        if (closed) {
            assert_memory_equal(frame.payload, "\x0f\xa8last seq ", 11);
            assert_int_equal(strtoll(frame.payload + 11, NULL, 10), last);
        } else {
            assert_int_equal(strtoll(frame.payload, NULL, 10), last + 1);
            last++;
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(a);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(events_go_to_those_who_may_see_them),
        WITH_LOOP(a_stalled_reader_does_not_delay_others),
        WITH_LOOP(ended_sessions_are_closed),
        WITH_LOOP(a_session_that_ends_while_its_socket_opens_is_closed_too),
        WITH_LOOP(nothing_is_missed_while_the_handshake_is_answered),
        WITH_LOOP(a_gap_closes_all_with_the_last_seq),
        WITH_LOOP(what_came_with_the_handshake_is_heard_first),
        WITH_LOOP(a_drain_says_goodbye_to_all),
        WITH_LOOP(what_is_left_is_dropped_with_the_loop),
        WITH_LOOP(a_flood_loses_nothing_silently),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
