/* A client on a bus of its own, with the real broker as a thread, and a service that answers with the attempt. */
#ifndef ZMART_TESTS_BROKER_SCENE_H
#define ZMART_TESTS_BROKER_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/main.h"
#include "tests/lib/bus/rig.h"

#define BROKER_FLAGS "--events=", "--heartbeat-ms", "100", "--service-wait-ms", "2000"

struct broker_thread {
    struct rig_env rig;
    const char *base;
    pthread_t thread;
    int status;
};

struct scene {
    void *context;
    char base[BUS_ADDRESS_SIZE];
    struct rig_env rig;
    struct bus_client *client;
    struct arena arena;
    struct fault fault;
};

extern struct gate broker_scene_gate; /* where the service waits with "gate" */
extern const struct service broker_scene_service;

void broker_thread_start(struct broker_thread *broker, void *context, const char *base);
int broker_thread_stop(struct broker_thread *broker);
int scene_open(void **state);
int scene_close(void **state);

#endif
