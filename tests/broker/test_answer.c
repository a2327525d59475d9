#include "tests/broker/harness.h"

#include "broker/answer.h"
#include "proto/fault.h"

static void test_every_outcome_has_its_status(void **state)
{
    (void)state;
    static const struct {
        enum outcome outcome;
        int status;
    } list[] = {{OUTCOME_MALFORMED, 400}, {OUTCOME_UNKNOWN, 404},  {OUTCOME_TOO_LARGE, 413},
                {OUTCOME_FULL, 429},      {OUTCOME_LOST, 502},     {OUTCOME_UNAVAILABLE, 503},
                {OUTCOME_EXPIRED, 504},   {OUTCOME_CANCELLED, 504}};
    struct harness h;
    harness_init(&h);
    harness_start(&h);
    uint32_t epoch = say_hello(&h, PLANE_CLIENTS, "c", "");
    struct caller caller = {.client = peer_find(&h.broker->peers, PLANE_CLIENTS, TEXT("c")), .corr = 8, .attempt = 2};
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        struct text parts[PARCEL_MAX_PARTS] = {{0}};
        struct problem problem;
        struct nack nack = {list[i].outcome, "Because.", "this", 3};
        h.broker->counts.accepted++;
        answer_nack(h.broker, &caller, &nack);
        struct frame_head head = expect_frame(&h, PLANE_CLIENTS, "c", FRAME_NACK, parts);
        assert_int_equal(head.status, list[i].status);
        assert_int_equal(head.corr, 8);
        assert_int_equal(head.epoch, epoch);
        assert_int_equal(head.attempt, 2);
        assert_int_equal(parts[0].size, 0);
        assert_int_equal(record_unpack(&problem_record, parts[1], &h.arena, NULL, &problem), ERR_NONE);
        assert_int_equal(problem.status, list[i].status);
        assert_true(text_is(problem.detail, "Because.") && text_is(problem.allowed.items[0], "this"));
        assert_int_equal(problem.retry_after_s, 3);
        assert_int_equal(metric_value(h.broker->meters.outcomes[list[i].outcome]), 1);
    }
    caller.client = NULL; /* it has left: counted all the same */
    h.broker->counts.accepted += 2;
    answer_nack(h.broker, &caller, &(struct nack){.outcome = OUTCOME_EXPIRED});
    answer_reply(h.broker, &caller, 200, 0, parcel_of(NULL, 0));
    expect_nothing(&h);
    assert_int_equal(broker_counts(h.broker).nacked, ARRAY_COUNT(list) + 1);
    harness_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_outcome_has_its_status)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
