#include "tests/broker/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Starts and stops it; logged gets its error lines. Returns the exit status. */
static int run_to_its_end(const char *const *flags, char *logged, size_t size)
{
    struct live live;
    int pipe_fds[2];
    void *context = bus_context_new();
    assert_int_equal(pipe(pipe_fds), 0);
    if (live_start_logged(&live, context, flags, pipe_fds[1])) {
        live_stop(&live);
    }
    int status = live_join(&live);
    close(pipe_fds[1]);
    ssize_t got = read(pipe_fds[0], logged, size - 1);
    logged[got > 0 ? got : 0] = '\0';
    close(pipe_fds[0]);
    bus_context_destroy(&context);
    return status;
}

static void test_refusals_name_what_is_missing(void **state)
{
    (void)state;
    char logged[4096];
    const char *const open_bus[] = {"--bus", "tcp://0.0.0.0:5570", "--events", "", NULL};
    assert_int_equal(run_to_its_end(open_bus, logged, sizeof logged), 1);
    assert_non_null(strstr(logged, "--bus tcp://0.0.0.0:5570"));
    assert_non_null(strstr(logged, "--keys"));
    const char *const open_events[] = {"--bus", "inproc://x", "--events", "tcp://*:5556", NULL};
    assert_int_equal(run_to_its_end(open_events, logged, sizeof logged), 1);
    assert_non_null(strstr(logged, "--events tcp://*:5556"));
    assert_non_null(strstr(logged, "--keys"));
    const char *const bad[] = {"--bus", "inproc://x", "--events", "", "--queue-requests", "0", NULL};
    assert_int_equal(run_to_its_end(bad, logged, sizeof logged), PROCESS_BAD_CONFIG);
    const char *const good[] = {"--bus", "inproc://x", "--events", "", NULL};
    assert_int_equal(run_to_its_end(good, logged, sizeof logged), 0);
    assert_string_equal(logged, "");
}

static void test_two_brokers_do_not_share_a_directory(void **state)
{
    (void)state;
    char directory[] = "/tmp/broker-test-XXXXXX";
    char bus[64], path[64];
    struct live first, second;
    void *context = bus_context_new();
    assert_non_null(mkdtemp(directory));
    snprintf(bus, sizeof bus, "ipc://%s", directory);
    const char *const flags[] = {"--bus", bus, "--events", "", NULL};
    assert_true(live_start(&first, context, flags));
    assert_false(live_start(&second, context, flags));
    assert_int_equal(live_join(&second), 1);
    char clients[96];
    snprintf(clients, sizeof clients, "%s/clients", bus);
    struct wire_peer client = peer_open(context, clients, ""); /* the first one still has its sockets */
    peer_close(&client);
    live_stop(&first);
    assert_int_equal(live_join(&first), 0);
    assert_true(live_start(&second, context, flags)); /* and then there is room */
    live_stop(&second);
    assert_int_equal(live_join(&second), 0);
    snprintf(path, sizeof path, "%s/broker.lock", directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
    bus_context_destroy(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refusals_name_what_is_missing),
                                       cmocka_unit_test(test_two_brokers_do_not_share_a_directory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
