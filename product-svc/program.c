#include "product-svc/program.h"

#include "lib/base/mem.h"
#include "lib/store/share.h"
#include "product-svc/desk.h"
#include "product-svc/store_mongo.h"

CONFIG_DEFINE(product_config, PRODUCT_CONFIG)

enum {
    SWEEP_EVERY_MS = 5000,
    SWEEP_BUDGET_MS = 10000,
    OUTBOX_EVERY_MS = 1000,
    TIMER_BUDGET_MS = 5000,
    DEFAULT_LOOPS = 2
};

static enum err settings_check(const struct product_settings *settings, struct fault *fault)
{
    if (currency_decimals(text_of(settings->product.currency)) < 0) {
        return fault_set(fault, ERR_INTERNAL, "--currency takes an ISO 4217 code in upper case, not \"%s\"",
                         settings->product.currency);
    }
    return ERR_NONE;
}

static enum err desk_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    const struct product_settings *settings = config;
    return store_share_prepare(&settings->store, &product_mongo_schema, env, fault, out);
}

static enum err desk_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    const struct product_settings *settings = config;
    struct metrics *metrics = service_env(loop)->metrics;
    struct product_store *store;
    enum err e = settings_check(settings, fault);
    if (e == ERR_NONE) {
        const struct product_access access = {service_loop_writes(loop), service_shared(loop), metrics};
        e = product_store_open(&settings->store, &access, fault, &store);
    }
    if (e != ERR_NONE) {
        return e;
    }
    struct product_desk *desk = mem_alloc(sizeof *desk);
    desk->store = store;
    desk->outbox = outbox_new(store->outbox);
    desk->settings = settings;
    desk->swept = metrics_get(metrics, METRIC_COUNTER, "zmart_orders_swept_total", "",
                              "Orders whose holds nobody confirmed in time, and which were settled.");
    *out = (struct loop_store){.state = desk, .unit = store->unit, .store = store->handle};
    product_groups(store, out);
    return ERR_NONE;
}

static void desk_close(struct service_loop *loop, void *state)
{
    (void)loop;
    struct product_desk *desk = state;
    outbox_destroy(&desk->outbox);
    product_store_destroy(&desk->store);
    mem_free(desk);
}

static void desk_committed(struct service_loop *loop, void *state)
{
    struct product_desk *desk = state;
    outbox_relay(loop, desk->outbox);
}

static enum err outbox_look(struct call *call, void *argument)
{
    (void)argument;
    struct product_desk *desk = call_state(call);
    outbox_sweep(call_loop(call), desk->outbox);
    return ERR_NONE;
}

static int program_run_product(const void *config, struct env *env)
{
    const struct product_settings *settings = config;
    const struct service_timer timers[] = {
        {"sweep", SWEEP_EVERY_MS, SWEEP_BUDGET_MS, sweeper_run},
        {"stock-news", settings->product.stock_news_ms, TIMER_BUDGET_MS, teller_run},
        {"outbox", OUTBOX_EVERY_MS, TIMER_BUDGET_MS, outbox_look},
    };
    const struct service service = {
        .name = "product",
        .handlers = product_handlers,
        .handler_count = product_handler_count,
        .timers = timers,
        .timer_count = ARRAY_COUNT(timers),
        .default_loops = DEFAULT_LOOPS,
        .prepare = desk_prepare,
        .forget = store_share_forget,
        .open = desk_open,
        .close = desk_close,
        .committed = desk_committed,
    };
    return service_run(&service, config, &settings->bus, &settings->service, env);
}

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct product_settings, process)},
    {"Bus", &bus_config_rows, offsetof(struct product_settings, bus)},
    {"Service", &service_config_rows, offsetof(struct product_settings, service)},
    {"Store", &store_config_rows, offsetof(struct product_settings, store)},
    {"Catalogue", &product_config_rows, offsetof(struct product_settings, product)},
};

static const struct config_table table = {
    .program = "product-svc",
    .summary = "keeps the catalogue and the stock, and searches them",
    .usage = "[flags]",
    .sections = sections,
    .section_count = ARRAY_COUNT(sections),
};

const struct program product_program = {
    .name = "product-svc",
    .config = &table,
    .config_size = sizeof(struct product_settings),
    .run = program_run_product,
};
