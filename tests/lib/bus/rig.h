/* What the tests of lib/bus share: programs' surroundings, a service on a thread, waiting for things with a deadline.
 */
#ifndef ZMART_TESTS_RIG_H
#define ZMART_TESTS_RIG_H

#include <pthread.h>
#include <semaphore.h>

#include "lib/base/clock.h"
#include "lib/bus/client.h"
#include "lib/bus/service.h"

/* On a busy machine threads stand still for a second and more: who is not to be found dead has the calm heartbeat. The
 * broker's wish decides, where it is the smaller one. */
enum { RIG_HEARTBEAT_MS = 2000, RIG_QUICK_MS = 300, RIG_PATIENCE_MS = 60000 };

/* What a program's host gives. */
struct rig_env {
    struct env env;
    struct log log;
    int stop_fd;
    sem_t ready;
    struct bus_config bus;
};
void rig_env_open(struct rig_env *rig, void *context, const char *bus, const char *instance);
void rig_env_close(struct rig_env *rig);

/* A service on a thread of its own. */
struct rig_service {
    struct rig_env rig;
    const struct service *service;
    struct service_config config;
    pthread_t thread;
    int status;
};
/* Starts it without waiting. */
void rig_service_start(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                       int loops);
/* The same with its own loops and this much time to drain. */
void rig_service_start_draining(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                                int64_t drain_ms);
/* The same with this much credit and so many calls to others at a time. */
void rig_service_start_small(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                             int64_t credit, int64_t calls);
/* The same with so many requests in one unit of work at most. */
void rig_service_start_batched(struct rig_service *rig, void *context, const char *bus, const struct service *service,
                               int64_t batch);
/* Waits until it says that it is ready. */
void rig_service_wait(struct rig_service *rig);
/* Drains it; returns its exit status. */
int rig_service_stop(struct rig_service *rig);

struct bus_client *rig_client(struct rig_env *rig, int slot_count);

/* A place where a handler waits until the test lets it go. */
struct gate {
    sem_t entered, leave;
};
void gate_open(struct gate *gate);
void gate_close(struct gate *gate);
void gate_pass(struct gate *gate); /* the handler's side */
void gate_wait(struct gate *gate); /* until a handler is there */

/* Fails the test if it does not become true in time. */
#define RIG_WAIT(condition)                                                         \
    do {                                                                            \
        int64_t rig_until_ms = clock_now_ms() + RIG_PATIENCE_MS;                    \
        while (!(condition)) {                                                      \
            assert_true(clock_now_ms() < rig_until_ms);                             \
            rig_nap();                                                              \
        }                                                                           \
    } while (0)
void rig_nap(void);
/* A fresh folder for ipc sockets; ends in the name, has the scheme in front. */
void rig_ipc_make(char out[BUS_ADDRESS_SIZE]);
void rig_ipc_remove(const char *base);

#endif
