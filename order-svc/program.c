#include "order-svc/program.h"

#include "lib/base/mem.h"
#include "lib/store/share.h"
#include "lib/store/sqlite.h"
#include "order-svc/desk.h"

CONFIG_DEFINE(order_config, ORDER_CONFIG)

enum { SETTLE_BUDGET_MS = 10000, OUTBOX_EVERY_MS = 1000, PURGE_EVERY_MS = 60000, TIMER_BUDGET_MS = 5000 };

static enum err desk_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    const struct order_settings *settings = config;
    return store_share_prepare(&settings->store, &order_mongo_schema, env, fault, out);
}

static enum err store_open(struct service_loop *loop, struct order_desk *desk, struct fault *fault)
{
    struct mongo_pool *pool = service_shared(loop);
    if (pool) {
        desk->mongo = mongo_db_new(pool);
        desk->store = order_store_mongo_new(desk->mongo);
        return ERR_NONE;
    }
    enum err e = sqlite_db_open(&desk->settings->store, &order_sqlite_schema, service_loop_writes(loop),
                                service_env(loop)->metrics, fault, &desk->sqlite);
    if (e == ERR_NONE) {
        desk->store = order_store_sqlite_new(desk->sqlite);
    }
    return e;
}

static enum err desk_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    struct order_desk *desk = mem_alloc(sizeof *desk);
    desk->settings = config;
    enum err e = store_open(loop, desk, fault);
    if (e != ERR_NONE) {
        mem_free(desk);
        return e;
    }
    desk->outbox = outbox_new(desk->store->outbox);
    *out = (struct loop_store){.state = desk, .unit = desk->sqlite ? &sqlite_unit : NULL, .store = desk->sqlite};
    return ERR_NONE;
}

static void desk_close(struct service_loop *loop, void *state)
{
    struct order_desk *desk = state;
    (void)loop;
    outbox_destroy(&desk->outbox);
    order_store_destroy(&desk->store);
    mongo_db_destroy(&desk->mongo);
    sqlite_db_destroy(&desk->sqlite);
    mem_free(desk);
}

static void desk_committed(struct service_loop *loop, void *state)
{
    struct order_desk *desk = state;
    outbox_relay(loop, desk->outbox);
}

static enum err outbox_look(struct call *call, void *argument)
{
    struct order_desk *desk = call_state(call);
    (void)argument;
    outbox_sweep(call_loop(call), desk->outbox);
    return ERR_NONE;
}

static int order_run(const void *config, struct env *env)
{
    const struct order_settings *settings = config;
    const struct service_timer timers[] = {
        {"settle", settings->order.order_settle_ms, SETTLE_BUDGET_MS, settle_run},
        {"outbox", OUTBOX_EVERY_MS, TIMER_BUDGET_MS, outbox_look},
        {"purge", PURGE_EVERY_MS, TIMER_BUDGET_MS, tombstones_purge},
    };
    const struct service service = {.name = "order",
                                    .handlers = order_handlers,
                                    .handler_count = order_handler_count,
                                    .timers = timers,
                                    .timer_count = ARRAY_COUNT(timers),
                                    .default_loops = 2, /* one writes, one reads */
                                    .prepare = desk_prepare,
                                    .forget = store_share_forget,
                                    .open = desk_open,
                                    .close = desk_close,
                                    .committed = desk_committed};
    return service_run(&service, config, &settings->bus, &settings->service, env);
}

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct order_settings, process)},
    {"Bus", &bus_config_rows, offsetof(struct order_settings, bus)},
    {"Service", &service_config_rows, offsetof(struct order_settings, service)},
    {"Store", &store_config_rows, offsetof(struct order_settings, store)},
    {"Orders", &order_config_rows, offsetof(struct order_settings, order)},
};

static const struct config_table table = {.program = "order-svc",
                                          .summary = "orders and the order saga",
                                          .usage = "[flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

const struct program order_program = {
    .name = "order-svc", .config = &table, .config_size = sizeof(struct order_settings), .run = order_run};
