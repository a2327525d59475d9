#include "tests/broker/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/socket.h"

static void test_tcp_needs_keys(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool loopback;
    } list[] = {{"tcp://127.0.0.1:5570", true},     {"tcp://127.9.9.9:5570", true}, {"tcp://localhost:5570", true},
                {"tcp://[::1]:5570", true},         {"tcp://0.0.0.0:5570", false},  {"tcp://*:5570", false},
                {"tcp://10.0.0.1:5570", false},     {"tcp://[::]:5570", false},     {"tcp://eth0:5570", false},
                {"tcp://127.evil.org:5570", false}, {"tcp://lo:5570", false},       {"tcp://127.0.0.1.x:5570", false}};
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        struct claims none = {0}, insecure = {.insecure_loopback = true}, keys = {.keys = true};
        char message[512] = "";
        assert_false(claim_bus(&none, list[i].address, message, sizeof message));
        assert_non_null(strstr(message, "--keys DIR"));
        assert_non_null(strstr(message, "zmart keys new"));
        assert_int_equal(claim_bus(&insecure, list[i].address, message, sizeof message), list[i].loopback);
        message[0] = '\0';
        assert_int_equal(claim_events(&none, list[i].address, message, sizeof message), list[i].loopback);
        assert_true(list[i].loopback || (strstr(message, "--keys") && strstr(message, "--events")));
        assert_true(claim_bus(&keys, list[i].address, message, sizeof message));
        assert_true(claim_events(&keys, list[i].address, message, sizeof message));
    }
}

static void test_malformed_addresses(void **state)
{
    (void)state;
    static const char *const list[] = {"",          "tcp://127.0.0.1",      "ipc://relative", "udp://127.0.0.1:1",
                                       "inproc://", "tcp://127.0.0.1:65535"};
    char message[512];
    struct claims claims = {0};
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        message[0] = '\0';
        assert_false(claim_bus(&claims, list[i], message, sizeof message));
        assert_non_null(strstr(message, "--bus"));
    }
    assert_false(claim_events(&claims, "ipc://relative", message, sizeof message));
    assert_false(claim_events(&claims, "nonsense", message, sizeof message));
    assert_false(claim_bus(&claims, "ipc:///nonexistent/directory/in/between", message, sizeof message));
    assert_int_equal(claims.count, 0);
}

static void test_a_directory_has_one_broker(void **state)
{
    (void)state;
    char parent[] = "/tmp/broker-test-XXXXXX";
    char base[64], path[96], message[512];
    struct stat status;
    struct claims first = {0}, second = {0};
    assert_non_null(mkdtemp(parent));
    snprintf(base, sizeof base, "ipc://%s/bus", parent);
    snprintf(path, sizeof path, "%s/bus/clients", parent);
    assert_true(claim_bus(&first, base, message, sizeof message)); /* it was made */
    assert_int_equal(stat(base + 6, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_false(claim_bus(&second, base, message, sizeof message));
    assert_non_null(strstr(message, "alive"));
    claims_release(&first);
    close(open(path, O_CREAT | O_WRONLY, 0600)); /* what a killed broker leaves */
    assert_true(claim_bus(&second, base, message, sizeof message));
    assert_int_equal(access(path, F_OK), -1);
    claims_release(&second);
    assert_int_equal(chmod(base + 6, 0750), 0);
    assert_false(claim_bus(&second, base, message, sizeof message));
    assert_non_null(strstr(message, "0700"));
    snprintf(path, sizeof path, "%s/bus/broker.lock", parent);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(base + 6), 0);
    assert_int_equal(rmdir(parent), 0);
}

static void test_an_event_path_has_one_broker(void **state)
{
    (void)state;
    char parent[] = "/tmp/broker-test-XXXXXX";
    char address[64], lock[96], message[512];
    struct claims first = {0}, second = {0};
    assert_non_null(mkdtemp(parent));
    snprintf(address, sizeof address, "ipc://%s/tap", parent);
    assert_true(claim_events(&first, address, message, sizeof message));
    assert_false(claim_events(&second, address, message, sizeof message));
    claims_release(&first);
    snprintf(lock, sizeof lock, "%s/tap.lock", parent);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(parent), 0);
}

static void test_options_and_a_taken_address(void **state)
{
    (void)state;
    char message[512] = "";
    void *context = bus_context_new();
    struct socket_settings settings = {.context = context, .type = ZMQ_ROUTER, .hwm = 77, .max_size = 12345};
    void *socket = socket_open(&settings, "inproc://one", message, sizeof message);
    int hwm = 0;
    size_t size = sizeof hwm;
    assert_non_null(socket);
    assert_int_equal(zmq_getsockopt(socket, ZMQ_SNDHWM, &hwm, &size), 0);
    assert_int_equal(hwm, 77);
    assert_int_equal(zmq_send(socket, "nobody", 6, ZMQ_SNDMORE | ZMQ_DONTWAIT), -1);
    assert_int_equal(zmq_errno(), EHOSTUNREACH); /* mandatory: nothing is dropped in silence */
    assert_null(socket_open(&settings, "inproc://one", message, sizeof message));
    assert_non_null(strstr(message, "inproc://one"));
    socket_close(&socket, 0);
    assert_null(socket);
    socket = socket_open(&settings, "tcp://localhost:*", message, sizeof message);
    char endpoint[64];
    size = sizeof endpoint;
    assert_non_null(socket);
    assert_int_equal(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    assert_memory_equal(endpoint, "tcp://127.0.0.1:", 16);
    socket_close(&socket, 0);
    bus_context_destroy(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_needs_keys), cmocka_unit_test(test_malformed_addresses),
        cmocka_unit_test(test_a_directory_has_one_broker), cmocka_unit_test(test_an_event_path_has_one_broker),
        cmocka_unit_test(test_options_and_a_taken_address)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
