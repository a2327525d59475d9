#include "tests/broker/harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/services.h"
#include "proto/mmi.h"

static void test_names(void **state)
{
    (void)state;
    struct services services = {0};
    struct service *product = service_add(&services, TEXT("product"));
    struct service *order = service_add(&services, TEXT("order"));
    product->known = order->known = true;
    assert_ptr_equal(service_find(&services, TEXT("order")), order);
    assert_null(service_find(&services, TEXT("orde")));
    assert_string_equal(service_nearest(&services, TEXT("prodict")), "product");
    assert_string_equal(service_nearest(&services, TEXT("orders")), "order");
    assert_null(service_nearest(&services, TEXT("zzz")));
    assert_null(service_nearest(&services, TEXT("a-name-that-is-longer-than-any-service-has")));
    assert_null(service_add(&services, TEXT("a-name-that-is-longer-than-any-service-has")));
    char name[16];
    for (int i = 2; i < MMI_MAX_SERVICES; i++) {
        snprintf(name, sizeof name, "s%d", i);
        assert_non_null(service_add(&services, text_of(name)));
    }
    assert_null(service_add(&services, TEXT("one-more")));
    int forgotten = 0;
    while (services_forget_one(&services)) {
        forgotten++;
    }
    assert_int_equal(forgotten, MMI_MAX_SERVICES);
}

/* Random loads: what is on top has the most free credit of all. */
static void test_the_idlest_is_on_top(void **state)
{
    (void)state;
    enum { COUNT = 9, REQUESTS = 60 };
    struct services services = {0};
    struct service *service = service_add(&services, TEXT("echo"));
    struct station stations[COUNT] = {{0}};
    struct request *requests = mem_alloc_array(REQUESTS, sizeof *requests);
    srand(7);
    for (int i = 0; i < COUNT; i++) {
        stations[i] = (struct station){.service = service, .credit = 1 + (uint32_t)rand() % 9};
        station_open(&stations[i]);
    }
    for (int step = 0; step < 20000; step++) {
        struct request *request = &requests[rand() % REQUESTS];
        struct station *top = service_station(service), *any = &stations[rand() % COUNT];
        uint32_t most = 0;
        for (int i = 0; i < COUNT; i++) {
            uint32_t free = stations[i].heap_at ? station_free_credit(&stations[i]) : 0;
            most = free > most ? free : most;
        }
        assert_true(top ? station_free_credit(top) == most : most == 0);
        if (request->station) {
            station_end(request->station, request);
        } else if (top) {
            station_begin(top, request);
        }
        if (step % 50 == 0) {
            station_set_credit(any, (uint32_t)rand() % 9);
        } else if (step % 50 == 25 && any->heap_at) {
            station_close(any);
        } else if (step % 50 == 30 && !any->heap_at) {
            station_open(any);
        }
    }
    for (int i = 0; i < REQUESTS; i++) {
        if (requests[i].station) {
            station_end(requests[i].station, &requests[i]);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        station_close(&stations[i]);
    }
    mem_free(requests);
    service_remove(&services, service);
}

static void test_ties_rotate(void **state)
{
    (void)state;
    struct services services = {0};
    struct service *service = service_add(&services, TEXT("echo"));
    struct station stations[3] = {{0}};
    struct request request = {0};
    int uses[3] = {0};
    for (int i = 0; i < 3; i++) {
        stations[i] = (struct station){.service = service, .credit = 2};
        station_open(&stations[i]);
    }
    for (int n = 0; n < 9; n++) {
        struct station *top = service_station(service);
        uses[top - stations]++;
        station_begin(top, &request);
        station_end(top, &request);
    }
    assert_true(uses[0] == 3 && uses[1] == 3 && uses[2] == 3);
    for (int i = 0; i < 3; i++) {
        station_close(&stations[i]);
    }
    service_remove(&services, service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_the_idlest_is_on_top),
                                       cmocka_unit_test(test_ties_rotate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
