#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/bus/address.h"

static void expect(const char *base, enum bus_socket which, const char *expected)
{
    char out[BUS_ADDRESS_SIZE];
    assert_int_equal(bus_address(base, which, out), expected != NULL);
    if (expected) {
        assert_string_equal(out, expected);
    }
}

static void test_forms(void **state)
{
    (void)state;
    expect("ipc:///run/zmart", BUS_CLIENTS, "ipc:///run/zmart/clients");
    expect("ipc:///run/zmart", BUS_EVENTS, "ipc:///run/zmart/events");
    expect("tcp://host:5570", BUS_CLIENTS, "tcp://host:5570");
    expect("tcp://[::1]:5570", BUS_EVENTS, "tcp://[::1]:5573");
    expect("inproc://x", BUS_WORKERS, "inproc://x.workers");
    expect("", BUS_CLIENTS, NULL);
    expect("ipc://relative", BUS_CLIENTS, NULL);
    expect("ipc:///", BUS_CLIENTS, NULL);
    expect("inproc://", BUS_CLIENTS, NULL);
    expect("udp://host:1", BUS_CLIENTS, NULL);
    expect("tcp://host", BUS_CLIENTS, NULL);
    expect("tcp://:5570", BUS_CLIENTS, NULL);
    expect("tcp://host:0", BUS_CLIENTS, NULL);
    expect("tcp://host:65532", BUS_EVENTS, "tcp://host:65535");
    expect("tcp://host:65533", BUS_CLIENTS, NULL);
    expect("tcp://host:55x", BUS_CLIENTS, NULL);
}

static void test_ipc_length(void **state)
{
    (void)state;
    char base[200];
    char out[BUS_ADDRESS_SIZE];
    for (int length = 60; length < 120; length++) {
        int at = snprintf(base, sizeof base, "ipc:///");
        memset(base + at, 'x', (size_t)length);
        base[at + length] = '\0';
        assert_int_equal(bus_address(base, BUS_WORKERS, out), 1 + length + (int)strlen("/workers") <= BUS_IPC_MAX);
    }
}

static void test_lists(void **state)
{
    (void)state;
    char out[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    assert_int_equal(bus_addresses("inproc://a,tcp://b:1000", out), 2);
    assert_string_equal(out[0], "inproc://a");
    assert_string_equal(out[1], "tcp://b:1000");
    assert_int_equal(bus_addresses("inproc://a,", out), -1);
    assert_int_equal(bus_addresses("nonsense", out), -1);
    assert_int_equal(bus_addresses("inproc://1,inproc://2,inproc://3,inproc://4,inproc://5,inproc://6,inproc://7,"
                                   "inproc://8",
                                   out),
                     8);
    assert_int_equal(bus_addresses("inproc://1,inproc://2,inproc://3,inproc://4,inproc://5,inproc://6,inproc://7,"
                                   "inproc://8,inproc://9",
                                   out),
                     -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_ipc_length),
                                       cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
