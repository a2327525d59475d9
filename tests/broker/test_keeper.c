/* Dead letters on their way to the service that keeps them, and back; the test is that service. */
#include "tests/broker/harness.h"

#include "proto/fault.h"
#include "proto/letter.h"
#include "proto/mmi.h"
#include "proto/pack.h"

enum { ASKED = 99 };

struct desk {
    struct harness h;
    uint32_t client, worker, keeper;
    struct frame_head order; /* what the keeper was asked last */
    struct text parts[PARCEL_MAX_PARTS];
};

static void desk_open(struct desk *desk, bool with_keeper)
{
    *desk = (struct desk){0};
    harness_init(&desk->h);
    harness_start(&desk->h);
    desk->client = say_hello(&desk->h, PLANE_CLIENTS, "c", "");
    desk->worker = say_hello(&desk->h, PLANE_WORKERS, "w", "echo:4");
    if (with_keeper) {
        desk->keeper = say_hello(&desk->h, PLANE_WORKERS, "k", "event:4");
    }
}

/* The keeper must have been asked this; in (a record) is what it was asked. */
static void keeper_asked(struct desk *desk, const char *route, const struct record *record, void *out)
{
    struct call_meta meta;
    desk->order = expect_frame(&desk->h, PLANE_WORKERS, "k", FRAME_REQUEST, desk->parts);
    assert_true(text_is(desk->parts[0], route));
    assert_int_equal(record_unpack(&call_meta_record, desk->parts[1], &desk->h.arena, NULL, &meta), ERR_NONE);
    assert_true(text_is(meta.caller, "broker-1"));
    assert_int_equal(record_unpack(record, desk->parts[2], &desk->h.arena, NULL, out), ERR_NONE);
    assert_int_equal(desk->order.flags & (FRAME_SERVICE | FRAME_REPEATABLE), FRAME_SERVICE | FRAME_REPEATABLE);
}

static void keeper_says(struct desk *desk, uint16_t status, const struct record *record, const void *out)
{
    struct frame_head head = head_of(&desk->h, FRAME_REPLY, desk->keeper, desk->order.corr);
    struct text body = record ? record_pack_in(record, out, &desk->h.arena) : TEXT("\x80");
    head.status = status;
    send_frame(&desk->h, PLANE_WORKERS, "k", &head, (struct text[]){TEXT("\x80"), body}, 2);
}

static void ask(struct desk *desk, enum mmi_dlq_action action, const char *request_id)
{
    struct frame_head head = head_of(&desk->h, FRAME_REQUEST, desk->client, ASKED);
    struct text body = dlq_body(&desk->h, action, text_of(request_id));
    send_frame(&desk->h, PLANE_CLIENTS, "c", &head, (struct text[]){TEXT("mmi.dlq"), TEXT("\x80"), body}, 3);
}

/* The answer to it; returns its status, with the list that came along. */
static int answer(struct desk *desk, struct mmi_dead_letters *out)
{
    struct text parts[PARCEL_MAX_PARTS] = {{0}};
    struct frame_head head = expect_frame(&desk->h, PLANE_CLIENTS, "c", FRAME_REPLY, parts);
    assert_int_equal(head.corr, ASKED);
    if (head.status == 200) {
        assert_int_equal(record_unpack(&mmi_dead_letters_record, parts[1], &desk->h.arena, NULL, out), ERR_NONE);
    }
    return head.status;
}

static int listed(struct desk *desk, const struct mmi_dead_letters *stored, struct mmi_dead_letters *out)
{
    struct nothing nothing;
    keeper_asked(desk, "event.letter_list", &nothing_record, &nothing);
    keeper_says(desk, 200, &mmi_dead_letters_record, stored);
    return answer(desk, out);
}

static const char first_id[] = "01000000000000000000000000000000";
static const struct mmi_dead_letters empty_store;

