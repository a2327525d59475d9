/* Units of work: what shares one, what is undone, and what leaves when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/scene.h"

static void test_batch(void **state)
{
    struct scene *scene = *state;
    struct caller first, others[3];
    static const char *const tickets[] = {"one", "fail", "three"};
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    tape_clear();
    for (int i = 0; i < 3; i++) { /* one after the other, so that their order is known */
        caller_start(&others[i], scene, tickets[i]);
        RIG_WAIT(queue_length(scene) == i + 1);
    }
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(caller_join(&others[0]), ERR_NONE);
    assert_int_equal(caller_join(&others[1]), ERR_CONFLICT);
    assert_int_equal(caller_join(&others[2]), ERR_NONE);
    tape_expect("release commit begin! save run:one release save run:fail undo save run:three release commit ");
}

/* --batch: what is over it waits for the next unit of work. */
static void test_a_batch_is_bounded(void **state)
{
    struct scene *scene = *state;
    struct caller callers[3];
    static const char *const tickets[] = {"one", "two", "three"};
    assert_int_equal(rig_service_stop(&scene->user), 0);
    pool = work_pool_new(1, 4);
    rig_service_start_batched(&scene->user, scene->context, scene->base, &user_service, 2);
    rig_service_wait(&scene->user);
    queue_behind(scene, callers, tickets, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(caller_join(&callers[i]), ERR_NONE);
    }
    tape_expect(
        "release commit begin! save run:one release save run:two release commit begin! save run:three release commit ");
}

static void test_broken_store(void **state)
{
    struct scene *scene = *state;
    struct caller callers[3];
    static const char *const tickets[] = {"one", "break", "three"};
    queue_behind(scene, callers, tickets, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(caller_join(&callers[i]), ERR_SERVICE_UNAVAILABLE);
    }
    tape_expect("release commit begin! save run:one release save run:break rollback ");
    struct identity identity;
    assert_int_equal(redeem_call(scene, "after", &identity), ERR_NONE);
}

static void test_failed_commit(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    struct identity identity;
    struct ws_ticket out;
    tape_set(&tape.fail_commit, true);
    assert_int_equal(redeem_call(scene, "one", &identity), ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(scene->fault.retry_after_s, 1);
    int given = tiny_broker_given(scene->broker);
    assert_int_equal(
        bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena, &scene->fault, &out),
        ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(
        bus_client_do(scene->client, OP_user_logout, NULL, &meta, &nothing, &scene->arena, &scene->fault, &nothing),
        ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(tiny_broker_given(scene->broker), given + 2); /* the call to product never left */
    tape_clear();
    tape_set(&tape.fail_begin, true);
    assert_int_equal(redeem_call(scene, "one", &identity), ERR_SERVICE_UNAVAILABLE);
    tape_expect("begin! ");
    assert_int_equal(commits, 0);
}

/* What a call has waited for has come, and then the store takes nothing; its place has been given back, once. */
static void test_failed_continuation(void **state)
{
    struct scene *scene = *state;
    struct nothing nothing = {0};
    struct identity identity;
    for (int turn = 0; turn < 2; turn++) {
        struct answered answered;
        work_waits = turn == 1;
        call_start(scene, turn == 1 ? "user.logout" : "user.ticket", "gate", &nothing_record, &nothing, &answered);
        gate_wait(&gate);
        tape_set(&tape.fail_begin, true);
        sem_post(&gate.leave);
        RIG_WAIT(answered.status == ERR_SERVICE_UNAVAILABLE);
        tape_clear();
        assert_int_equal(redeem_call(scene, "after", &identity), ERR_NONE);
    }
    pool_fill(scene);
}

static void test_reads_beside_writes(void **state)
{
    struct scene *scene = *state;
    struct caller writer;
    struct call_meta meta = meta_of_service();
    struct token_check token = {.session_id = TEXT("s"), .user_id = TEXT("u")};
    struct token_verdict verdict;
    caller_start(&writer, scene, "gate");
    gate_wait(&gate);
    tape_clear();
    assert_int_equal(
        bus_client_do(scene->client, OP_user_check, NULL, &meta, &token, &scene->arena, &scene->fault, &verdict),
        ERR_NONE);
    assert_true(verdict.good);
    tape_expect("begin commit ");
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&writer), ERR_NONE);
}

static void test_expired_is_not_begun(void **state)
{
    struct scene *scene = *state;
    struct caller first;
    struct bus_answer answer;
    struct call_meta services = meta_of_service();
    struct ticket_ref ref = {.ticket = TEXT("late")};
    struct bus_request request = {.route = TEXT("user.redeem"),
                                  .meta = record_pack_in(&call_meta_record, &services, &scene->arena),
                                  .body = record_pack_in(&ticket_ref_record, &ref, &scene->arena),
                                  .budget_ms = 100,
                                  .flags = FRAME_REPEATABLE};
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer), ERR_EXPIRED);
    assert_true(clock_now_ms() - start_ms >= 99);
    RIG_WAIT(tiny_broker_cancels(scene->broker) == 1);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    struct identity identity;
    assert_int_equal(redeem_call(scene, "next", &identity), ERR_NONE);
    assert_int_equal(begun, 2);
}

/* ---- groups ---- */

static void redeem_all(struct op_item *items, size_t count)
{
    char word[24];
    snprintf(word, sizeof word, "group:%zu", count);
    tape_add(word);
    for (size_t i = 0; i < count; i++) {
        const struct ticket_ref *ref = items[i].in;
        bool fails = text_is(ref->ticket, "fail"), bare = text_is(ref->ticket, "bare");
        if (text_is(ref->ticket, "gate")) {
            gate_pass(&gate);
        }
        items[i].status = bare ? ERR_FORBIDDEN
                          : fails ? fault_set(call_fault(items[i].call), ERR_CONFLICT, "used before") : ERR_NONE;
        *(struct identity *)items[i].out =
            (struct identity){.user_id = ref->ticket, .session_id = TEXT("ses"), .issued_at = 1};
    }
}

static enum err grouped_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    static const struct op_group groups[] = {{OP_user_redeem, redeem_all}};
    (void)loop, (void)config, (void)fault;
    *out = (struct loop_store){.groups = groups, .group_count = ARRAY_COUNT(groups)};
    return ERR_NONE;
}

static int grouped_scene(void **state)
{
    static struct service grouped;
    grouped = user_service;
    grouped.open = grouped_open;
    return scene_open(state, "inproc://rig", &grouped);
}

static void test_group(void **state)
{
    struct scene *scene = *state;
    struct caller callers[4];
    static const char *const tickets[] = {"one", "fail", "bare", "four"};
    int before = commits;
    queue_behind(scene, callers, tickets, 4);
    assert_int_equal(caller_join(&callers[0]), ERR_NONE);
    assert_int_equal(caller_join(&callers[1]), ERR_CONFLICT);
    assert_int_equal(caller_join(&callers[2]), ERR_FORBIDDEN);
    assert_int_equal(caller_join(&callers[3]), ERR_NONE);
    tape_expect("group:4 ");
    RIG_WAIT(commits >= before + 2); /* the gate's, and the four's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_batch), SCENE(test_a_batch_is_bounded),
        SCENE(test_broken_store),
        SCENE(test_failed_continuation),
        SCENE(test_failed_commit),
        SCENE(test_reads_beside_writes),
        SCENE(test_expired_is_not_begun),
        cmocka_unit_test_setup_teardown(test_group, grouped_scene, scene_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
