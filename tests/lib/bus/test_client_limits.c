/* What keeps clients from making trouble worse: the breaker, the retry budget, the number of slots. */
#include "tests/lib/bus/client_scene.h"

static const struct calls_config limits = {.retry_percent = 10,
                                           .retry_floor = 1,
                                           .breaker_percent = 50,
                                           .breaker_window_ms = 60000,
                                           .breaker_calls = 4,
                                           .breaker_patience_ms = 1,
                                           .breaker_open_ms = 100};

static void limited_client_open(struct scene *scene, int slot_count)
{
    char message[128];
    rig_env_open(&scene->rig, scene->context, scene->first, "client");
    struct bus_client_settings settings = {
        .bus = &scene->rig.bus, .role = "gateway", .slot_count = slot_count, .calls = &limits};
    scene->client = bus_client_new(&scene->rig.env, &settings, message, sizeof message);
    assert_non_null(scene->client);
}

static int metric_of(struct scene *scene, enum metric_kind kind, const char *name, const char *labels)
{
    return (int)metric_value(metrics_get(scene->rig.env.metrics, kind, name, labels, ""));
}

static bool is_rejected(struct scene *scene, const char *id)
{
    int attempt;
    return get_call(scene, id, 5000, &attempt) == ERR_SERVICE_UNAVAILABLE &&
           strstr(scene->fault.detail, "product has not answered") != NULL;
}

static void test_breaker(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    int attempt;
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_HEARTBEAT_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    rig_service_wait(&rig);
    limited_client_open(scene, 4);
    RIG_WAIT(is_rejected(scene, "sick"));
    assert_int_equal(scene->fault.retry_after_s, 1);
    int taken = tiny_broker_taken(broker);
    assert_true(taken >= 4);
    assert_true(metric_of(scene, METRIC_COUNTER, "zmart_breaker_rejected_total", "service=\"product\"") >= 1);
    struct bus_request request = request_of(scene, "x", 5000);
    struct bus_answer answer;
    request.flags |= FRAME_SERVICE; /* a saga is not stopped halfway */
    assert_int_equal(bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer), ERR_NONE);
    RIG_WAIT(get_call(scene, "x", 5000, &attempt) == ERR_NONE); /* it is well again, and is asked now and then */
    RIG_WAIT(get_call(scene, "x", 5000, &attempt) == ERR_NONE &&
             metric_of(scene, METRIC_GAUGE, "zmart_breaker_state", "service=\"product\"") == 0);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

static void test_retry_budget(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    enum { CALLS = 10 + 2 }; /* two more than may be sent again at once */
    struct note notes[CALLS] = {0};
    struct tiny_broker *broker = tiny_broker_new(scene->context, scene->first, RIG_QUICK_MS);
    limited_client_open(scene, 64);
    for (int i = 0; i < CALLS; i++) { /* there is nobody to answer them */
        struct bus_request request = request_of(scene, "x", 60000);
        assert_int_equal(bus_client_start(scene->client, &request, note_done, &notes[i]), ERR_NONE);
    }
    RIG_WAIT(tiny_broker_taken(broker) == CALLS);
    int64_t begin_ms = clock_now_ms();
    tiny_broker_destroy(&broker);
    broker = tiny_broker_new(scene->context, scene->first, RIG_QUICK_MS);
    rig_service_start(&rig, scene->context, scene->first, &client_service, 0);
    for (int i = 0; i < CALLS; i++) {
        RIG_WAIT(notes[i].done_count == 1);
        assert_int_equal(notes[i].status, ERR_NONE);
        assert_int_equal(notes[i].attempt, 2);
    }
    assert_int_equal(metric_of(scene, METRIC_COUNTER, "zmart_bus_resent_total", ""), CALLS);
    int64_t earned =
        10 + 2 + (clock_now_ms() - begin_ms) * limits.retry_floor / 1000; /* on a busy machine enough for all */
    assert_true(metric_of(scene, METRIC_COUNTER, "zmart_bus_retries_delayed_total", "") > 0 || earned > CALLS);
    client_close(scene);
    assert_int_equal(rig_service_stop(&rig), 0);
    tiny_broker_destroy(&broker);
}

static void test_slots_run_out(void **state)
{
    struct scene *scene = *state;
    int attempt;
    client_open(scene, scene->first, 1);
    struct note note = {.status = -1};
    struct bus_request request = request_of(scene, "x", 20000);
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &note), ERR_NONE);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(get_call(scene, "x", 20000, &attempt), ERR_SERVICE_UNAVAILABLE);
    assert_true(clock_now_ms() - start_ms < 10000);
    assert_int_equal(scene->fault.retry_after_s, 1);
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &note), ERR_SERVICE_UNAVAILABLE);
    client_close(scene);
    assert_int_equal(note.done_count, 1);
    assert_int_equal(note.status, ERR_SERVICE_UNAVAILABLE);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {SCENE(test_breaker), SCENE(test_retry_budget), SCENE(test_slots_run_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
