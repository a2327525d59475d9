/* Clients, services, publisher and subscriber with the real broker between them: in one process over inproc, and over
 * ipc with the broker as a process that can be killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/program.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "lib/bus/peer.h"
#include "lib/bus/publisher.h"
#include "lib/bus/subscriber.h"
#include "proto/mmi.h"
#include "tests/lib/bus/rig.h"

#define BROKER_FLAGS "--events=", "--heartbeat-ms", "100", "--service-wait-ms", "2000"

static struct gate gate;

/* ---- the service ---- */

static enum err get(struct call *call, const void *in, void *out)
{
    const struct product_ref *ref = in;
    if (text_is(ref->id, "gate")) {
        gate_pass(&gate);
    }
    if (text_is(ref->id, "missing")) {
        return fault_set(call_fault(call), ERR_NOT_FOUND, "no such product");
    }
    *(struct product *)out = (struct product){.id = ref->id,
                                              .name = ref->id,
                                              .sku = TEXT("sku"),
                                              .currency = TEXT("EUR"),
                                              .version = 1,
                                              .stock = call_attempt(call)};
    return ERR_NONE;
}

static enum err service_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)loop, (void)config, (void)fault;
    *out = (struct loop_store){0};
    return ERR_NONE;
}

static void service_close(struct service_loop *loop, void *state)
{
    (void)loop, (void)state;
}

static const struct op_handler handlers[] = {{OP_product_get, get}};
static const struct service service = {.name = "product",
                                       .handlers = handlers,
                                       .handler_count = ARRAY_COUNT(handlers),
                                       .default_loops = 1,
                                       .open = service_open,
                                       .close = service_close};

/* ---- the broker as a thread ---- */

struct broker_thread {
    struct rig_env rig;
    const char *base;
    pthread_t thread;
    int status;
};

static void *broker_run(void *argument)
{
    struct broker_thread *broker = argument;
    const char *argv[] = {"broker", "--bus", broker->base, BROKER_FLAGS, NULL};
    struct program_host host = {.log = &broker->rig.log,
                                .bus_context = broker->rig.env.bus_context,
                                .stop_fd = broker->rig.stop_fd,
                                .ready = broker->rig.env.ready,
                                .owner = &broker->rig};
    broker->status = program_run(&broker_program, (int)ARRAY_COUNT(argv) - 1, (char **)(uintptr_t)argv, &host);
    return NULL;
}

static void broker_start(struct broker_thread *broker, void *context, const char *base)
{
    rig_env_open(&broker->rig, context, base, "broker");
    broker->base = base;
    assert_int_equal(pthread_create(&broker->thread, NULL, broker_run, broker), 0);
}

static int broker_stop(struct broker_thread *broker)
{
    uint64_t one = 1;
    assert_int_equal(write(broker->rig.stop_fd, &one, sizeof one), sizeof one);
    pthread_join(broker->thread, NULL);
    rig_env_close(&broker->rig);
    return broker->status;
}

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

struct scene {
    void *context;
    char base[BUS_ADDRESS_SIZE];
    struct rig_env rig;
    struct bus_client *client;
    struct arena arena;
    struct fault fault;
};

static int scene_open(void **state)
{
    struct scene *scene = mem_alloc(sizeof *scene);
    gate_open(&gate);
    scene->context = bus_context_new();
    rig_ipc_make(scene->base);
    rig_env_open(&scene->rig, scene->context, scene->base, "client");
    scene->client = rig_client(&scene->rig, 64);
    fault_init(&scene->fault, &scene->arena);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    bus_client_destroy(&scene->client);
    rig_env_close(&scene->rig);
    bus_context_destroy(&scene->context);
    rig_ipc_remove(scene->base);
    arena_release(&scene->arena);
    gate_close(&gate);
    mem_free(scene);
    return 0;
}

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
    broker_start(&broker, scene->context, scene->base);
    rig_service_start(&rig, scene->context, scene->base, &service, 0);
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
    assert_int_equal(broker_stop(&broker), 0);
}

