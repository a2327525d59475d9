#include "gateway/program.h"

#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>

#include "gateway/gateway.h"
#include "gateway/http.h"
#include "gateway/live.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "lib/bus/subscriber.h"

enum {
    MESSAGE_SIZE = 300,
    KEEP_EVERY_MS = 50, /* how often the main thread looks after keys and denials */
    RETRY_EVERY_MS = 500,
    LEEWAY_S = 5,
    KEYS_REFETCH_MS = 3000,
    READY_WAIT_MS = 3000, /* within any budget */
    FINISH_WAIT_MS = 12 * 1000, /* requests that are being answered get so long: the longest budget and a little */
    LIVE_DRAIN_MS = 1000,
    FILES_OF_OUR_OWN = 200,
    USER_TIMEOUT_MS = 30 * 1000
};

struct gateway_program_config {
    struct process_config process;
    struct bus_config bus;
    struct calls_config calls;
    struct gateway_config gateway;
    struct live_config live;
};

static const struct config_section sections[] = {
    {"Process", &process_config_rows, offsetof(struct gateway_program_config, process)},
    {"Bus", &bus_config_rows, offsetof(struct gateway_program_config, bus)},
    {"Calls to services", &calls_config_rows, offsetof(struct gateway_program_config, calls)},
    {"Gateway", &gateway_config_rows, offsetof(struct gateway_program_config, gateway)},
    {"WebSockets and event streams", &live_config_rows, offsetof(struct gateway_program_config, live)}};

static const struct config_table table = {.program = "gateway",
                                          .summary = "speaks HTTP and WebSocket to clients",
                                          .usage = "[flags] | --routes",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

/* What has to be released in the reverse order. */
struct run {
    struct env *env;
    const struct gateway_program_config *config;
    struct bus_client *client;
    struct auth *auth;
    struct gateway gateway;
    struct accept_registry *accepts;
    struct http *http;
    struct ws_access_parts access;
    struct live *live;
    struct subscriber *subscriber;
    atomic_bool keys_due; /* they are not trusted any more: to be asked for at once */
};

/* ---- what auth asks ---- */

/* By operations that only parts of the shop may call. */
static struct call_meta own_meta(void)
{
    struct call_meta meta = {.caller = TEXT("gateway")};
    set_has(call_meta, &meta, caller);
    return meta;
}

static enum err keys_ask(void *user, struct arena *arena, struct fault *fault, struct signing_keys *out)
{
    struct run *run = user;
    struct nothing nothing = {0};
    struct call_meta meta = own_meta();
    return bus_client_do(run->client, OP_user_keys, NULL, &meta, &nothing, arena, fault, out);
}

static enum err denials_ask(void *user, struct arena *arena, struct fault *fault, struct denial_list *out)
{
    struct run *run = user;
    struct nothing nothing = {0};
    struct call_meta meta = own_meta();
    return bus_client_do(run->client, OP_user_denials, NULL, &meta, &nothing, arena, fault, out);
}

static enum err check_ask(void *user, const struct token_check *ask, struct fault *fault, bool *out_good)
{
    struct run *run = user;
    struct arena arena = {0};
    struct token_verdict verdict;
    struct call_meta meta = own_meta();
    enum err e = bus_client_do(run->client, OP_user_check, NULL, &meta, ask, &arena, fault, &verdict);
    if (e == ERR_NONE) {
        *out_good = verdict.good;
    }
    arena_release(&arena);
    return e;
}

static int64_t silence_of(void *user)
{
    struct run *run = user;
    return run->subscriber ? subscriber_silence_ms(run->subscriber) : INT64_MAX;
}

/* ---- events ---- */

static void session_ended(struct run *run, const struct subscriber_event *event)
{
    struct arena arena = {0};
    struct fault fault;
    struct denial denial;
    fault_init(&fault, &arena);
    if (record_unpack(&denial_record, event->private_data, &arena, &fault, &denial) == ERR_NONE) {
        if (!has(denial, &denial, session_id) && !has(denial, &denial, user_id)) {
            atomic_store(&run->keys_due, true); /* who is connected goes when the old keys are gone, and not before */
        } else {
            auth_deny(run->auth, &denial);
            live_end_sessions(run->live, &denial);
        }
    } else {
        auth_missed_events(run->auth);
    }
    arena_release(&arena);
}

static void event_receive(void *user, const struct subscriber_event *event)
{
    struct run *run = user;
    if (event->gap) {
        auth_missed_events(run->auth);
    }
    if (text_starts_with(event->topic, "session.")) {
        session_ended(run, event);
    }
    live_publish(run->live, event);
}

/* ---- running ---- */

static int failed(struct run *run, const char *what, const char *message)
{
    log_error(run->env->log, what, KV("message", message));
    return PROCESS_FAILED;
}

/* Everything, so that a loss is seen before anybody is told of what came after it. */
static bool subscriber_start(struct run *run, char *message, size_t message_size)
{
    run->subscriber = subscriber_new(run->env, &run->config->bus, NULL, event_receive, run, message, message_size);
    return run->subscriber != NULL;
}

/* Connections beyond what the system lets a process open would be refused one by one: better one line at the start. */
static void files_check(const struct run *run)
{
    const struct gateway_program_config *config = run->config;
    struct rlimit limit;
    int64_t needed = config->live.total_max + 2 * config->gateway.workers + config->gateway.queue + FILES_OF_OUR_OWN;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && (int64_t)limit.rlim_cur < needed) {
        log_warn(run->env->log, "files.limited", KV_INT("limit", (int64_t)limit.rlim_cur), KV_INT("needed", needed),
                 KV("message", "raise the limit on open files (ulimit -n, LimitNOFILE=), or lower --ws-sockets"));
    }
}

