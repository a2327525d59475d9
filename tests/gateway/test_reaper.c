#include "tests/gateway/check.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/reaper.h"
#include "lib/base/clock.h"

static void test_cuts_what_is_overdue_and_nothing_else(void **state)
{
    struct reaper *reaper = reaper_new();
    struct reaper_watch late, early, released;
    int pairs[3][2];
    char byte;
    (void)state;
    assert_non_null(reaper);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]), 0);
    }
    int64_t now_ms = clock_now_ms();
    reaper_watch(reaper, &late, pairs[0][0], now_ms + 600 * 1000);
    reaper_watch(reaper, &released, pairs[1][0], now_ms + 600 * 1000);
    assert_false(reaper_release(reaper, &released));
    reaper_watch(reaper, &early, pairs[2][0], now_ms + 20); /* earlier than what the thread waits for */
    struct pollfd poll_fd = {.fd = pairs[2][0], .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 20 * 1000), 1);
    assert_int_equal(recv(pairs[2][0], &byte, 1, 0), 0);
    assert_true(reaper_release(reaper, &early));
    assert_int_equal(recv(pairs[0][0], &byte, 1, MSG_DONTWAIT), -1);
    assert_false(reaper_release(reaper, &late));
    reaper_destroy(&reaper);
    for (int i = 0; i < 3; i++) {
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cuts_what_is_overdue_and_nothing_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
