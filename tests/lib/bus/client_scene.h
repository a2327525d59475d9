/* A client, and brokers that come, go, freeze and drain, with a service behind them that answers with the attempt. */
#ifndef ZMART_TESTS_CLIENT_SCENE_H
#define ZMART_TESTS_CLIENT_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/main.h"
#include "tests/lib/bus/rig.h"
#include "tests/lib/bus/tiny_broker.h"

struct scene {
    void *context;
    char first[BUS_ADDRESS_SIZE], second[BUS_ADDRESS_SIZE], both[2 * BUS_ADDRESS_SIZE];
    struct rig_env rig;
    struct bus_client *client;
    struct arena arena;
    struct fault fault;
};

/* An asynchronous call's end. */
struct note {
    struct bus_client *again; /* start another one from within */
    const struct bus_request *request;
    _Atomic int status, done_count, attempt;
};

extern struct gate client_gate; /* where the service waits with "gate" */
extern const struct service client_service;

int scene_open(void **state);
int scene_close(void **state);
void client_open(struct scene *scene, const char *bus, int slot_count);
void client_close(struct scene *scene);
struct bus_request request_of(struct scene *scene, const char *id, uint32_t budget_ms);
enum err get_call(struct scene *scene, const char *id, uint32_t budget_ms, int *out_attempt);
void note_done(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem);

#endif
