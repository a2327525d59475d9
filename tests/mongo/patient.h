/* Opening a pool that gives up soon, on a server that may be busy: the tests that spoil commands wait only a moment for
 * each answer, and making the indexes may take longer than that. */
#ifndef ZMART_TESTS_MONGO_PATIENT_H
#define ZMART_TESTS_MONGO_PATIENT_H

#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/store/mongo.h"

enum { PATIENT_ANSWER_MS = 20000, PATIENT_ALL_MS = 60000, PATIENT_PAUSE_US = 20000 };

static inline enum err patient_pool_open(const struct store_config *config, const struct mongo_schema *schema,
                                         struct metrics *metrics, struct fault *fault, struct mongo_pool **out)
{
    struct store_config patient = *config;
    int64_t end_ms = clock_now_ms() + PATIENT_ALL_MS;
    patient.store_answer_ms = PATIENT_ANSWER_MS;
    enum err e = mongo_pool_open(&patient, schema, metrics, fault, out);
    if (e != ERR_NONE || config->store_answer_ms >= PATIENT_ANSWER_MS) {
        return e;
    }
    mongo_pool_destroy(out);
    do { /* now it only looks */
        fault->code = ERR_NONE;
        e = mongo_pool_open(config, schema, metrics, fault, out);
    } while ((e == ERR_SERVICE_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN) && clock_now_ms() < end_ms &&
             usleep(PATIENT_PAUSE_US) == 0);
    return e;
}

#endif
