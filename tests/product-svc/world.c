#include "tests/product-svc/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/program.h"
#include "event-svc/program.h"

enum { SLOTS = 64 };

/* ---- programs on threads ---- */

void program_start(struct world *world, struct runner *runner, const struct program *program, const char *flag,
                   const char *value)
{
    const char *const flags[] = {"--bus", world->bus_name, flag, value, NULL};
    (void)runner_start(runner, program, &world->log, world->context, flags);
}

int world_make(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char message[200];
    snprintf(world->folder, sizeof world->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->url, sizeof world->url, "sqlite:%s", world->folder);
    snprintf(world->bus_name, sizeof world->bus_name, "inproc://test");
    world->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "test"};
    world->context = bus_context_new();
    world->metrics = metrics_new();
    world->bus = (struct bus_config){.bus = world->bus_name, .heartbeat_ms = 1000};
    world->env = (struct env){.log = &world->log,
                              .metrics = world->metrics,
                              .instance = "test",
                              .bus_context = world->context,
                              .stop_fd = -1};
    program_start(world, &world->broker, &broker_program, "--events", "");
    assert_int_equal(world->broker.status, -1);
    struct bus_client_settings settings = {.bus = &world->bus, .role = "gateway", .slot_count = SLOTS};
    world->client = bus_client_new(&world->env, &settings, message, sizeof message);
    assert_non_null(world->client);
    *state = world;
    return 0;
}

void products_start(struct world *world)
{
    program_start(world, &world->events, &event_program, "--store", world->url);
    program_start(world, &world->products, &product_program, "--store", world->url);
    assert_int_equal(world->products.status, -1); /* ready, and not ended */
}

int world_make_with_products(void **state)
{
    world_make(state);
    products_start(*state);
    return 0;
}

int world_drop(void **state)
{
    struct world *world = *state;
    char command[128];
    bus_client_destroy(&world->client);
    runner_stop(&world->products);
    runner_stop(&world->orders);
    runner_stop(&world->events);
    runner_stop(&world->broker);
    bus_context_destroy(&world->context);
    metrics_destroy(&world->metrics);
    arena_release(&world->arena);
    snprintf(command, sizeof command, "rm -r '%s'", world->folder);
    int status = system(command);
    free(world);
    return status;
}

/* ---- calls ---- */

struct caller admin(void)
{
    struct caller caller = {.role = ROLE_ADMIN};
    id_new(caller.request_id);
    return caller;
}

struct call_meta meta_of(const struct caller *caller)
{
    struct call_meta meta = {.user_id = TEXT("usr_1"),
                             .role = caller->role,
                             .keyed = caller->keyed,
                             .if_match = text_of(caller->if_match),
                             .caller = TEXT("order")};
    set_has(call_meta, &meta, user_id), set_has(call_meta, &meta, role), set_has(call_meta, &meta, caller);
    if (caller->keyed) {
        set_has(call_meta, &meta, keyed);
    }
    if (caller->if_match) {
        set_has(call_meta, &meta, if_match);
    }
    return meta;
}

enum err ask(struct world *world, const struct caller *caller, enum op op, const void *request, void *out)
{
    struct call_meta meta = meta_of(caller);
    fault_init(&world->fault, &world->arena);
    return bus_client_do(world->client, op, caller->request_id, &meta, request, &world->arena, &world->fault, out);
}

/* The same, and whether the answer was an earlier one's. */
bool ask_replayed(struct world *world, const struct caller *caller, enum op op, const void *request)
{
    const struct op_info *info = op_info(op);
    struct call_meta meta = meta_of(caller);
    struct bus_request sent = {.route = text_of(info->route),
                               .meta = record_pack_in(&call_meta_record, &meta, &world->arena),
                               .body = record_pack_in(info->request, request, &world->arena),
                               .budget_ms = info->budget_ms,
                               .priority = info->priority};
    struct bus_answer answer = {0};
    struct reply_meta reply = {0};
    memcpy(sent.request_id, caller->request_id, ID_SIZE);
    fault_init(&world->fault, &world->arena);
    assert_int_equal(bus_client_call(world->client, &sent, &world->arena, &world->fault, &answer), ERR_NONE);
    assert_int_equal(record_unpack(&reply_meta_record, answer.meta, &world->arena, NULL, &reply), ERR_NONE);
    return has(reply_meta, &reply, replayed) && reply.replayed;
}

struct product made(struct world *world, const char *name, int64_t stock)
{
    struct caller caller = admin();
    struct product product = {0};
    struct product_new in = {.name = text_of(name), .price = 299900, .stock = stock};
    enum err e = ask(world, &caller, OP_product_create, &in, &product);
    if (e != ERR_NONE) {
        fail_msg("create: %s %s", err_info(e)->slug, world->fault.detail);
    }
    return product;
}

int64_t stock_of(struct world *world, struct text id)
{
    struct caller caller = admin();
    struct product product = {0};
    struct product_ref in = {.id = id};
    assert_int_equal(ask(world, &caller, OP_product_get, &in, &product), ERR_NONE);
    return product.stock;
}
