/* A core with a clock in the test's hand: frames of peers go in, and what the core sends is taken out one by one. */
#ifndef ZMART_TESTS_BROKER_HARNESS_H
#define ZMART_TESTS_BROKER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/broker.h"
#include "lib/base/mem.h"
#include "proto/mmi.h"

#define MS     INT64_C(1000)
#define SECOND (1000 * MS)

struct harness {
    struct broker_settings settings;
    struct metrics *metrics;
    struct broker *broker;
    int64_t now_us;
    size_t taken; /* of the core's sends */
    struct arena arena;
};

/* Settings fit for tests; change them before harness_start. */
void harness_init(struct harness *h);
void harness_start(struct harness *h);
/* Checks the books before it frees everything. */
void harness_release(struct harness *h);

/* One frame; parts may be NULL. head is sent as it is. */
void send_frame(struct harness *h, enum plane plane, const char *id, const struct frame_head *head,
                const struct text *parts, int part_count);
/* HELLO and its WELCOME; services as "name:credit,name:credit", or "" for a client. Returns the epoch. */
uint32_t say_hello(struct harness *h, enum plane plane, const char *id, const char *services);
/* A head with the epoch, the present time and 5 s of budget. */
struct frame_head head_of(const struct harness *h, enum frame_type type, uint32_t epoch, uint64_t corr);
/* A request of a client; its id is made from corr. */
void send_request(struct harness *h, const char *id, const struct frame_head *head, const char *route);
/* A request of client "c" that kills worker "w" of echo three times, and a new "w" behind it, whose epoch is returned.
 */
uint32_t poison(struct harness *h, uint32_t client, uint64_t corr, uint8_t flags, const char *route);
/* What mmi.dlq is asked, with 700 ms of budget. */
struct text dlq_body(struct harness *h, enum mmi_dlq_action action, struct text request_id);
/* A worker's REPLY with status 200. */
void send_reply(struct harness *h, const char *id, uint32_t epoch, uint64_t corr);

/* The next send must be of this type and to this peer. Parts live until the harness is released. */
struct frame_head expect_frame(struct harness *h, enum plane plane, const char *id, enum frame_type type,
                               struct text out_parts[PARCEL_MAX_PARTS]);
struct frame_head expect(struct harness *h, enum plane plane, const char *id, enum frame_type type);
void expect_nothing(struct harness *h);
/* A NACK with this status to this client. */
struct frame_head expect_nack(struct harness *h, const char *id, uint64_t corr, int status);
/* Lets time pass, with a tick each 20 ms. */
void pass(struct harness *h, int64_t time_us);

#endif