static void a_letter_is_handed_over_until_it_is_taken(void **state)
{
    (void)state;
    struct desk desk;
    struct dead_letter kept, again;
    struct mmi_dead_letters list;
    desk_open(&desk, true);
    desk.worker = poison(&desk.h, desk.client, 1, 0, "echo.say#K");
    pass(&desk.h, 20 * MS);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
    assert_true(text_is(kept.request_id, first_id) && text_is(kept.route, "echo.say#K") && kept.attempts == 3);
    assert_memory_equal(desk.order.request_id, "\1", 2);
    assert_true(text_is(kept.body, "\xc4\x04" "body"));
    keeper_says(&desk, 503, NULL, NULL);
    expect_nothing(&desk.h);
    ask(&desk, MMI_DLQ_LIST, first_id);
    assert_int_equal(listed(&desk, &empty_store, &list), 200);
    assert_int_equal(list.count, 1);
    assert_false(list.letters.items[0].stored);
    pass(&desk.h, 240 * MS);
    expect_nothing(&desk.h); /* not at once */
    pass(&desk.h, 20 * MS);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &again);
    assert_int_equal(again.death, kept.death); /* the same one: adding it twice does no harm */
    keeper_says(&desk, 200, NULL, NULL);
    pass(&desk.h, 5 * SECOND);
    ask(&desk, MMI_DLQ_LIST, first_id);
    harness_release(&desk.h);
}

static void secrets_go_without_a_body(void **state)
{
    (void)state;
    struct desk desk;
    struct dead_letter kept;
    desk_open(&desk, true);
    desk.worker = poison(&desk.h, desk.client, 1, FRAME_SECRET, "echo.say#K");
    pass(&desk.h, 20 * MS);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
    assert_true(text_is(kept.route, "echo.say") && kept.bytes == 0);
    assert_false(has(dead_letter, &kept, body) || has(dead_letter, &kept, meta));
    keeper_says(&desk, 200, NULL, NULL);
    harness_release(&desk.h);
}

/* The keeper dies over a letter: that makes no letter of the letter, and the next one is tried first. */
static void a_letter_that_kills_its_keeper(void **state)
{
    (void)state;
    struct desk desk;
    struct dead_letter kept;
    struct mmi_dead_letters list;
    desk_open(&desk, true);
    desk.worker = poison(&desk.h, desk.client, 1, 0, "echo.say#K");
    desk.worker = poison(&desk.h, desk.client, 2, 0, "echo.say#K");
    pass(&desk.h, 20 * MS);
    for (int i = 0; i < FRAME_MAX_ATTEMPTS; i++) {
        keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
        assert_int_equal(kept.request_id.data[1], '1');
        broker_peer_gone(desk.h.broker, PLANE_WORKERS, TEXT("k"), desk.h.now_us);
        desk.keeper = say_hello(&desk.h, PLANE_WORKERS, "k", "event:4");
    }
    pass(&desk.h, SECOND);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
    assert_int_equal(kept.request_id.data[1], '2');
    keeper_says(&desk, 200, NULL, NULL);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
    assert_int_equal(kept.request_id.data[1], '1');
    keeper_says(&desk, 404, NULL, NULL); /* an older keeper, that does not know what letters are */
    ask(&desk, MMI_DLQ_LIST, first_id);
    assert_int_equal(listed(&desk, &empty_store, &list), 200);
    assert_int_equal(list.count, 1);
    harness_release(&desk.h);
}

/* ---- requeue ---- */

static struct dead_letter stored_letter(void)
{
    struct dead_letter letter = {.request_id = text_of(first_id),
                                 .death = 12345,
                                 .route = TEXT("echo.say#K"),
                                 .reason = TEXT("x"),
                                 .attempts = 3,
                                 .flags = FRAME_REPEATABLE,
                                 .bytes = 15,
                                 .meta = TEXT("\xc4\x01\x80"),
                                 .body = TEXT("\xc4\x04" "body")};
    set_has(dead_letter, &letter, meta);
    set_has(dead_letter, &letter, body);
    return letter;
}

/* Asks for what only the store has; returns the frame that a worker gets. */
static struct frame_head requeue_stored(struct desk *desk)
{
    struct letter_take take;
    struct mmi_dead_letters list;
    struct dead_letter letter = stored_letter();
    struct text parts[PARCEL_MAX_PARTS];
    ask(desk, MMI_DLQ_REQUEUE, first_id);
    keeper_asked(desk, "event.letter_take", &letter_take_record, &take);
    assert_true(text_is(take.request_id, first_id) && take.lease_ms > 700);
    keeper_says(desk, 200, &dead_letter_record, &letter);
    struct frame_head head = expect_frame(&desk->h, PLANE_WORKERS, "w", FRAME_REQUEST, parts);
    assert_true(text_is(parts[0], "echo.say#K") && text_is(parts[1], "\x80") && text_is(parts[2], "body"));
    assert_int_equal(head.request_id[0], 1);
    assert_int_equal(head.attempt, 1);
    assert_int_equal(head.budget_ms, 700);
    assert_int_equal(listed(desk, &empty_store, &list), 200);
    assert_int_equal(list.count, 0);
    return head;
}

