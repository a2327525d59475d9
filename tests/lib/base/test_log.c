#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

enum { LINE_MAX_SIZE = 8 * 1024 };

static char words[64 * 1024];

/* What log_write has written since the last call. */
static const char *written(int fd)
{
    ssize_t got = pread(fd, words, sizeof words - 1, 0);
    assert_true(got >= 0);
    words[got] = '\0';
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return words;
}

static int open_file(void)
{
    char name[] = "/tmp/test_log_XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void a_line_is_one_json_object(void **state)
{
    (void)state;
    struct log log = {.fd = open_file(), .level = LOG_DEBUG, .program = "test"};
    log_info(&log, "order.placed", KV("order", "ord_\"1\"\n"), KV_INT("ms", -5), KV_BOOL("again", true),
             KV_TEXT("none", text_of(NULL)));
    const char *line = written(log.fd);
    assert_memory_equal(line, "{\"time\":\"20", 11);
    assert_non_null(strstr(line, "Z\",\"level\":\"info\",\"program\":\"test\",\"event\":\"order.placed\","
                                 "\"order\":\"ord_\\\"1\\\"\\n\",\"ms\":-5,\"again\":true,\"none\":\"\"}\n"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    close(log.fd);
}

static void levels_below_are_silent(void **state)
{
    (void)state;
    struct log log = {.fd = open_file(), .level = LOG_WARN, .program = "test"};
    log_debug(&log, "a", KV_INT("n", 1));
    log_info(&log, "a", KV_INT("n", 1));
    assert_string_equal(written(log.fd), "");
    log_warn(&log, "a", KV_INT("n", 1));
    assert_non_null(strstr(written(log.fd), "\"warn\""));
    log_write(NULL, LOG_ERROR, LOG_LIST("nobody", KV_END));
    close(log.fd);
}

static void long_lines_are_cut_and_say_so(void **state)
{
    (void)state;
    struct log log = {.fd = open_file(), .level = LOG_DEBUG, .program = "test"};
    for (int size = LINE_MAX_SIZE - 400; size < LINE_MAX_SIZE + 100; size++) {
        char *value = mem_alloc((size_t)size + 1);
        memset(value, 'v', (size_t)size);
        log_info(&log, "long", KV("first", "kept"), KV("value", value), KV("after", "x"));
        const char *line = written(log.fd);
        size_t length = strlen(line);
        assert_true(length <= LINE_MAX_SIZE && length > 50);
        assert_string_equal(line + length - 2, "}\n");
        assert_non_null(strstr(line, "\"first\":\"kept\""));
        assert_true(strstr(line, "\"after\":\"x\"}\n") || strstr(line, ",\"cut\":true}\n"));
        mem_free(value);
    }
    close(log.fd);
}

static void errors_are_told_to_people_too(void **state)
{
    (void)state;
    struct log log = {.fd = open_file(), .level = LOG_INFO, .program = "test", .errors_fd = open_file()};
    log_warn(&log, "quiet", KV_INT("n", 1));
    assert_string_equal(written(log.errors_fd), "");
    log_error(&log, "listen_failed", KV_INT("port", 8080), KV("cause", "in use"));
    assert_string_equal(written(log.errors_fd), "test: listen_failed: port=8080 cause=\"in use\"\n");
    assert_non_null(strstr(written(log.fd), "\"error\""));
    close(log.fd);
    close(log.errors_fd);
}

static void level_names(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_true(log_level_parse(TEXT("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_parse(TEXT("Debug"), &level));
    assert_false(log_level_parse(TEXT(""), &level));
    assert_int_equal(level, LOG_DEBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object),
        cmocka_unit_test(levels_below_are_silent),
        cmocka_unit_test(long_lines_are_cut_and_say_so),
        cmocka_unit_test(errors_are_told_to_people_too),
        cmocka_unit_test(level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
