/* Clients that begin in the past, in a real loop; the log is this test. */
#include "tests/gateway/check.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/ws_loop.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { WAIT_MS = 5000, ASKS_MAX = 64, LINE_SIZE = 8192 };

static const struct ws_limits limits = {
    .queue_count = 16,
    .queue_size = 64 * 1024,
    .receive_size = 1024,
    .receive_rate = 100,
    .ping_ms = 25000,
    .close_ms = 500,
    .age_ms = 3600 * 1000,
};

struct fixture {
    struct metrics *metrics;
    struct ws_loop *loop;
    pthread_mutex_t mutex;
    struct ws_ask asks[ASKS_MAX];
    int ask_count, taken_count, closed_count, code;
    enum ws_kind closed_kind;
    uint64_t next_id;
};

static void on_closed(void *user, const struct ws_record *record)
{
    struct fixture *f = user;
    pthread_mutex_lock(&f->mutex);
    f->closed_count++;
    f->code = record->code;
    f->closed_kind = record->kind;
    pthread_mutex_unlock(&f->mutex);
}

static void on_ask(void *user, const struct ws_ask *ask)
{
    struct fixture *f = user;
    pthread_mutex_lock(&f->mutex);
    if (f->ask_count < ASKS_MAX) {
        f->asks[f->ask_count++] = *ask;
    }
    pthread_mutex_unlock(&f->mutex);
}

static int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->metrics = metrics_new();
    pthread_mutex_init(&f->mutex, NULL);
    struct ws_loop_settings settings = {
        .metrics = f->metrics, .closed = on_closed, .user = f, .ask = on_ask, .ask_user = f};
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

/* Returns the client's end of a stream. */
static int stream_add(struct fixture *f, const char *user, enum role role, int64_t after)
{
    int pair[2], size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    struct ws_peer_settings settings = {.id = ++f->next_id,
                                        .fd = pair[0],
                                        .kind = WS_STREAM,
                                        .bare = true,
                                        .resume = after >= 0,
                                        .after = after >= 0 ? after : 0,
                                        .identity = {.role = role, .checked_ms = clock_now_ms()},
                                        .limits = &limits};
    snprintf(settings.identity.user_id, WS_ID_SIZE, "%s", user);
    assert_true(ws_loop_add(f->loop, &settings));
    ws_loop_start(f->loop, settings.id, (struct text){0});
    return pair[1];
}

static struct ws_message *event_of(int64_t seq, const char *user, int pad)
{
    static char line[LINE_SIZE];
    int size = snprintf(line, sizeof(line), "%lld %0*d\n", (long long)seq, pad, 0);
    struct ws_message *message = ws_message_of_event(TEXT("{}"), seq, text_of(user), TEXT("ord_1"));
    message->types = 1;
    ws_message_set_plain(message, (struct text){line, (uint32_t)size});
    return message;
}

static void publish(struct fixture *f, int64_t seq, const char *user)
{
    ws_loop_publish(f->loop, event_of(seq, user, 1));
}

static struct ws_ask next_ask(struct fixture *f)
{
    int64_t until = clock_now_ms() + WAIT_MS;
    struct timespec pause = {.tv_nsec = 1000000};
    for (;;) {
        pthread_mutex_lock(&f->mutex);
        bool there = f->taken_count < f->ask_count;
        struct ws_ask ask = there ? f->asks[f->taken_count++] : (struct ws_ask){0};
        pthread_mutex_unlock(&f->mutex);
        if (there) {
            return ask;
        }
        assert_true(clock_now_ms() < until);
        nanosleep(&pause, NULL);
    }
}

/* The events from first to last of one account; the log's head, or has_more. */
static void answer(struct fixture *f, const struct ws_ask *ask, int64_t first, int64_t last, int pad, int64_t head)
{
    struct ws_page *page = ws_page_new();
    for (int64_t seq = first; seq <= last; seq++) {
        page->messages[page->count++] = event_of(seq, "usr_a", pad);
    }
    page->has_more = head == 0;
    page->last = head ? head : last;
    ws_loop_answer(f->loop, ask, page);
}

/* The seq of the next line; comments are passed over; -1: the end. */
static int64_t read_line(int fd)
{
    static char line[LINE_SIZE];
    size_t size = 0;
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, WAIT_MS), 1);
        if (read(fd, &line[size], 1) != 1) {
            return -1;
        }
        if (line[size++] != '\n') {
            continue;
        }
        line[size] = '\0';
        if (size > 1 && line[0] != ':') {
            return strtoll(line, NULL, 10);
        }
        size = 0;
    }
}

static void expect(int fd, int64_t first, int64_t last)
{
    for (int64_t seq = first; seq <= last; seq++) {
        assert_int_equal(read_line(fd), seq);
    }
}

