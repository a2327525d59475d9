#include "lib/bus/service.h"

#include <stdio.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "lib/bus/service_parts.h"

CONFIG_DEFINE(service_config, SERVICE_CONFIG)

enum {
    PLAIN_META_MAX_SIZE = 256,
    SESSIONS_AT_WORK = 2 /* what one that broke has left, and the next one with its whole credit */
};

static void host_init(struct service_host *host, int broker_count)
{
    struct metrics *metrics = host->env->metrics;
    int by_store = host->share.loops ? host->share.loops : host->service->default_loops;
    int loops = host->own->loops ? (int)host->own->loops : by_store;
    host->loop_count = loops < 1 ? 1 : loops > SERVICE_MAX_LOOPS ? SERVICE_MAX_LOOPS : loops;
    host->remote_max = SESSIONS_AT_WORK * (int)host->own->credit * broker_count;
    host->slots = slots_new((int)host->own->calls);
    host->released = mailbox_new((size_t)(host->remote_max + (int)host->own->calls + SERVICE_MAX_INTERNAL));
    host->batch_size = metrics_get(metrics, METRIC_AMOUNT, "zmart_service_batch_size", "",
                                   "Requests and continuations that shared one unit of work.");
    host->queue_length = metrics_get(metrics, METRIC_GAUGE, "zmart_service_queue_length", "",
                                     "Requests and continuations that wait for a loop.");
    ASSERT(pthread_mutex_init(&host->lock, NULL) == 0);
    ASSERT(pthread_cond_init(&host->changed, NULL) == 0);
    host->loops = mem_alloc_array((size_t)host->loop_count, sizeof *host->loops);
    for (int i = 0; i < host->loop_count; i++) {
        host->loops[i].host = host;
        host->loops[i].index = i;
    }
}

static void host_release(struct service_host *host)
{
    slots_destroy(&host->slots);
    mailbox_destroy(&host->released);
    pthread_cond_destroy(&host->changed);
    pthread_mutex_destroy(&host->lock);
    mem_free(host->loops);
}

static void open_refused(const struct service_host *host, int loop, const struct fault *fault)
{
    log_error(host->env->log, "open.failed", KV_INT("loop", loop), KV("code", err_info(fault->code)->slug),
              KV("detail", fault->detail), KV("cause", fault->cause));
}

static bool share_prepare(struct service_host *host)
{
    const struct service *service = host->service;
    struct fault fault;
    fault_init(&fault, NULL);
    if (service->prepare && service->prepare(host->config, host->env, &fault, &host->share) != ERR_NONE) {
        open_refused(host, 0, &fault);
        return false;
    }
    return true;
}

static void share_forget(struct service_host *host)
{
    if (host->service->forget) {
        host->service->forget(host->share.shared);
    }
}

/* One after the other: readers need what the first one has made. */
static bool loops_open(struct service_host *host)
{
    for (int i = 0; i < host->loop_count; i++) {
        struct service_loop *loop = &host->loops[i];
        loop_start(loop);
        if (loop->state == LOOP_FAILED) {
            open_refused(host, i, &loop->open_fault);
            return false;
        }
    }
    return true;
}

static void loops_close(struct service_host *host)
{
    void *item;
    atomic_store(&host->stopping, true);
    for (int i = 0; i < host->loop_count; i++) {
        loop_join(&host->loops[i]);
    }
    while (mailbox_take(host->released, &item, 1, 0) == 1) {
        release_drop_flights(item); /* a timer may have run */
        mem_free(item);
    }
}

int service_run(const struct service *service, const void *config, const struct bus_config *bus,
                const struct service_config *own, struct env *env)
{
    char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    int broker_count = bus_addresses(bus->bus, bases);
    if (broker_count < 1) {
        log_error(env->log, "config.bad", KV("detail", "--bus is no list of broker addresses"), KV("bus", bus->bus));
        return PROCESS_BAD_CONFIG;
    }
    struct service_host host = {.service = service, .config = config, .bus = bus, .own = own, .env = env};
    char message[512];
    if (!credentials_load(env, bus, &host.credentials, message, sizeof message)) {
        log_error(env->log, "config.bad", KV("detail", message), KV("bus", bus->bus));
        return PROCESS_BAD_CONFIG;
    }
    if (!share_prepare(&host)) {
        credentials_forget(&host.credentials);
        return PROCESS_FAILED;
    }
    host_init(&host, broker_count);
    struct reply_meta meta = {.worker = text_of(env->instance)};
    set_has(reply_meta, &meta, worker);
    AUTO(buffer_release) struct buffer plain;
    buffer_init(&plain, PLAIN_META_MAX_SIZE);
    ASSERT(record_pack(&reply_meta_record, &meta, &plain));
    host.plain_meta = buffer_text(&plain);
    bool opened = loops_open(&host);
    if (opened) {
        worker_run(&host);
    } else {
        loops_close(&host);
    }
    host_release(&host);
    share_forget(&host);
    credentials_forget(&host.credentials);
    return opened ? PROCESS_OK : PROCESS_FAILED;
}
