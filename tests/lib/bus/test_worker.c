/* A service's life: it joins, drains, loses its broker, runs timers, tells its metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/scene.h"

static void test_drain(void **state)
{
    struct scene *scene = *state;
    struct caller first, second;
    struct identity identity;
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    caller_start(&second, scene, "second");
    RIG_WAIT(tiny_broker_given(scene->broker) == 2);
    uint64_t one = 1;
    assert_int_equal(write(scene->user.rig.stop_fd, &one, sizeof one), sizeof one);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(caller_join(&second), ERR_NONE);
    RIG_WAIT(tiny_broker_workers(scene->broker) == 1);
    pthread_join(scene->user.thread, NULL);
    assert_int_equal(scene->user.status, 0);
    rig_env_close(&scene->user.rig);
    /* another one takes over what arrives meanwhile */
    struct caller third;
    caller_start(&third, scene, "third");
    pool = work_pool_new(1, 4);
    rig_service_start(&scene->user, scene->context, scene->base, &user_service, 0);
    assert_int_equal(caller_join(&third), ERR_NONE);
    assert_int_equal(redeem_call(scene, "fourth", &identity), ERR_NONE);
    assert_int_equal(identity.issued_at, 1);
}

static void test_drain_waits_for_answers(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("gate");
    struct nothing nothing = {0};
    struct answered answered = {.status = ERR_COUNT};
    struct bus_request request = {.route = TEXT("user.ticket"),
                                  .meta = record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  .body = record_pack_in(&nothing_record, &nothing, &scene->arena),
                                  .budget_ms = 5000};
    assert_int_equal(bus_client_start(scene->client, &request, answer_note, &answered), ERR_NONE);
    gate_wait(&gate); /* the other service has the call */
    uint64_t one = 1;
    assert_int_equal(write(scene->user.rig.stop_fd, &one, sizeof one), sizeof one);
    RIG_WAIT(tiny_broker_draining(scene->broker) == 1);
    sem_post(&gate.leave);
    RIG_WAIT(answered.status == ERR_NONE);
    pthread_join(scene->user.thread, NULL);
    assert_int_equal(scene->user.status, 0);
    rig_env_close(&scene->user.rig);
    pool = work_pool_new(1, 4);
    rig_service_start(&scene->user, scene->context, scene->base, &user_service, 0);
    rig_service_wait(&scene->user);
}

static void test_drain_has_an_end(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    struct answered answered = {.status = ERR_COUNT};
    struct bus_request request = {.route = TEXT("user.logout"),
                                  .meta = record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  .body = record_pack_in(&nothing_record, &nothing, &scene->arena),
                                  .budget_ms = 20000};
    work_waits = true;
    assert_int_equal(bus_client_start(scene->client, &request, answer_note, &answered), ERR_NONE);
    gate_wait(&gate); /* the work does not end before the drain's time is over */
    uint64_t one = 1;
    assert_int_equal(write(scene->user.rig.stop_fd, &one, sizeof one), sizeof one);
    RIG_WAIT(answered.status != ERR_COUNT);
    assert_int_equal(answered.status, ERR_SERVICE_UNAVAILABLE);
    sem_post(&gate.leave);
    pthread_join(scene->user.thread, NULL);
    assert_int_equal(scene->user.status, 0);
    rig_env_close(&scene->user.rig);
    pool = work_pool_new(1, 4);
    rig_service_start(&scene->user, scene->context, scene->base, &user_service, 0);
    rig_service_wait(&scene->user);
}

static int scene_open_hasty(void **state)
{
    int opened = scene_open(state, "inproc://hasty", &user_service);
    struct scene *scene = *state;
    uint64_t one = 1;
    /* once more, with a shorter drain */
    assert_int_equal(write(scene->user.rig.stop_fd, &one, sizeof one), sizeof one);
    pthread_join(scene->user.thread, NULL);
    rig_env_close(&scene->user.rig);
    pool = work_pool_new(1, 4);
    rig_service_start_draining(&scene->user, scene->context, scene->base, &user_service, 50);
    rig_service_wait(&scene->user);
    return opened;
}