static void pages_then_what_came_meanwhile_then_what_comes(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_a", ROLE_CUSTOMER, 3);
    struct ws_ask ask = next_ask(f);
    assert_int_equal(ask.after, 3);
    assert_string_equal(ask.user_id, "usr_a");
    publish(f, 8, "usr_a"); /* while it asks */
    publish(f, 9, "usr_b");
    answer(f, &ask, 4, 6, 1, 0);
    expect(fd, 4, 6);
    ask = next_ask(f);
    assert_int_equal(ask.after, 6);
    publish(f, 10, "usr_a");
    answer(f, &ask, 7, 8, 1, 9); /* 8 is in the log and among the newest: it comes once */
    expect(fd, 7, 8);
    assert_int_equal(read_line(fd), 10);
    publish(f, 11, "usr_a");
    publish(f, 12, "usr_b");
    publish(f, 13, "usr_a");
    assert_int_equal(read_line(fd), 11);
    assert_int_equal(read_line(fd), 13);
    close(fd);
}

static void the_log_may_be_ahead_of_what_is_published(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_c", ROLE_ADMIN, 0);
    struct ws_ask ask = next_ask(f);
    assert_string_equal(ask.user_id, "");
    answer(f, &ask, 1, 5, 1, 5);
    expect(fd, 1, 5);
    for (int64_t seq = 3; seq <= 7; seq++) {
        publish(f, seq, "usr_a");
    }
    expect(fd, 6, 7);
    close(fd);
}

/* More than its queue and its socket hold; it is not one that lags, and nothing is lost. */
static void a_slow_reader_gets_all_of_the_past(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_a", ROLE_CUSTOMER, 0);
    struct ws_ask ask = next_ask(f);
    answer(f, &ask, 1, WS_PAGE_COUNT, 4000, 0);
    for (int64_t seq = WS_PAGE_COUNT + 1; seq <= WS_PAGE_COUNT + 40; seq++) {
        publish(f, seq, "usr_a");
    }
    expect(fd, 1, WS_PAGE_COUNT);
    ask = next_ask(f);
    assert_int_equal(ask.after, WS_PAGE_COUNT);
    answer(f, &ask, WS_PAGE_COUNT + 1, WS_PAGE_COUNT, 1, WS_PAGE_COUNT);
    expect(fd, WS_PAGE_COUNT + 1, WS_PAGE_COUNT + 40);
    close(fd);
}

static void what_is_no_longer_among_the_newest_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_a", ROLE_CUSTOMER, 0);
    struct ws_ask ask = next_ask(f);
    for (int64_t seq = 1; seq <= 1100; seq++) {
        publish(f, seq, seq == 1100 ? "usr_a" : "usr_b");
    }
    answer(f, &ask, 1, 0, 1, 10);
    ask = next_ask(f);
    assert_int_equal(ask.after, 10);
    answer(f, &ask, 11, 10, 1, 1099);
    assert_int_equal(read_line(fd), 1100);
    close(fd);
}

static void wait_closed(struct fixture *f, int code)
{
    int64_t until = clock_now_ms() + WAIT_MS;
    struct timespec pause = {.tv_nsec = 1000000};
    for (bool closed = false; !closed;) {
        pthread_mutex_lock(&f->mutex);
        closed = f->closed_count == 1;
        pthread_mutex_unlock(&f->mutex);
        assert_true(clock_now_ms() < until);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(f->code, code);
    assert_int_equal(f->closed_kind, WS_STREAM);
}

static void a_log_that_cannot_be_asked_ends_the_stream(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_a", ROLE_CUSTOMER, 0);
    struct ws_ask ask = next_ask(f);
    ws_loop_answer(f->loop, &ask, NULL);
    assert_int_equal(read_line(fd), -1);
    close(fd);
    wait_closed(f, WS_LAGGING);
    answer(f, &ask, 1, 3, 1, 3); /* for one that is gone: nothing happens */
}

static void missed_events_end_those_that_catch_up_too(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_a", ROLE_CUSTOMER, 0);
    struct ws_ask ask = next_ask(f);
    ws_loop_lag(f->loop);
    assert_int_equal(read_line(fd), -1);
    answer(f, &ask, 1, 3, 1, 3);
    close(fd);
    wait_closed(f, WS_LAGGING);
}

static void a_stream_ends_with_the_client_and_with_a_drain(void **state)
{
    struct fixture *f = *state;
    int fd = stream_add(f, "usr_a", ROLE_CUSTOMER, -1);
    publish(f, 1, "usr_a");
    assert_int_equal(read_line(fd), 1);
    assert_int_equal(write(fd, "what a client says is thrown away", 33), 33);
    publish(f, 2, "usr_a");
    assert_int_equal(read_line(fd), 2);
    close(fd);
    wait_closed(f, 1006);
    fd = stream_add(f, "usr_a", ROLE_CUSTOMER, -1);
    publish(f, 3, "usr_a");
    assert_int_equal(read_line(fd), 3);
    (void)ws_loop_drain(f->loop, 0);
    assert_int_equal(read_line(fd), -1);
    close(fd);
    assert_int_equal(ws_loop_drain(f->loop, WAIT_MS), 0);
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(pages_then_what_came_meanwhile_then_what_comes),
        WITH_LOOP(the_log_may_be_ahead_of_what_is_published),
        WITH_LOOP(a_slow_reader_gets_all_of_the_past),
        WITH_LOOP(what_is_no_longer_among_the_newest_is_asked_for_again),
        WITH_LOOP(a_log_that_cannot_be_asked_ends_the_stream),
        WITH_LOOP(missed_events_end_those_that_catch_up_too),
        WITH_LOOP(a_stream_ends_with_the_client_and_with_a_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