static void a_stored_letter_is_sent_again_and_dropped(void **state)
{
    (void)state;
    struct desk desk;
    struct letter_drop drop;
    desk_open(&desk, true);
    struct frame_head head = requeue_stored(&desk);
    send_reply(&desk.h, "w", desk.worker, head.corr);
    keeper_asked(&desk, "event.letter_drop", &letter_drop_record, &drop);
    assert_int_equal(drop.death, 12345);
    keeper_says(&desk, 503, NULL, NULL); /* then its lease ends some time */
    expect_nothing(&desk.h);
    harness_release(&desk.h);
}

static void one_that_fails_again_is_a_letter_again(void **state)
{
    (void)state;
    struct desk desk;
    struct dead_letter kept;
    desk_open(&desk, true);
    struct frame_head again = requeue_stored(&desk);
    struct frame_head reply = head_of(&desk.h, FRAME_REPLY, desk.worker, again.corr);
    reply.status = 503;
    send_frame(&desk.h, PLANE_WORKERS, "w", &reply, (struct text[]){TEXT("\x80"), TEXT("\x80")}, 2);
    pass(&desk.h, 20 * MS);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
    assert_true(text_is(kept.request_id, first_id) && kept.death != 12345);
    keeper_says(&desk, 200, NULL, NULL);
    (void)requeue_stored(&desk);
    pass(&desk.h, 760 * MS); /* nobody answers it this time */
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept);
    assert_true(text_is(kept.request_id, first_id) && text_starts_with(kept.reason, "A worker had it"));
    harness_release(&desk.h);
}

static void what_the_keeper_refuses(void **state)
{
    (void)state;
    static const struct {
        enum mmi_dlq_action action;
        uint16_t says;
        int answer;
    } cases[] = {{MMI_DLQ_REQUEUE, 404, 404}, {MMI_DLQ_REQUEUE, 409, 409}, {MMI_DLQ_REQUEUE, 503, 503},
                 {MMI_DLQ_DROP, 404, 404},    {MMI_DLQ_DROP, 503, 503}};
    struct desk desk;
    struct nothing nothing;
    struct letter_take take;
    struct letter_drop drop;
    struct mmi_dead_letters list;
    desk_open(&desk, true);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        ask(&desk, cases[i].action, first_id);
        if (cases[i].action == MMI_DLQ_REQUEUE) {
            keeper_asked(&desk, "event.letter_take", &letter_take_record, &take);
        } else {
            keeper_asked(&desk, "event.letter_drop", &letter_drop_record, &drop);
            assert_false(has(letter_drop, &drop, death));
        }
        keeper_says(&desk, cases[i].says, NULL, NULL);
        assert_int_equal(answer(&desk, &list), cases[i].answer);
    }
    struct dead_letter bodiless = stored_letter();
    bodiless.present = 0;
    ask(&desk, MMI_DLQ_REQUEUE, first_id);
    keeper_asked(&desk, "event.letter_take", &letter_take_record, &take);
    keeper_says(&desk, 200, &dead_letter_record, &bodiless);
    assert_int_equal(answer(&desk, &list), 409);
    ask(&desk, MMI_DLQ_LIST, first_id); /* it does not answer at all */
    keeper_asked(&desk, "event.letter_list", &nothing_record, &nothing);
    pass(&desk.h, 3 * SECOND);
    assert_int_equal(answer(&desk, &list), 200);
    assert_true(list.partial);
    harness_release(&desk.h);
}

