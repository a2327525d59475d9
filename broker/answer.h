/* Answers towards clients, and the books about them: every function but answer_partial ends one accepted request. */
#ifndef ZMART_BROKER_ANSWER_H
#define ZMART_BROKER_ANSWER_H

#include "broker/state.h"

/* Why a request is refused or given up. */
struct nack {
    enum outcome outcome;
    const char *detail;    /* for people; may be NULL */
    const char *allowed;   /* what would have been right; may be NULL */
    int64_t retry_after_s; /* 0: not said */
};

void meters_init(struct meters *self, struct metrics *metrics);

/* A worker's REPLY or PARTIAL; takes parcel. */
void answer_reply(struct broker *self, const struct caller *caller, uint16_t status, uint8_t flags,
                  struct parcel *parcel);
void answer_partial(struct broker *self, const struct caller *caller, uint16_t status, uint8_t flags,
                    struct parcel *parcel);
/* The broker's own reply; body is a packed record. */
void answer_body(struct broker *self, const struct caller *caller, struct text body);
/* The broker's own reply that says no: a problem with this code. */
void answer_problem(struct broker *self, const struct caller *caller, enum err code, const char *detail);
void answer_nack(struct broker *self, const struct caller *caller, const struct nack *nack);
/* Its client has left: nothing is sent. */
void answer_nobody(struct broker *self);

/* A frame without parts, or with one, to a peer in the name of its session. */
void peer_send(struct broker *self, const struct peer *peer, enum frame_type type, struct parcel *parcel);
/* A NACK to one that has no session. */
void stranger_nack(struct broker *self, enum plane plane, struct text to, uint64_t corr, enum err code,
                   const char *detail);

#endif
