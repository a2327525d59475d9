#include "tests/gateway/check.h"

#include "gateway/ws_recent.h"
#include "lib/base/mem.h"

static void add(struct ws_recent *recent, int64_t seq, uint32_t size)
{
    char *json = mem_alloc(size);
    struct ws_message *message =
        ws_message_of_event((struct text){json, size}, seq, TEXT("usr_a"), TEXT("ord_1"));
    ws_recent_add(recent, message);
    ws_message_drop(&message);
    mem_free(json);
}

static void the_newest_are_found_by_seq(void **state)
{
    (void)state;
    struct ws_recent *recent = mem_alloc(sizeof *recent);
    assert_null(ws_recent_next(recent, 0));
    assert_true(ws_recent_reaches(recent, 0));
    for (int64_t seq = 2; seq <= 3 * WS_RECENT_COUNT; seq += 2) {
        add(recent, seq, 10);
        int64_t from = seq > 5 ? seq - 5 : 0;
        for (int64_t after = from; after < seq; after++) {
            assert_int_equal(ws_recent_next(recent, after)->seq, after + 2 - after % 2);
        }
        assert_null(ws_recent_next(recent, seq));
    }
    assert_int_equal(recent->count, WS_RECENT_COUNT);
    int64_t gone = 3 * WS_RECENT_COUNT - 2 * WS_RECENT_COUNT; /* the newest of those that made room */
    assert_true(ws_recent_reaches(recent, gone));
    assert_false(ws_recent_reaches(recent, gone - 1));
    ws_recent_clear(recent);
    assert_false(ws_recent_reaches(recent, 3 * WS_RECENT_COUNT - 1));
    assert_true(ws_recent_reaches(recent, 3 * WS_RECENT_COUNT));
    mem_free(recent);
}

static void bytes_are_bounded(void **state)
{
    (void)state;
    struct ws_recent *recent = mem_alloc(sizeof *recent);
    for (int64_t seq = 1; seq <= 20; seq++) {
        add(recent, seq, WS_MESSAGE_MAX);
        assert_true(recent->size <= WS_RECENT_SIZE);
    }
    assert_int_equal(recent->count, WS_RECENT_SIZE / WS_MESSAGE_MAX - 1); /* heads count too */
    assert_int_equal(ws_recent_next(recent, 0)->seq, 20 - recent->count + 1);
    ws_recent_clear(recent);
    assert_int_equal(recent->size, 0);
    mem_free(recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_found_by_seq),
        cmocka_unit_test(bytes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
