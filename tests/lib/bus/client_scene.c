#include "tests/lib/bus/client_scene.h"

#include <stdio.h>

#include "lib/base/mem.h"

struct gate client_gate;

/* ---- a service that answers with the attempt, or waits at the gate ---- */

static enum err settle(struct call *call, const void *in, void *out)
{
    const struct product_settle *orders = in;
    (void)out;
    if (text_is(orders->orders.items[0].order_id, "sick")) {
        return fault_set(call_fault(call), ERR_SERVICE_UNAVAILABLE, "sick");
    }
    return ERR_NONE;
}

static enum err get(struct call *call, const void *in, void *out)
{
    const struct product_ref *ref = in;
    if (text_is(ref->id, "gate")) {
        gate_pass(&client_gate);
    }
    if (text_is(ref->id, "sick")) {
        return fault_set(call_fault(call), ERR_SERVICE_UNAVAILABLE, "sick");
    }
    *(struct product *)out = (struct product){.id = ref->id,
                                              .name = ref->id,
                                              .sku = TEXT("sku"),
                                              .currency = TEXT("EUR"),
                                              .version = 1,
                                              .stock = call_attempt(call),
                                              .active = call_is_redelivered(call)};
    return ERR_NONE;
}

static enum err service_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)loop, (void)config, (void)fault;
    *out = (struct loop_store){0};
    return ERR_NONE;
}

static const struct op_handler handlers[] = {{OP_product_get, get}, {OP_product_settle, settle}};
const struct service client_service = {.name = "product",
                                       .handlers = handlers,
                                       .handler_count = ARRAY_COUNT(handlers),
                                       .default_loops = 1,
                                       .open = service_open};

int scene_open(void **state)
{
    struct scene *scene = mem_alloc(sizeof *scene);
    gate_open(&client_gate);
    scene->context = bus_context_new();
    rig_ipc_make(scene->first);
    rig_ipc_make(scene->second);
    snprintf(scene->both, sizeof scene->both, "%s,%s", scene->first, scene->second);
    fault_init(&scene->fault, &scene->arena);
    *state = scene;
    return 0;
}

int scene_close(void **state)
{
    struct scene *scene = *state;
    bus_context_destroy(&scene->context);
    rig_ipc_remove(scene->first);
    rig_ipc_remove(scene->second);
    arena_release(&scene->arena);
    gate_close(&client_gate);
    mem_free(scene);
    return 0;
}

void client_open(struct scene *scene, const char *bus, int slot_count)
{
    rig_env_open(&scene->rig, scene->context, bus, "client");
    scene->client = rig_client(&scene->rig, slot_count);
}

void client_close(struct scene *scene)
{
    bus_client_destroy(&scene->client);
    rig_env_close(&scene->rig);
}

struct bus_request request_of(struct scene *scene, const char *id, uint32_t budget_ms)
{
    static const struct call_meta nobody;
    struct product_ref ref = {.id = text_of(id)};
    struct bus_request request = {.route = TEXT("product.get"),
                                  .meta = record_pack_in(&call_meta_record, &nobody, &scene->arena),
                                  .body = record_pack_in(&product_ref_record, &ref, &scene->arena),
                                  .budget_ms = budget_ms,
                                  .priority = 1,
                                  .flags = FRAME_REPEATABLE};
    id_new(request.request_id);
    return request;
}

enum err get_call(struct scene *scene, const char *id, uint32_t budget_ms, int *out_attempt)
{
    struct bus_request request = request_of(scene, id, budget_ms);
    struct bus_answer answer;
    struct product product;
    enum err status = bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer);
    if (status == ERR_NONE) {
        status = record_unpack(&product_record, answer.body, &scene->arena, &scene->fault, &product);
        *out_attempt = (int)product.stock;
        assert_int_equal(product.active, *out_attempt > 1);
    }
    return status;
}

void note_done(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem)
{
    struct note *note = user;
    assert_int_equal(answer != NULL, status == ERR_NONE);
    assert_int_equal(problem != NULL, status != ERR_NONE);
    struct bus_client *again = note->again;
    note->attempt = answer ? answer->attempt : 0;
    note->status = (int)status;
    note->again = NULL;
    if (again) {
        assert_int_equal(bus_client_start(again, note->request, note_done, note), ERR_NONE);
    }
    note->done_count++;
}
