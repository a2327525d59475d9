#include "mail-svc/program.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "lib/store/share.h"
#include "mail-svc/carrier.h"
#include "mail-svc/desk.h"

CONFIG_DEFINE(mail_config, MAIL_CONFIG)

enum { CLAIM_EVERY_MS = 1000, PURGE_EVERY_MS = 60000, TIMER_BUDGET_MS = 5000 };

static void desk_destroy(struct mail_desk **self)
{
    struct mail_desk *desk = *self;
    if (!desk) {
        return;
    }
    log_reader_destroy(&desk->reader);
    work_pool_destroy(&desk->pool);
    mail_store_destroy(&desk->store);
    mem_free(desk);
    *self = NULL;
}

/* Only the first loop follows the log and sends. */
static enum err first_open(struct service_loop *loop, struct mail_desk *desk, struct fault *fault)
{
    static const char *const types[] = {"order.*", NULL};
    const struct mail_config *config = &desk->settings->mail;
    struct metrics *metrics = service_env(loop)->metrics;
    char message[512];
    if (!config->url[0] && !mail_folder_make(config, message, sizeof message)) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%.300s", message);
    }
    desk->sent =
        metrics_get(metrics, METRIC_COUNTER, "zmart_mails_total", "outcome=\"sent\"", "Attempts to send a mail.");
    desk->again =
        metrics_get(metrics, METRIC_COUNTER, "zmart_mails_total", "outcome=\"again\"", "Attempts to send a mail.");
    desk->given_up = metrics_get(metrics, METRIC_COUNTER, "zmart_mails_total", "outcome=\"given_up\"",
                                 "Attempts to send a mail.");
    struct log_reader_settings reading = {.types = types, .position = mail_log_position, .take = mail_log_take};
    desk->pool = work_pool_new((int)config->at_once, MAIL_AT_ONCE_MAX);
    desk->reader = log_reader_new(loop, &desk->settings->bus, &reading, message, sizeof message);
    return desk->reader ? ERR_NONE : fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%.300s", message);
}

static enum err desk_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    const struct mail_settings *settings = config;
    enum err e = store_share_prepare(&settings->store, &mail_mongo_schema, env, fault, out);
    out->loops = 0; /* nobody asks: the default will do on any store */
    return e;
}

static enum err store_open(struct service_loop *loop, struct mail_desk *desk, struct fault *fault)
{
    struct mongo_pool *pool = service_shared(loop);
    bool writer = service_loop_writes(loop);
    if (pool) {
        return mail_store_mongo_new(pool, clock_wall_ms(), fault, &desk->store);
    }
    return mail_store_sqlite_open(&desk->settings->store, writer, clock_wall_ms(),
                                  writer ? service_env(loop)->metrics : NULL, fault, &desk->store);
}

static enum err desk_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    AUTO(desk_destroy) struct mail_desk *desk = mem_alloc(sizeof *desk);
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
    struct mail_desk *desk = state;
    (void)loop;
    desk_destroy(&desk);
}

static void desk_committed(struct service_loop *loop, void *state)
{
    mails_begin(loop, state);
}

static void desk_woken(struct service_loop *loop, void *state)
{
    struct mail_desk *desk = state;
    (void)loop;
    log_reader_woken(desk->reader);
}

static enum err log_look(struct call *call, void *argument)
{
    struct mail_desk *desk = call_state(call);
    (void)argument;
    log_reader_look(desk->reader);
    return ERR_NONE;
}

/* NULL if mails can be sent as the settings say, else what is wrong with which. */
static const char *config_trouble(const struct mail_config *config, const char **out_flag)
{
    const char *from_env = getenv("ZMART_SMTP_URL");
    *out_flag = "mail-from";
    if (!address_is_plain(text_of(config->from))) {
        return "takes an address such as shop@example.com";
    }
    *out_flag = "smtp-url";
    return config->url[0] ? smtp_url_trouble(config->url, !from_env || strcmp(from_env, config->url) != 0) : NULL;
}

static int mail_run(const void *config, struct env *env)
{
    static const struct service_timer timers[] = {
        {"mail.look", LOG_READER_LOOK_MS, TIMER_BUDGET_MS, log_look},
        {"mail.claim", CLAIM_EVERY_MS, TIMER_BUDGET_MS, mails_claim},
        {"mail.purge", PURGE_EVERY_MS, TIMER_BUDGET_MS, mails_purge},
    };
    const struct mail_settings *settings = config;
    const struct service service = {.name = "mail",
                                    .timers = timers,
                                    .timer_count = ARRAY_COUNT(timers),
                                    .default_loops = 1, /* nobody asks it anything */
                                    .prepare = desk_prepare,
                                    .forget = store_share_forget,
                                    .open = desk_open,
                                    .close = desk_close,
                                    .committed = desk_committed,
                                    .woken = desk_woken};
    const char *flag;
    const char *trouble = config_trouble(&settings->mail, &flag);
    if (trouble) {
        log_error(env->log, "config.bad", KV("flag", flag), KV("detail", trouble));
        return PROCESS_BAD_CONFIG;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        log_error(env->log, "curl.failed");
        return PROCESS_FAILED;
    }
    int status = service_run(&service, config, &settings->bus, &settings->service, env);
    curl_global_cleanup();
    return status;
}

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct mail_settings, process)},
    {"Bus", &bus_config_rows, offsetof(struct mail_settings, bus)},
    {"Service", &service_config_rows, offsetof(struct mail_settings, service)},
    {"Store", &store_config_rows, offsetof(struct mail_settings, store)},
    {"Mail", &mail_config_rows, offsetof(struct mail_settings, mail)},
};

static const struct config_table table = {.program = "mail-svc",
                                          .summary = "writes customers about their orders",
                                          .usage = "[flags]",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

const struct program mail_program = {
    .name = "mail-svc", .config = &table, .config_size = sizeof(struct mail_settings), .run = mail_run};
