#include "tests/lib/bus/broker_scene.h"

#include <unistd.h>

#include "broker/program.h"
#include "lib/base/mem.h"

struct gate broker_scene_gate;

/* ---- the service ---- */

static enum err get(struct call *call, const void *in, void *out)
{
    const struct product_ref *ref = in;
    if (text_is(ref->id, "gate")) {
        gate_pass(&broker_scene_gate);
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
const struct service broker_scene_service = {.name = "product",
                                       .handlers = handlers,
                                       .handler_count = ARRAY_COUNT(handlers),
                                       .default_loops = 1,
                                       .open = service_open,
                                       .close = service_close};

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

void broker_thread_start(struct broker_thread *broker, void *context, const char *base)
{
    rig_env_open(&broker->rig, context, base, "broker");
    broker->base = base;
    assert_int_equal(pthread_create(&broker->thread, NULL, broker_run, broker), 0);
}

int broker_thread_stop(struct broker_thread *broker)
{
    uint64_t one = 1;
    assert_int_equal(write(broker->rig.stop_fd, &one, sizeof one), sizeof one);
    pthread_join(broker->thread, NULL);
    rig_env_close(&broker->rig);
    return broker->status;
}

int scene_open(void **state)
{
    struct scene *scene = mem_alloc(sizeof *scene);
    gate_open(&broker_scene_gate);
    scene->context = bus_context_new();
    rig_ipc_make(scene->base);
    rig_env_open(&scene->rig, scene->context, scene->base, "client");
    scene->client = rig_client(&scene->rig, 64);
    fault_init(&scene->fault, &scene->arena);
    *state = scene;
    return 0;
}

int scene_close(void **state)
{
    struct scene *scene = *state;
    bus_client_destroy(&scene->client);
    rig_env_close(&scene->rig);
    bus_context_destroy(&scene->context);
    rig_ipc_remove(scene->base);
    arena_release(&scene->arena);
    gate_close(&broker_scene_gate);
    mem_free(scene);
    return 0;
}