static int parts_start(struct run *run)
{
    char message[MESSAGE_SIZE] = "";
    const struct gateway_program_config *config = run->config;
    struct bus_client_settings client = {.bus = &config->bus,
                                         .role = "gateway",
                                         .slot_count = (int)(config->gateway.workers * 3 / 4),
                                         .calls = &config->calls};
    struct auth_source source = {keys_ask, denials_ask, check_ask, silence_of, run};
    struct auth_settings auth = {.token_count = config->gateway.tokens,
                                 .leeway_s = LEEWAY_S,
                                 .silence_ms = config->gateway.silence_ms,
                                 .refetch_ms = KEYS_REFETCH_MS,
                                 .ready_ms = READY_WAIT_MS};
    struct accept_settings accepts = {config->gateway.client_connections, USER_TIMEOUT_MS};
    struct forwarded forwarded;
    if (!forwarded_parse(config->gateway.trusted_proxies, &forwarded)) {
        return failed(run, "config.bad",
                      "--trusted-proxies takes at most 16 IPv4 addresses and networks, such as 10.0.0.0/8,127.0.0.1");
    }
    files_check(run);
    run->client = bus_client_new(run->env, &client, message, sizeof message);
    if (!run->client) {
        return failed(run, "bus.unusable", message);
    }
    run->auth = auth_new(&source, &auth);
    gateway_init(&run->gateway, run->env, &config->gateway, run->client, run->auth);
    run->accepts = accept_registry_new(&accepts, run->env->metrics);
    run->http = http_new(&run->gateway, run->accepts, message, sizeof message);
    if (!run->http) {
        return failed(run, "http.cannot_listen", message);
    }
    run->access = (struct ws_access_parts){.auth = run->auth, .bus = run->client};
    struct live_settings live = {.config = &config->live,
                                 .accepts = run->accepts,
                                 .access = ws_access_of(&run->access),
                                 .forwarded = &run->gateway.forwarded,
                                 .client = run->client,
                                 .silence_ms = silence_of,
                                 .silence_user = run,
                                 .polls = run->gateway.polls,
                                 .refuse = http_refuse,
                                 .refuse_user = run->http};
    run->live = live_new(run->env, &live);
    if (!run->live) {
        return failed(run, "ws.cannot_start", "the system gives no thread or no epoll");
    }
    if (!subscriber_start(run, message, sizeof message)) {
        return failed(run, "events.unusable", message);
    }
    if (!live_listen(run->live, message, sizeof message)) {
        return failed(run, "ws.cannot_listen", message);
    }
    live_attach(run->live, http_context(run->http));
    atomic_store(&run->gateway.live, run->live);
    return PROCESS_OK;
}

