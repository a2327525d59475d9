/* Clients and services with the real broker between them: in one process over inproc, and over ipc with the broker as a
 * process that can be killed. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/program.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/peer.h"
#include "proto/mmi.h"
#include "tests/lib/bus/broker_scene.h"

/* ---- the broker as a process ---- */

static pid_t broker_spawn(const char *base)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "broker", "--bus", base, BROKER_FLAGS, "--log-level", "error", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void broker_kill(pid_t pid, int signal_number)
{
    int status;
    assert_int_equal(kill(pid, signal_number), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (signal_number == SIGTERM) {
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- what all tests have ---- */

static enum err get_call(struct bus_client *client, const char *id, struct arena *arena, struct fault *fault,
                         struct product *out)
{
    struct product_ref ref = {.id = text_of(id)};
    return bus_client_do(client, OP_product_get, NULL, NULL, &ref, arena, fault, out);
}

static enum err mmi_call(struct scene *scene, const char *route, struct text body, struct bus_answer *out)
{
    static const struct call_meta nobody;
    struct bus_request request = {.route = text_of(route),
                                  .meta = record_pack_in(&call_meta_record, &nobody, &scene->arena),
                                  .body = body,
                                  .budget_ms = 5000,
                                  .priority = 3,
                                  .flags = FRAME_REPEATABLE};
    id_new(request.request_id);
    return bus_client_call(scene->client, &request, &scene->arena, &scene->fault, out);
}

/* The worker's metrics are known to the broker once one of its PINGs has come. */
static bool metrics_have(struct scene *scene, const char *instance, const char *series)
{
    struct bus_answer answer;
    struct metric_report report;
    assert_int_equal(mmi_call(scene, "mmi.metrics", (struct text){0}, &answer), ERR_NONE);
    assert_int_equal(record_unpack(&metric_report_record, answer.body, &scene->arena, &scene->fault, &report),
                     ERR_NONE);
    for (uint32_t p = 0; p < report.processes.count; p++) {
        const struct metric_list *process = &report.processes.items[p];
        for (uint32_t i = 0; text_is(process->instance, instance) && i < process->series.count; i++) {
            if (text_is(process->series.items[i].name, series)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- tests ---- */

static void test_calls(void **state)
{
    struct scene *scene = *state;
    struct broker_thread broker;
    struct rig_service rig;
    struct product product;
    broker_thread_start(&broker, scene->context, scene->base);
    rig_service_start(&rig, scene->context, scene->base, &broker_scene_service, 0);
    rig_service_wait(&rig);
    assert_int_equal(get_call(scene->client, "x", &scene->arena, &scene->fault, &product), ERR_NONE);
    assert_int_equal(product.stock, 1);
    assert_int_equal(get_call(scene->client, "missing", &scene->arena, &scene->fault, &product), ERR_NOT_FOUND);
    assert_string_equal(scene->fault.detail, "no such product");
    struct bus_answer answer;
    assert_int_equal(mmi_call(scene, "prodcut.get", TEXT("\x80"), &answer), ERR_UNKNOWN_OPERATION);
    assert_int_equal(mmi_call(scene, "product.nonsense", TEXT("\x80"), &answer), ERR_UNKNOWN_OPERATION);
    RIG_WAIT(metrics_have(scene, "product", "zmart_service_requests_total"));
    assert_int_equal(rig_service_stop(&rig), 0);
    assert_int_equal(broker_thread_stop(&broker), 0);
}

static void test_broker_is_killed(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    struct product product;
    pid_t pid = broker_spawn(scene->base);
    rig_service_start(&rig, scene->context, scene->base, &broker_scene_service, 0);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(get_call(scene->client, "x", &scene->arena, &scene->fault, &product), ERR_NONE);
        broker_kill(pid, round == 1 ? SIGTERM : SIGKILL);
        pid = broker_spawn(scene->base);
    }
    assert_int_equal(get_call(scene->client, "x", &scene->arena, &scene->fault, &product), ERR_NONE);
    assert_int_equal(rig_service_stop(&rig), 0);
    broker_kill(pid, SIGTERM);
}

/* A worker that takes one request and is never heard of again. */
struct doomed {
    struct peer_settings settings;
    struct hello_service served;
    struct peer peer;
    pthread_t thread;
};

static bool request_came(struct peer *peer)
{
    struct message message;
    enum peer_news news;
    bool came = false;
    while (!came && (news = peer_receive(peer, &message)) != PEER_EMPTY) {
        if (news == PEER_MESSAGE) {
            came = message.head.type == FRAME_REQUEST;
            message_release(&message);
        }
    }
    return came;
}

static void *doomed_thread(void *argument)
{
    struct doomed *doomed = argument;
    while (!request_came(&doomed->peer)) {
        zmq_pollitem_t item = {.socket = doomed->peer.socket, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, 10);
        peer_tick(&doomed->peer, clock_now_ms());
    }
    zmq_close(doomed->peer.socket);
    return NULL;
}

static void doomed_start(struct doomed *doomed, struct scene *scene)
{
    char address[BUS_ADDRESS_SIZE];
    *doomed = (struct doomed){.served = {.name = TEXT("product"), .credit = 10},
                              .settings = {.context = scene->context,
                                           .role = "worker",
                                           .instance = "doomed",
                                           .services = &doomed->served,
                                           .service_count = 1,
                                           .heartbeat_ms = RIG_HEARTBEAT_MS}};
    assert_true(bus_address(scene->base, BUS_WORKERS, address));
    peer_open(&doomed->peer, &doomed->settings, address);
    assert_int_equal(pthread_create(&doomed->thread, NULL, doomed_thread, doomed), 0);
}

static void note_done(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem)
{
    _Atomic int *attempt = user;
    (void)problem;
    *attempt = status == ERR_NONE ? answer->attempt : -(int)status;
}

static void test_worker_dies(void **state)
{
    static const struct call_meta nobody;
    struct scene *scene = *state;
    struct broker_thread broker;
    struct doomed doomed;
    struct rig_service rig;
    struct product_ref ref = {.id = TEXT("x")};
    struct bus_request request = {.route = TEXT("product.get"),
                                  .meta = record_pack_in(&call_meta_record, &nobody, &scene->arena),
                                  .body = record_pack_in(&product_ref_record, &ref, &scene->arena),
                                  .budget_ms = 15000,
                                  .flags = FRAME_REPEATABLE};
    _Atomic int attempt = 0;
    struct mmi_service_ref service_ref = {.name = TEXT("product")};
    struct text body = record_pack_in(&mmi_service_ref_record, &service_ref, &scene->arena);
    struct bus_answer answer;
    id_new(request.request_id);
    broker_thread_start(&broker, scene->context, scene->base);
    doomed_start(&doomed, scene);
    RIG_WAIT(mmi_call(scene, "mmi.service", body, &answer) == ERR_NONE);
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &attempt), ERR_NONE);
    pthread_join(doomed.thread, NULL); /* it has the request, and is gone */
    rig_service_start(&rig, scene->context, scene->base, &broker_scene_service, 0);
    RIG_WAIT(attempt != 0);
    assert_int_equal(attempt, 2);
    assert_int_equal(rig_service_stop(&rig), 0);
    assert_int_equal(broker_thread_stop(&broker), 0);
}

/* ---- a rolling restart under load ---- */

enum { CROWD = 4 };

struct crowd {
    struct scene *scene;
    pthread_t thread;
    _Atomic bool *stop;
    _Atomic int good_count;
    int bad_count;
    enum err last;
};

static void *crowd_thread(void *argument)
{
    struct crowd *crowd = argument;
    while (!*crowd->stop) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        struct product product;
        fault_init(&fault, &arena);
        enum err status = get_call(crowd->scene->client, "x", &arena, &fault, &product);
        if (status == ERR_NONE) {
            crowd->good_count++;
        } else {
            crowd->bad_count++;
            crowd->last = status;
        }
    }
    return NULL;
}

static void crowd_goes_on(struct crowd *crowd)
{
    for (int i = 0; i < CROWD; i++) {
        int before = crowd[i].good_count;
        RIG_WAIT(crowd[i].good_count > before + 2);
    }
}

static void test_rolling_restart(void **state)
{
    struct scene *scene = *state;
    struct broker_thread broker;
    struct rig_service rigs[2];
    struct crowd crowd[CROWD];
    _Atomic bool stop = false;
    broker_thread_start(&broker, scene->context, scene->base);
    for (int i = 0; i < 2; i++) {
        rig_service_start(&rigs[i], scene->context, scene->base, &broker_scene_service, 0);
        rig_service_wait(&rigs[i]);
    }
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = (struct crowd){.scene = scene, .stop = &stop};
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, crowd_thread, &crowd[i]), 0);
    }
    for (int round = 0; round < 4; round++) {
        crowd_goes_on(crowd);
        assert_int_equal(rig_service_stop(&rigs[round % 2]), 0);
        crowd_goes_on(crowd);
        rig_service_start(&rigs[round % 2], scene->context, scene->base, &broker_scene_service, 0);
        rig_service_wait(&rigs[round % 2]);
    }
    stop = true;
    for (int i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        assert_int_equal(crowd[i].last, ERR_NONE);
        assert_int_equal(crowd[i].bad_count, 0);
    }
    assert_int_equal(rig_service_stop(&rigs[0]), 0);
    assert_int_equal(rig_service_stop(&rigs[1]), 0);
    assert_int_equal(broker_thread_stop(&broker), 0);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(int argc, char **argv)
{
    if (argc > 1) {
        return process_main(&broker_program, argc, argv); /* started by broker_spawn */
    }
    const struct CMUnitTest tests[] = {
        SCENE(test_calls),           SCENE(test_broker_is_killed), SCENE(test_worker_dies),
        SCENE(test_rolling_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
