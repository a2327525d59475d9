#include "tests/broker/harness.h"

#include "broker/backlog.h"

static struct send make(const char *to, uint64_t corr, const char *body)
{
    struct sends sends = {0};
    struct frame_head head = {.type = FRAME_REPLY, .corr = corr};
    struct text text = text_of(body);
    struct send send;
    sends_add(&sends, PLANE_CLIENTS, text_of(to), &head, parcel_of(&text, 1));
    send_move(&send, &sends.list[0]);
    sends_release(&sends);
    return send;
}

static uint64_t corr_of(const struct send *send)
{
    struct frame_head head;
    assert_true(frame_head_read((struct text){(const char *)send->head, FRAME_HEAD_SIZE}, &head));
    return head.corr;
}

static void test_lines_keep_their_order(void **state)
{
    (void)state;
    struct backlogs backlogs = {.count_max = 100, .size_max = 10000, .age_max_us = 50};
    struct send other = make("b", 0, "x");
    struct backlog *line = NULL;
    uint64_t next = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        struct send send = make("a", i, "body");
        assert_true(backlog_add(&backlogs, &send, 1));
        assert_null(send.parcel);
        line = backlog_find(&backlogs, &send);
        while (line->end - line->first > 40 + i % 30) {
            struct send *first = backlog_first(line);
            assert_int_equal(corr_of(first), next++);
            backlog_pop(line, send_size(first), (int64_t)i);
        }
        assert_int_equal(line->size, 4 * (line->end - line->first));
    }
    assert_null(backlog_find(&backlogs, &other));
    assert_true(backlog_add(&backlogs, &other, 1));
    assert_int_equal(backlogs_count(&backlogs), 2);
    assert_false(backlog_is_stuck(&backlogs, line, line->moved_us + 50));
    assert_true(backlog_is_stuck(&backlogs, line, line->moved_us + 51));
    backlog_remove(&backlogs, line);
    backlogs_release(&backlogs);
}

static void test_lines_are_bounded(void **state)
{
    (void)state;
    struct backlogs backlogs = {.count_max = 3, .size_max = 100};
    struct send send;
    for (int i = 0; i < 3; i++) {
        send = make("a", 0, "x");
        assert_true(backlog_add(&backlogs, &send, 1));
    }
    send = make("a", 0, "x");
    assert_false(backlog_add(&backlogs, &send, 1));
    assert_non_null(send.parcel);
    parcel_drop(&send.parcel);
    char body[102];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    send = make("b", 0, body);
    assert_false(backlog_add(&backlogs, &send, 1));
    parcel_drop(&send.parcel);
    backlogs_release(&backlogs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines_keep_their_order),
                                       cmocka_unit_test(test_lines_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
