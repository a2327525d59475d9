#include "webhook-svc/program.h"

#include "lib/base/mem.h"
#include "lib/store/share.h"
#include "webhook-svc/desk.h"

CONFIG_DEFINE(webhook_config, WEBHOOK_CONFIG)

enum { SWEEP_EVERY_MS = 1000, PURGE_EVERY_MS = 60000, TIMER_BUDGET_MS = 5000 };

static void desk_destroy(struct webhook_desk **self)
{
    struct webhook_desk *desk = *self;
    if (!desk) {
        return;
    }
    log_reader_destroy(&desk->reader);
    poster_destroy(&desk->poster); /* what is under way will be due again */
    posts_destroy(&desk->claimed);
    posts_destroy(&desk->going);
    webhook_store_destroy(&desk->store);
    mem_free(desk);
    *self = NULL;
}

/* On the poster's thread. */
static void post_ended(void *user)
{
    service_wake(user);
}

/* Only the first loop follows the log and posts. */
static enum err first_open(struct service_loop *loop, struct webhook_desk *desk, struct fault *fault)
{
    static const char *const types[] = {"*", NULL};
    const struct webhook_config *config = &desk->settings->webhook;
    struct metrics *metrics = service_env(loop)->metrics;
    char message[512];
    desk->delivered = metrics_get(metrics, METRIC_COUNTER, "zmart_webhook_attempts_total", "outcome=\"delivered\"",
                                  "Attempts to post an event to a webhook.");
    desk->missed = metrics_get(metrics, METRIC_COUNTER, "zmart_webhook_attempts_total", "outcome=\"missed\"",
                               "Attempts to post an event to a webhook.");
    desk->given_up = metrics_get(metrics, METRIC_COUNTER, "zmart_webhook_given_up_total", "",
                                 "Deliveries that were given up.");
    desk->posts_max = (uint32_t)(WEBHOOK_MAX * config->each);
    struct poster_settings posting = {.timeout_ms = config->timeout_ms,
                                      .answer_size = config->answer_size,
                                      .ca = config->ca,
                                      .insecure_loopback = config->insecure_loopback,
                                      .max_count = desk->posts_max,
                                      .ended = post_ended,
                                      .user = loop};
    struct log_reader_settings reading = {.types = types, .position = webhook_log_position, .take = webhook_log_take};
    desk->poster = poster_new(&posting);
    desk->reader = log_reader_new(loop, &desk->settings->bus, &reading, message, sizeof message);
    return desk->reader ? ERR_NONE : fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%.300s", message);
}

static enum err desk_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    const struct webhook_settings *settings = config;
    enum err e = store_share_prepare(&settings->store, &webhook_mongo_schema, env, fault, out);
    out->loops = 0; /* few ask: the default will do on any store */
    return e;
}

static enum err store_open(struct service_loop *loop, struct webhook_desk *desk, struct fault *fault)
{
    struct mongo_pool *pool = service_shared(loop);
    bool writer = service_loop_writes(loop);
    if (pool) {
        desk->store = webhook_store_mongo_new(pool);
        return ERR_NONE;
    }
    return webhook_store_sqlite_open(&desk->settings->store, writer, writer ? service_env(loop)->metrics : NULL, fault,
                                     &desk->store);
}

static enum err desk_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    AUTO(desk_destroy) struct webhook_desk *desk = mem_alloc(sizeof *desk);
    desk->settings = config;
    enum err e = store_open(loop, desk, fault);
    if (e == ERR_NONE && service_loop_index(loop) == 0) {
        e = first_open(loop, desk, fault);
    }
    if (e != ERR_NONE) {
        return e;
    }
    *out = (struct loop_store){.state = desk, .unit = desk->store->unit, .store = desk->store->handle};
    desk = NULL;
    return ERR_NONE;
}

static void desk_close(struct service_loop *loop, void *state)
{
    struct webhook_desk *desk = state;
    (void)loop;
    desk_destroy(&desk);
}

static void desk_committed(struct service_loop *loop, void *state)
{
    struct webhook_desk *desk = state;
    (void)loop;
    deliveries_post(desk);
}

static void desk_woken(struct service_loop *loop, void *state)
{
    struct webhook_desk *desk = state;
    log_reader_woken(desk->reader);
    if (desk->going) {
        service_start(loop, "webhook.work", TIMER_BUDGET_MS, deliveries_work, NULL);
    }
}

static enum err log_look(struct call *call, void *argument)
{
    struct webhook_desk *desk = call_state(call);
    (void)argument;
    log_reader_look(desk->reader);
    return ERR_NONE;
}

static int webhook_run(const void *config, struct env *env)
{
    static const struct service_timer timers[] = {
        {"webhook.look", LOG_READER_LOOK_MS, TIMER_BUDGET_MS, log_look},
        {"webhook.work", SWEEP_EVERY_MS, TIMER_BUDGET_MS, deliveries_work},
        {"webhook.purge", PURGE_EVERY_MS, TIMER_BUDGET_MS, deliveries_purge},
    };
    const struct webhook_settings *settings = config;
    const struct service service = {.name = "webhook",
                                    .handlers = webhook_handlers,
                                    .handler_count = webhook_handler_count,
                                    .timers = timers,
                                    .timer_count = ARRAY_COUNT(timers),
                                    .default_loops = 1, /* administrators alone ask */
                                    .prepare = desk_prepare,
                                    .forget = store_share_forget,
                                    .open = desk_open,
                                    .close = desk_close,
                                    .committed = desk_committed,
                                    .woken = desk_woken};
    return service_run(&service, config, &settings->bus, &settings->service, env);
}

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct webhook_settings, process)},
    {"Bus", &bus_config_rows, offsetof(struct webhook_settings, bus)},
    {"Service", &service_config_rows, offsetof(struct webhook_settings, service)},
    {"Store", &store_config_rows, offsetof(struct webhook_settings, store)},
    {"Webhooks", &webhook_config_rows, offsetof(struct webhook_settings, webhook)},
};

static const struct config_table table = {.program = "webhook-svc",
                                          .summary = "posts events to webhooks",
                                          .usage = "[flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

const struct program webhook_program = {
    .name = "webhook-svc", .config = &table, .config_size = sizeof(struct webhook_settings), .run = webhook_run};
