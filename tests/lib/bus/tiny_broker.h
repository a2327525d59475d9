/* A broker just good enough to test clients and services against: it forwards, remembers what workers have, and does
 * what a test tells it to. One thread; everything else is thread-safe. */
#ifndef ZMART_TESTS_TINY_BROKER_H
#define ZMART_TESTS_TINY_BROKER_H

#include <stdbool.h>

#include "proto/errors.h"

struct tiny_broker;

/* base: "inproc://x" or "ipc:///dir" */
struct tiny_broker *tiny_broker_new(void *context, const char *base, int heartbeat_ms);
/* As kill -9: closes its sockets without a word. */
void tiny_broker_destroy(struct tiny_broker **self);
/* While frozen it reads nothing. */
void tiny_broker_freeze(struct tiny_broker *self, bool frozen);
/* DRAIN to all clients; what they send then is refused with 503. */
void tiny_broker_drain(struct tiny_broker *self);
/* What clients send from now on is refused with this error. */
void tiny_broker_refuse(struct tiny_broker *self, enum err code);
/* Forgets every session: the next frames are answered with BYE. */
void tiny_broker_forget(struct tiny_broker *self);
/* Requests taken from clients, and given to workers. */
int tiny_broker_taken(struct tiny_broker *self);
int tiny_broker_given(struct tiny_broker *self);
int tiny_broker_cancels(struct tiny_broker *self);
/* Workers whose session is up. */
int tiny_broker_workers(struct tiny_broker *self);
/* How many of them have said DRAIN. */
int tiny_broker_draining(struct tiny_broker *self);
/* Size of the last body that came with a PING. */
int tiny_broker_ping_size(struct tiny_broker *self);

#endif
