#include "tests/lib/bus/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

static void ready(struct env *env, const char *detail)
{
    struct rig_env *rig = env->owner;
    (void)detail;
    sem_post(&rig->ready);
}

void rig_env_open(struct rig_env *rig, void *context, const char *bus, const char *instance)
{
    *rig = (struct rig_env){.bus = {.bus = bus, .heartbeat_ms = RIG_HEARTBEAT_MS}};
    const char *level = getenv("TEST_LOG");
    rig->log = (struct log){.fd = 2, .level = level ? LOG_DEBUG : LOG_ERROR + 1, .program = "test"};
    rig->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(sem_init(&rig->ready, 0, 0) == 0);
    rig->env = (struct env){.log = &rig->log,
                            .metrics = metrics_new(),
                            .instance = instance,
                            .bus_context = context,
                            .stop_fd = rig->stop_fd,
                            .ready = ready,
                            .owner = rig};
}

void rig_env_close(struct rig_env *rig)
{
    metrics_destroy(&rig->env.metrics);
    close(rig->stop_fd);
    sem_destroy(&rig->ready);
}

static void *service_thread(void *argument)
{
    struct rig_service *rig = argument;
    rig->status = service_run(rig->service, rig, &rig->rig.bus, &rig->config, &rig->rig.env);
    return NULL;
}

static void start(struct rig_service *rig, void *context, const char *bus, const struct service *service)
{
    rig_env_open(&rig->rig, context, bus, service->name);
    rig->service = service;
    ASSERT(pthread_create(&rig->thread, NULL, service_thread, rig) == 0);
}

void rig_service_start(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                       int loops)
{
    rig->config = (struct service_config){.loops = loops, .batch = 64, .credit = 256, .calls = 64, .drain_ms = 10000};
    start(rig, context, bus, service);
}

void rig_service_start_draining(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                                int64_t drain_ms)
{
    rig->config = (struct service_config){.batch = 64, .credit = 256, .calls = 64, .drain_ms = drain_ms};
    start(rig, context, bus, service);
}

void rig_service_start_small(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                             int64_t credit, int64_t calls)
{
    rig->config = (struct service_config){.batch = 64, .credit = credit, .calls = calls, .drain_ms = 10000};
    start(rig, context, bus, service);
}

void rig_service_start_batched(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                               int64_t batch)
{
    rig->config = (struct service_config){.batch = batch, .credit = 256, .calls = 64, .drain_ms = 10000};
    start(rig, context, bus, service);
}

static bool sem_wait_patiently(sem_t *sem)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RIG_PATIENCE_MS / 1000;
    return sem_timedwait(sem, &until) == 0;
}

void rig_service_wait(struct rig_service *rig)
{
    ASSERT(sem_wait_patiently(&rig->rig.ready));
}

int rig_service_stop(struct rig_service *rig)
{
    uint64_t one = 1;
    ASSERT(write(rig->rig.stop_fd, &one, sizeof one) == (ssize_t)sizeof one);
    pthread_join(rig->thread, NULL);
    rig_env_close(&rig->rig);
    return rig->status;
}

struct bus_client *rig_client(struct rig_env *rig, int slot_count)
{
    char message[256];
    struct bus_client_settings settings = {.bus = &rig->bus, .role = "gateway", .slot_count = slot_count};
    struct bus_client *client = bus_client_new(&rig->env, &settings, message, sizeof message);
    ASSERT(client != NULL);
    return client;
}

void gate_open(struct gate *gate)
{
    ASSERT(sem_init(&gate->entered, 0, 0) == 0);
    ASSERT(sem_init(&gate->leave, 0, 0) == 0);
}

void gate_close(struct gate *gate)
{
    sem_destroy(&gate->entered);
    sem_destroy(&gate->leave);
}

void gate_pass(struct gate *gate)
{
    sem_post(&gate->entered);
    ASSERT(sem_wait_patiently(&gate->leave));
}

void gate_wait(struct gate *gate)
{
    ASSERT(sem_wait_patiently(&gate->entered));
}

void rig_nap(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

void rig_ipc_make(char out[BUS_ADDRESS_SIZE])
{
    char folder[] = "/tmp/zmart-test-XXXXXX";
    ASSERT(mkdtemp(folder) != NULL);
    snprintf(out, BUS_ADDRESS_SIZE, "ipc://%s", folder);
}

void rig_ipc_remove(const char *base)
{
    static const enum bus_socket sockets[] = {BUS_CLIENTS, BUS_WORKERS, BUS_PUBLISH, BUS_EVENTS};
    char address[BUS_ADDRESS_SIZE];
    for (size_t i = 0; i < ARRAY_COUNT(sockets); i++) {
        ASSERT(bus_address(base, sockets[i], address));
        unlink(address + strlen("ipc://"));
    }
    rmdir(base + strlen("ipc://"));
}