static void test_broker_is_killed(void **state)
{
    struct scene *scene = *state;
    struct rig_service rig;
    struct product product;
    pid_t pid = broker_spawn(scene->base);
    rig_service_start(&rig, scene->context, scene->base, &service, 0);
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
    broker_start(&broker, scene->context, scene->base);
    doomed_start(&doomed, scene);
    RIG_WAIT(mmi_call(scene, "mmi.service", body, &answer) == ERR_NONE);
    assert_int_equal(bus_client_start(scene->client, &request, note_done, &attempt), ERR_NONE);
    pthread_join(doomed.thread, NULL); /* it has the request, and is gone */
    rig_service_start(&rig, scene->context, scene->base, &service, 0);
    RIG_WAIT(attempt != 0);
    assert_int_equal(attempt, 2);
    assert_int_equal(rig_service_stop(&rig), 0);
    assert_int_equal(broker_stop(&broker), 0);
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
    broker_start(&broker, scene->context, scene->base);
    for (int i = 0; i < 2; i++) {
        rig_service_start(&rigs[i], scene->context, scene->base, &service, 0);
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
        rig_service_start(&rigs[round % 2], scene->context, scene->base, &service, 0);
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
    assert_int_equal(broker_stop(&broker), 0);
}

/* ---- events ---- */

struct heard {
    pthread_mutex_t lock;
    int64_t seqs[64];
    bool gaps[64];
    char data[64][16];
    char private_data[64][16];
    _Atomic int count;
};

static void hear(void *user, const struct subscriber_event *event)
{
    struct heard *heard = user;
    int at = heard->count;
    assert_true(at < 64);
    heard->seqs[at] = event->meta->seq;
    heard->gaps[at] = event->gap;
    assert_true(text_to_string(event->data, heard->data[at], 16));
    assert_true(text_to_string(event->private_data, heard->private_data[at], 16));
    heard->count++;
}

static void event_send(struct publisher *publisher, const char *topic, int64_t epoch, int64_t seq, int64_t tseq)
{
    struct event_meta meta = {.stream = TEXT("main"),
                              .epoch = epoch,
                              .seq = seq,
                              .tseq = tseq,
                              .id = TEXT("evt"),
                              .type = TEXT("order.placed"),
                              .source = TEXT("order"),
                              .subject = TEXT("ord"),
                              .time = TEXT("2026-01-01T00:00:00.000Z"),
                              .specversion = TEXT("1.0"),
                              .datacontenttype = TEXT("application/msgpack")};
    publisher_send(publisher, text_of(topic), &meta, TEXT("data"), TEXT("private"));
}

static void beacon_send(struct publisher *publisher, struct arena *arena, int64_t epoch, int64_t seq)
{
    struct event_meta meta = {.stream = TEXT("main"),
                              .epoch = epoch,
                              .seq = seq,
                              .type = TEXT("_head"),
                              .time = TEXT("2026-01-01T00:00:00.000Z"),
                              .specversion = TEXT("1.0"),
                              .datacontenttype = TEXT("application/msgpack")};
    struct stream_head head = {.stream = TEXT("main"), .epoch = epoch, .seq = seq};
    publisher_send(publisher, TEXT("_head."), &meta, record_pack_in(&stream_head_record, &head, arena),
                   (struct text){0});
}

static bool beacon_arrived(struct publisher *publisher, struct arena *arena, struct subscriber *subscriber)
{
    beacon_send(publisher, arena, 1, 5);
    return subscriber_seq(subscriber) == 5;
}

static void test_events(void **state)
{
    struct scene *scene = *state;
    struct broker_thread broker;
    struct heard heard = {.count = 0};
    static const char *const topics[] = {"order.", NULL};
    char message[128];
    broker_start(&broker, scene->context, scene->base);
    struct publisher *publisher = publisher_new(&scene->rig.env, &scene->rig.bus, message, sizeof message);
    struct subscriber *subscriber =
        subscriber_new(&scene->rig.env, &scene->rig.bus, topics, hear, &heard, message, sizeof message);
    assert_non_null(publisher);
    assert_non_null(subscriber);
    assert_true(subscriber_silence_ms(subscriber) == INT64_MAX);
    RIG_WAIT(beacon_arrived(publisher, &scene->arena, subscriber));
    assert_true(subscriber_silence_ms(subscriber) < RIG_PATIENCE_MS);
    assert_int_equal(subscriber_epoch(subscriber), 1);
    event_send(publisher, "order.placed.", 1, 6, 1);
    event_send(publisher, "session.ended.", 1, 7, 1); /* not asked for */
    event_send(publisher, "order.placed.", 1, 8, 2);
    event_send(publisher, "order.placed.", 1, 8, 2);    /* a repeat */
    event_send(publisher, "order.placed.", 1, 10, 4);   /* one is missing */
    event_send(publisher, "order.placed.", 2, 1000, 1); /* the log was restored */
    event_send(publisher, "order.placed.", 1, 11, 5);   /* of the old log */
    event_send(publisher, "order.placed.", 2, 1001, 2);
    RIG_WAIT(heard.count == 5);
    static const int64_t seqs[] = {6, 8, 10, 1000, 1001};
    static const bool gaps[] = {false, false, true, true, false};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(heard.seqs[i], seqs[i]);
        assert_int_equal(heard.gaps[i], gaps[i]);
        assert_string_equal(heard.data[i], "data");
        assert_string_equal(heard.private_data[i], "private");
    }
    subscriber_destroy(&subscriber);
    publisher_destroy(&publisher);
    assert_int_equal(broker_stop(&broker), 0);
}

