#include "tests/broker/harness.h"

#include "broker/peers.h"

static void test_delay_is_what_is_beyond_the_smallest(void **state)
{
    (void)state;
    struct delay delay = {0};
    int64_t offset_us = 123 * SECOND; /* the other clock is behind */
    assert_int_equal(delay_age_us(&delay, 1, 5), 0);
    delay_note(&delay, 1000, 1000 + offset_us + 50);
    assert_int_equal(delay_age_us(&delay, 2000, 2000 + offset_us + 50 + 700), 700);
    delay_note(&delay, 3000, 3000 + offset_us); /* 50 faster */
    assert_int_equal(delay_age_us(&delay, 4000, 4000 + offset_us + 50), 50);
    assert_int_equal(delay_age_us(&delay, 4000, 4000 + offset_us - 9), 0);
}

static void test_old_minima_are_forgotten(void **state)
{
    (void)state;
    struct delay delay = {0};
    int64_t sent_us = SECOND;
    delay_note(&delay, sent_us, sent_us + 10);
    for (int i = 0; i < 4; i++) { /* from now on everything takes 1 s: in two windows that is the normal thing */
        sent_us += 31 * SECOND;
        delay_note(&delay, sent_us, sent_us + SECOND);
    }
    assert_int_equal(delay_age_us(&delay, sent_us, sent_us + SECOND), 0);
}

static void test_absurd_clocks_are_not_believed(void **state)
{
    (void)state;
    struct delay delay = {0};
    static const int64_t absurd[] = {0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(absurd); i++) {
        delay_note(&delay, absurd[i], 1000 * SECOND);
        assert_false(delay.known);
    }
    delay_note(&delay, 999 * SECOND, 1000 * SECOND);
    for (size_t i = 0; i < ARRAY_COUNT(absurd); i++) {
        assert_int_equal(delay_age_us(&delay, absurd[i], 1000 * SECOND), 0);
    }
}

static void test_peers_by_plane_and_id(void **state)
{
    (void)state;
    struct peers peers = {.next_epoch = UINT32_MAX};
    struct hello hello = {.instance = TEXT("i"), .version = TEXT("1")};
    char longest[ROUTING_ID_MAX_SIZE];
    memset(longest, 'x', sizeof longest);
    struct text id = {longest, sizeof longest};
    struct peer *one = peer_add(&peers, PLANE_CLIENTS, id, &hello, 5);
    assert_null(peer_find(&peers, PLANE_WORKERS, id));
    assert_ptr_equal(peer_find(&peers, PLANE_CLIENTS, id), one);
    struct peer *two = peer_add(&peers, PLANE_WORKERS, id, &hello, 5);
    assert_int_equal(one->epoch, UINT32_MAX);
    assert_int_equal(two->epoch, 1); /* 0 means none */
    assert_int_equal(peers_count(&peers), 2);
    assert_true(text_equal(peer_id(two), id));
    peer_remove(&peers, one);
    peer_remove(&peers, two);
    assert_int_equal(peers_count(&peers), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_is_what_is_beyond_the_smallest), cmocka_unit_test(test_old_minima_are_forgotten),
        cmocka_unit_test(test_absurd_clocks_are_not_believed), cmocka_unit_test(test_peers_by_plane_and_id)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
