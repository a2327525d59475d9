#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/scene.h"

/* ---- all of it together ---- */

int scene_open(void **state, const char *base, const struct service *service)
{
    struct scene *scene = mem_alloc(sizeof *scene);
    tape_clear();
    gate_open(&gate);
    timer_runs = commits = begun = 0;
    work_waits = false;
    pool = work_pool_new(1, 4);
    scene->context = bus_context_new();
    scene->base = base;
    scene->broker = tiny_broker_new(scene->context, base, RIG_HEARTBEAT_MS);
    rig_service_start(&scene->product, scene->context, base, &product_service, 0);
    rig_service_start(&scene->user, scene->context, base, service, 0);
    rig_service_wait(&scene->product);
    rig_service_wait(&scene->user);
    rig_env_open(&scene->rig, scene->context, base, "client");
    scene->client = rig_client(&scene->rig, 128);
    fault_init(&scene->fault, &scene->arena);
    *state = scene;
    return 0;
}

int scene_open_inproc(void **state)
{
    return scene_open(state, "inproc://bus", &user_service);
}

int scene_open_ipc(void **state)
{
    static char base[BUS_ADDRESS_SIZE];
    rig_ipc_make(base);
    return scene_open(state, base, &user_service);
}

int scene_close(void **state)
{
    struct scene *scene = *state;
    bus_client_destroy(&scene->client);
    rig_env_close(&scene->rig);
    assert_int_equal(rig_service_stop(&scene->user), 0);
    assert_int_equal(rig_service_stop(&scene->product), 0);
    tiny_broker_destroy(&scene->broker);
    bus_context_destroy(&scene->context);
    if (text_starts_with(text_of(scene->base), "ipc:")) {
        rig_ipc_remove(scene->base);
    }
    arena_release(&scene->arena);
    gate_close(&gate);
    mem_free(scene);
    return 0;
}

struct call_meta meta_of_service(void)
{
    struct call_meta meta = {.caller = TEXT("test")};
    set_has(call_meta, &meta, caller);
    return meta;
}

struct call_meta meta_of_user(const char *user_id)
{
    struct call_meta meta = {.user_id = text_of(user_id), .role = ROLE_CUSTOMER, .traceparent = TEXT("00-a-b-01")};
    set_has(call_meta, &meta, user_id);
    set_has(call_meta, &meta, role);
    set_has(call_meta, &meta, traceparent);
    return meta;
}

enum err redeem_call(struct scene *scene, const char *ticket_text, struct identity *out)
{
    struct call_meta meta = meta_of_service();
    struct ticket_ref ref = {.ticket = text_of(ticket_text)};
    return bus_client_do(scene->client, OP_user_redeem, NULL, &meta, &ref, &scene->arena, &scene->fault, out);
}

static void *caller_thread(void *argument)
{
    struct caller *caller = argument;
    struct call_meta meta = meta_of_service();
    struct ticket_ref ref = {.ticket = text_of(caller->ticket)};
    struct fault fault;
    fault_init(&fault, &caller->arena);
    caller->status =
        bus_client_do(caller->scene->client, OP_user_redeem, NULL, &meta, &ref, &caller->arena, &fault, &caller->out);
    return NULL;
}

void caller_start(struct caller *caller, struct scene *scene, const char *ticket_text)
{
    *caller = (struct caller){.scene = scene, .ticket = ticket_text};
    assert_int_equal(pthread_create(&caller->thread, NULL, caller_thread, caller), 0);
}

enum err caller_join(struct caller *caller)
{
    pthread_join(caller->thread, NULL);
    arena_release(&caller->arena);
    return caller->status;
}

enum err raw_call(struct scene *scene, const char *route, struct text meta, struct text body, struct bus_answer *out)
{
    struct bus_request request = {
        .route = text_of(route), .meta = meta, .body = body, .budget_ms = 5000, .flags = FRAME_REPEATABLE};
    id_new(request.request_id);
    return bus_client_call(scene->client, &request, &scene->arena, &scene->fault, out);
}

void answer_note(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem)
{
    struct answered *answered = user;
    (void)answer, (void)problem;
    answered->status = (int)status;
}

int64_t queue_length(struct scene *scene)
{
    struct metrics *metrics = scene->user.rig.env.metrics;
    return metric_value(metrics_get(metrics, METRIC_GAUGE, "zmart_service_queue_length", "", ""));
}

void queue_behind(struct scene *scene, struct caller *callers, const char *const *tickets, int count)
{
    struct caller first;
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    for (int i = 0; i < count; i++) {
        caller_start(&callers[i], scene, tickets[i]);
        RIG_WAIT(queue_length(scene) == i + 1);
    }
    tape_clear();
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
}

void call_start(struct scene *scene, const char *route, const char *user, const struct record *record, const void *in,
                struct answered *out)
{
    struct call_meta meta = meta_of_user(user);
    meta.caller = TEXT("test");
    set_has(call_meta, &meta, caller);
    struct bus_request request = {.route = text_of(route),
                                  .meta = record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  .body = record_pack_in(record, in, &scene->arena),
                                  .budget_ms = 30000};
    id_new(request.request_id);
    out->status = ERR_COUNT;
    assert_int_equal(bus_client_start(scene->client, &request, answer_note, out), ERR_NONE);
}

void pool_fill(struct scene *scene)
{
    enum { QUEUE = 4 }; /* of the pool, beside its one thread */
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    struct answered answered[QUEUE + 1];
    struct bus_request request = {.route = TEXT("user.logout"),
                                  .meta = record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  .body = record_pack_in(&nothing_record, &nothing, &scene->arena),
                                  .budget_ms = 20000};
    work_waits = true;
    for (int i = 0; i < QUEUE + 1; i++) {
        answered[i].status = ERR_COUNT;
        assert_int_equal(bus_client_start(scene->client, &request, answer_note, &answered[i]), ERR_NONE);
        if (i == 0) {
            gate_wait(&gate);
        }
    }
    assert_int_equal(
        bus_client_do(scene->client, OP_user_logout, NULL, &meta, &nothing, &scene->arena, &scene->fault, &nothing),
        ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(scene->fault.retry_after_s, 1);
    work_waits = false;
    sem_post(&gate.leave);
    for (int i = 0; i < QUEUE + 1; i++) {
        RIG_WAIT(answered[i].status == ERR_NONE);
    }
}