static void parts_stop(struct run *run)
{
    if (run->live) {
        (void)live_drain(run->live, LIVE_DRAIN_MS);
    }
    http_destroy(&run->http, FINISH_WAIT_MS);
    subscriber_destroy(&run->subscriber);
    live_destroy(&run->live);
    accept_registry_destroy(&run->accepts);
    if (run->auth) {
        gateway_release(&run->gateway);
    }
    auth_destroy(&run->auth);
    bus_client_destroy(&run->client);
}

/* True when the stop was asked for. */
static bool wait_stop(const struct run *run, int wait_ms)
{
    struct pollfd poll_fd = {.fd = run->env->stop_fd, .events = POLLIN};
    return poll(&poll_fd, 1, wait_ms) > 0;
}

/* Loads keys and denials, and keeps them: after missed events, and now and then. *next_ms: not before. */
static void auth_keep(struct run *run, int64_t now_ms, int64_t *next_ms)
{
    struct fault fault;
    bool ready = auth_ready(run->auth);
    bool stale = auth_is_stale(run->auth);
    if (now_ms < *next_ms || !bus_client_connected(run->client)) {
        return;
    }
    fault_init(&fault, NULL);
    enum err e = auth_load(run->auth, &fault); /* keys, too: a new one is shown before it signs */
    if (e != ERR_NONE) {
        log_warn(run->env->log, ready ? "denials.not_reloaded" : "keys.not_loaded", KV("code", err_info(e)->slug),
                 KV("detail", fault.detail), KV("cause", fault.cause));
    }
    *next_ms = now_ms + (e != ERR_NONE || stale ? RETRY_EVERY_MS : run->config->gateway.auth_refresh_s * 1000);
}

/* Whoever came in with a token that is not trusted any more goes, and comes back with another. */
static void distrust_apply(struct run *run)
{
    struct denial everybody = {.before = INT64_MAX};
    if (auth_take_distrust(run->auth)) {
        log_warn(run->env->log, "keys.distrusted", KV_END);
        live_end_sessions(run->live, &everybody);
    }
}

static void run_until_stop(struct run *run)
{
    char url[MESSAGE_SIZE];
    int64_t next_ms = 0;
    bool told = false, was_stale = false;
    snprintf(url, sizeof url, "http://%s:%d", run->config->gateway.host, http_port(run->http));
    while (!wait_stop(run, KEEP_EVERY_MS)) {
        bool stale = auth_is_stale(run->auth);
        if ((stale && !was_stale) || atomic_exchange(&run->keys_due, false)) {
            next_ms = 0;
        }
        was_stale = stale;
        auth_keep(run, clock_now_ms(), &next_ms);
        distrust_apply(run);
        if (!told && auth_ready(run->auth)) {
            told = true;
            log_info(run->env->log, "gateway.ready", KV("url", url), KV_INT("workers", run->config->gateway.workers));
            run->env->ready(run->env, url);
        }
    }
}

static int gateway_run(const void *config, struct env *env)
{
    struct run *run = mem_alloc(sizeof *run);
    *run = (struct run){.env = env, .config = config};
    int status = parts_start(run);
    if (status == PROCESS_OK) {
        run_until_stop(run);
        log_info(env->log, "gateway.draining", KV_INT("ms", run->config->gateway.drain_ms));
        atomic_store(&run->gateway.draining, true);
        long_polls_drain(run->gateway.polls);
        (void)poll(NULL, 0, (int)run->config->gateway.drain_ms);
    }
    parts_stop(run);
    mem_free(run);
    return status;
}

const struct program gateway_program = {
    .name = "gateway", .config = &table, .config_size = sizeof(struct gateway_program_config), .run = gateway_run};