/* Who gets everything sees a loss at the next event, of whatever topic, and at the beacon. */
static void test_everything(void **state)
{
    struct scene *scene = *state;
    struct broker_thread broker;
    struct heard heard = {.count = 0};
    char message[128];
    broker_start(&broker, scene->context, scene->base);
    struct publisher *publisher = publisher_new(&scene->rig.env, &scene->rig.bus, message, sizeof message);
    struct subscriber *subscriber =
        subscriber_new(&scene->rig.env, &scene->rig.bus, NULL, hear, &heard, message, sizeof message);
    assert_true(publisher && subscriber);
    RIG_WAIT(beacon_arrived(publisher, &scene->arena, subscriber));
    event_send(publisher, "order.placed.", 1, 6, 1);
    event_send(publisher, "session.ended.", 1, 8, 1); /* an order's event is missing */
    beacon_send(publisher, &scene->arena, 1, 8);      /* not handed on */
    beacon_send(publisher, &scene->arena, 1, 9);
    event_send(publisher, "order.placed.", 1, 9, 2); /* told of already */
    event_send(publisher, "order.placed.", 1, 10, 3);
    RIG_WAIT(heard.count == 4);
    static const int64_t seqs[] = {6, 8, 9, 10};
    static const bool gaps[] = {false, true, true, false};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(heard.seqs[i], seqs[i]);
        assert_int_equal(heard.gaps[i], gaps[i]);
    }
    assert_string_equal(heard.data[2], ""); /* a beacon is no event */
    subscriber_destroy(&subscriber);
    publisher_destroy(&publisher);
    assert_int_equal(broker_stop(&broker), 0);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)

int main(int argc, char **argv)
{
    if (argc > 1) {
        return process_main(&broker_program, argc, argv); /* started by broker_spawn */
    }
    const struct CMUnitTest tests[] = {
        SCENE(test_calls),           SCENE(test_broker_is_killed), SCENE(test_worker_dies),
        SCENE(test_rolling_restart), SCENE(test_events),
        SCENE(test_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
