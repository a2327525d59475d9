#include "tests/gateway/check.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/access_log.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { WRITERS = 6, LINES_EACH = 3000, PATIENCE_MS = 20 * 1000 };

struct fixture {
    struct log log;
    struct access_log *lines;
};

static int fixture_open(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    char name[] = "/tmp/test_access_log_XXXXXX";
    f->log = (struct log){.fd = mkostemp(name, O_APPEND), .level = LOG_INFO, .program = "gateway"};
    assert_true(f->log.fd >= 0);
    unlink(name);
    f->lines = access_log_new(&f->log);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;
    access_log_destroy(&f->lines);
    close(f->log.fd);
    mem_free(f);
    return 0;
}

static off_t size_of(const struct fixture *f)
{
    return lseek(f->log.fd, 0, SEEK_END);
}

static void line_add(struct fixture *f, const void *writer, int number)
{
    access_log_add(f->lines, writer, LOG_INFO, (struct kv[]){KV("event", "http.request"), KV_INT("n", number), KV_END});
}

static void a_line_is_there_soon(void **state)
{
    struct fixture *f = *state;
    int64_t until_ms = clock_now_ms() + PATIENCE_MS;
    line_add(f, f, 1);
    while (size_of(f) == 0) {
        assert_true(clock_now_ms() < until_ms);
        (void)poll(NULL, 0, 5);
    }
}

static void lower_levels_are_not_written(void **state)
{
    struct fixture *f = *state;
    access_log_add(f->lines, f, LOG_DEBUG, (struct kv[]){KV("event", "http.request"), KV_END});
    access_log_destroy(&f->lines);
    assert_int_equal(size_of(f), 0);
}

struct writer {
    struct fixture *fixture;
    pthread_t thread;
    int first;
};

static void *writer_run(void *argument)
{
    struct writer *writer = argument;
    for (int i = 0; i < LINES_EACH; i++) {
        line_add(writer->fixture, writer, writer->first + i);
    }
    return NULL;
}

static char *whole_file(const struct fixture *f, size_t *out_size)
{
    *out_size = (size_t)size_of(f);
    char *text = mem_alloc(*out_size + 1);
    assert_int_equal(pread(f->log.fd, text, *out_size, 0), *out_size);
    return text;
}

static void no_line_is_lost_or_torn(void **state)
{
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    size_t size;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.fixture = f, .first = i * LINES_EACH};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_run, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
    }
    access_log_destroy(&f->lines);
    char *text = whole_file(f, &size);
    bool *seen = mem_alloc_array(WRITERS * LINES_EACH, sizeof *seen);
    int count = 0;
    for (char *line = text, *end; line < text + size; line = end + 1, count++) {
        int number = -1;
        end = memchr(line, '\n', (size_t)(text + size - line));
        assert_non_null(end);
        *end = '\0';
        const char *at = strstr(line, ",\"n\":");
        assert_true(strncmp(line, "{\"time\":", 8) == 0 && end[-1] == '}' && at);
        assert_int_equal(sscanf(at, ",\"n\":%d}", &number), 1);
        assert_true(number >= 0 && number < WRITERS * LINES_EACH && !seen[number]);
        seen[number] = true;
    }
    assert_int_equal(count, WRITERS * LINES_EACH);
    mem_free(seen);
    mem_free(text);
}

/* A pipe is written in pieces of whole lines that it takes without mixing them with others'. */
static void a_pipe_gets_whole_lines(void **state)
{
    struct fixture *f = *state;
    int pipe_fds[2];
    char piece[2 * PIPE_BUF];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_DIRECT), 0); /* O_DIRECT: a read gives what one write gave */
    access_log_destroy(&f->lines);
    struct log log = {.fd = pipe_fds[1], .level = LOG_INFO, .program = "gateway"};
    f->lines = access_log_new(&log);
    for (int i = 0; i < 200; i++) {
        line_add(f, f, i);
    }
    access_log_destroy(&f->lines);
    close(pipe_fds[1]);
    int count = 0;
    for (ssize_t got; (got = read(pipe_fds[0], piece, sizeof piece)) > 0;) {
        assert_true(got <= PIPE_BUF && piece[0] == '{' && piece[got - 1] == '\n');
        for (ssize_t i = 0; i < got; i++) {
            count += piece[i] == '\n';
        }
    }
    assert_int_equal(count, 200);
    close(pipe_fds[0]);
}

static void *pipe_writer(void *argument)
{
    struct writer *writer = argument;
    for (int i = 0; i < writer->first; i++) {
        line_add(writer->fixture, writer, i);
    }
    return NULL;
}

/* More than all parts and the pipe hold: whoever adds waits for the reader, and nothing is lost or grows without an
 * end. */
static void a_slow_reader_is_waited_for(void **state)
{
    enum { LEAST_LINE_SIZE = 80, LINES = 2 * 8 * ACCESS_LOG_MAX_SIZE / LEAST_LINE_SIZE };
    struct fixture *f = *state;
    int pipe_fds[2], count = 0;
    char piece[64 * 1024];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    access_log_destroy(&f->lines);
    struct log log = {.fd = pipe_fds[1], .level = LOG_INFO, .program = "gateway"};
    f->lines = access_log_new(&log);
    struct writer writer = {.fixture = f, .first = LINES};
    assert_int_equal(pthread_create(&writer.thread, NULL, pipe_writer, &writer), 0);
    while (count < LINES) {
        ssize_t got = read(pipe_fds[0], piece, sizeof piece);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++) {
            count += piece[i] == '\n';
        }
    }
    pthread_join(writer.thread, NULL);
    access_log_destroy(&f->lines);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_there_soon, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(lower_levels_are_not_written, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(no_line_is_lost_or_torn, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_pipe_gets_whole_lines, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_slow_reader_is_waited_for, fixture_open, fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
