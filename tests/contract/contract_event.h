/* What event-svc/store.h promises, as tests for any store: each test gets an empty one. */
#ifndef ZMART_TESTS_CONTRACT_EVENT_H
#define ZMART_TESTS_CONTRACT_EVENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event-svc/store.h"

struct place {
    char url[512];
    struct store_config config;
    struct mongo_pool *pool; /* NULL on SQLite */
    struct arena arena;
    struct fault fault;
};

/* ---- each store's test program has these ---- */

int place_make(void **state); /* setup: *state is a struct place */
int place_drop(void **state); /* teardown */
/* Forgets all that is stored; no store is open. */
void place_empty(struct place *place);

/* ---- contract_event.c ---- */

struct event_store *place_store(struct place *place, bool writer, int64_t epoch);
struct event_new event_of(const char *id, const char *type, const char *user, int64_t time);
/* One unit of work: all or nothing. *out_new is what the append said. */
enum err appended(struct event_store *store, struct event_new *events, uint32_t count, uint32_t *out_new);
void assert_gap_free(struct place *place, struct event_store *store, uint32_t count);
int contract_event_run(void);

/* ---- contract_event_failing.c ---- */

int contract_event_failing_run(void);

/* ---- contract_letter.c ---- */

int contract_letter_run(void);

#endif