static void test_broker_forgets(void **state)
{
    struct scene *scene = *state;
    struct identity identity;
    struct caller first;
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    tiny_broker_forget(scene->broker);
    RIG_WAIT(tiny_broker_workers(scene->broker) == 2); /* they have come back */
    RIG_WAIT(tiny_broker_taken(scene->broker) == 2);   /* the client has sent it again */
    sem_post(&gate.leave);                             /* this reply is unwanted */
    gate_wait(&gate);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(first.out.issued_at, 2);
    assert_int_equal(redeem_call(scene, "next", &identity), ERR_NONE);
}

/* What a lost session has left takes nothing from the next one's credit. Of what is too much even so nobody knows whether
 * an earlier life of it is done. */
static void test_leftovers_are_beside_the_credit(void **state)
{
    struct scene *scene = *state;
    struct identity identity;
    struct caller first;
    assert_int_equal(rig_service_stop(&scene->user), 0);
    pool = work_pool_new(1, 4);
    rig_service_start_small(&scene->user, scene->context, scene->base, &user_service, 1, 2);
    rig_service_wait(&scene->user);
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    tiny_broker_forget(scene->broker);
    RIG_WAIT(queue_length(scene) == 1); /* the client has sent it again, and it waits for the loop */
    sem_post(&gate.leave);
    gate_wait(&gate);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(first.out.issued_at, 2);
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    tiny_broker_forget(scene->broker);
    RIG_WAIT(queue_length(scene) == 1);
    tiny_broker_forget(scene->broker);
    assert_int_equal(caller_join(&first), ERR_OUTCOME_UNKNOWN);
    sem_post(&gate.leave); /* the second is not begun: its session is lost */
    RIG_WAIT(redeem_call(scene, "next", &identity) == ERR_NONE); /* both places are given back */
}

static int scene_open_timer(void **state)
{
    static const struct service_timer timers[] = {{"tick", 20, 1000, timer}};
    static struct service timed;
    timed = user_service;
    timed.timers = timers;
    timed.timer_count = 1;
    return scene_open(state, "inproc://timed", &timed);
}

static void test_timer(void **state)
{
    struct scene *scene = *state;
    (void)scene;
    RIG_WAIT(timer_runs >= 3);
}

static void test_metrics_travel(void **state)
{
    struct scene *scene = *state;
    struct identity identity;
    assert_int_equal(redeem_call(scene, "one", &identity), ERR_NONE);
    RIG_WAIT(tiny_broker_ping_size(scene->broker) > 300);
    assert_int_equal(metric_value(metrics_get(scene->user.rig.env.metrics, METRIC_COUNTER,
                                              "zmart_service_requests_total", "op=\"user.redeem\",code=\"ok\"", "")),
                     1);
}

static void test_open_fails(void **state)
{
    (void)state;
    struct rig_service rig;
    void *context = bus_context_new();
    tape_clear();
    tape_set(&tape.fail_begin, true);
    pool = NULL;
    rig_service_start(&rig, context, "inproc://nowhere", &user_service, 2);
    assert_int_equal(rig_service_stop(&rig), PROCESS_FAILED);
    bus_context_destroy(&context);
    tape_clear();
}

static void test_stop_without_broker(void **state)
{
    (void)state;
    struct rig_service rig;
    void *context = bus_context_new();
    rig_service_start(&rig, context, "ipc:///tmp/zmart-nobody-is-here", &product_service, 0);
    assert_int_equal(rig_service_stop(&rig), 0);
    bus_context_destroy(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_drain),
        SCENE_IPC(test_drain),
        SCENE(test_drain_waits_for_answers),
        cmocka_unit_test_setup_teardown(test_drain_has_an_end, scene_open_hasty, scene_close),
        SCENE_IPC(test_broker_forgets),
        SCENE(test_leftovers_are_beside_the_credit),
        cmocka_unit_test_setup_teardown(test_timer, scene_open_timer, scene_close),
        SCENE(test_metrics_travel),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test(test_stop_without_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