/* It was taken, but nobody serves it here: others may take it at once. */
static void what_cannot_be_sent_is_given_back(void **state)
{
    (void)state;
    struct desk desk;
    struct letter_take take, back;
    struct mmi_dead_letters list;
    struct dead_letter letter = stored_letter();
    desk_open(&desk, true);
    pass(&desk.h, 2500 * MS); /* beyond the broker's first seconds, in which any service is waited for */
    desk.keeper = say_hello(&desk.h, PLANE_WORKERS, "k", "event:4");
    letter.route = TEXT("nobody.knows");
    ask(&desk, MMI_DLQ_REQUEUE, first_id);
    keeper_asked(&desk, "event.letter_take", &letter_take_record, &take);
    keeper_says(&desk, 200, &dead_letter_record, &letter);
    assert_int_equal(answer(&desk, &list), 503);
    keeper_asked(&desk, "event.letter_take", &letter_take_record, &back);
    assert_true(text_equal(back.taker, take.taker) && text_equal(back.request_id, take.request_id));
    assert_int_equal(back.lease_ms, 1);
    keeper_says(&desk, 200, &dead_letter_record, &letter);
    expect_nothing(&desk.h);
    harness_release(&desk.h);
}

static void both_places_are_one_list(void **state)
{
    (void)state;
    struct desk desk;
    struct dead_letter kept;
    struct letter_drop drop;
    struct mmi_dead_letters list;
    struct mmi_dead_letter rows[] = {{.request_id = text_of(first_id), .route = TEXT("a.b"), .attempts = 3},
                                     {.request_id = TEXT("ff000000000000000000000000000000"), .route = TEXT("a.b"),
                                      .attempts = 3, .stored = true}};
    struct mmi_dead_letters stored = {.count = 2, .letters = {rows, 2}};
    set_has(mmi_dead_letter, &rows[1], stored);
    desk_open(&desk, true);
    desk.worker = poison(&desk.h, desk.client, 1, 0, "echo.say#K");
    pass(&desk.h, 20 * MS);
    keeper_asked(&desk, "event.letter_add", &dead_letter_record, &kept); /* it has it, but we do not know yet */
    struct frame_head adding = desk.order;
    ask(&desk, MMI_DLQ_LIST, first_id);
    assert_int_equal(listed(&desk, &stored, &list), 200);
    assert_int_equal(list.count, 2);
    assert_true(!list.letters.items[0].stored && list.letters.items[1].stored);
    ask(&desk, MMI_DLQ_DROP, first_id);
    keeper_asked(&desk, "event.letter_drop", &letter_drop_record, &drop);
    assert_int_equal(drop.death, kept.death); /* so that the one under way does not come back */
    keeper_says(&desk, 200, NULL, NULL);
    assert_int_equal(listed(&desk, &empty_store, &list), 200);
    assert_int_equal(list.count, 0);
    desk.order = adding;
    keeper_says(&desk, 200, NULL, NULL);
    expect_nothing(&desk.h);
    harness_release(&desk.h);
}

static void whoever_asks_may_leave(void **state)
{
    (void)state;
    struct desk desk;
    struct nothing nothing;
    desk_open(&desk, true);
    ask(&desk, MMI_DLQ_LIST, first_id);
    keeper_asked(&desk, "event.letter_list", &nothing_record, &nothing);
    assert_int_equal(broker_counts(desk.h.broker).in_flight, 2); /* the question, and ours for it */
    broker_peer_gone(desk.h.broker, PLANE_CLIENTS, TEXT("c"), desk.h.now_us);
    (void)say_hello(&desk.h, PLANE_CLIENTS, "c", "");
    keeper_says(&desk, 200, &mmi_dead_letters_record, &empty_store);
    expect_nothing(&desk.h);
    assert_int_equal(broker_counts(desk.h.broker).in_flight, 0);
    harness_release(&desk.h);
}

static void clients_may_not_ask_the_keeper(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, true);
    struct frame_head head = head_of(&desk.h, FRAME_REQUEST, desk.client, 5);
    send_request(&desk.h, "c", &head, "event.letter_take");
    expect_nack(&desk.h, "c", 5, 403);
    send_request(&desk.h, "c", &head, "event.letter_add#k");
    expect_nack(&desk.h, "c", 5, 403);
    harness_release(&desk.h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_is_handed_over_until_it_is_taken),
        cmocka_unit_test(secrets_go_without_a_body),
        cmocka_unit_test(a_letter_that_kills_its_keeper),
        cmocka_unit_test(a_stored_letter_is_sent_again_and_dropped),
        cmocka_unit_test(one_that_fails_again_is_a_letter_again),
        cmocka_unit_test(what_the_keeper_refuses),
        cmocka_unit_test(what_cannot_be_sent_is_given_back),
        cmocka_unit_test(both_places_are_one_list),
        cmocka_unit_test(whoever_asks_may_leave),
        cmocka_unit_test(clients_may_not_ask_the_keeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
