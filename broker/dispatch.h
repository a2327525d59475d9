/* The way of a request: acceptance, queue, worker, answer; and what becomes of it when its worker, its client or its
 * time is gone. */
#ifndef ZMART_BROKER_DISPATCH_H
#define ZMART_BROKER_DISPATCH_H

#include "broker/answer.h"

/* A client's REQUEST; takes parcel. */
void dispatch_accept(struct broker *self, struct peer *client, const struct frame_head *head, struct parcel *parcel);
/* A client takes one back. */
void dispatch_cancel(struct broker *self, struct peer *client, const struct frame_head *head);
/* A worker's PARTIAL or REPLY, of the right shape; takes parcel. */
void dispatch_answer(struct broker *self, struct peer *worker, const struct frame_head *head, struct parcel *parcel);
/* A dead letter becomes a request without a client; false (and why) if it cannot. Its parcel is shared. A NACK makes a
 * dead letter of it again, an answer drops it for good. */
MUST_USE bool dispatch_letter(struct broker *self, const struct letter *letter, int64_t budget_ms,
                              struct nack *out_why);
/* Takes parcel; false if no worker is there or the queue is full. */
MUST_USE bool dispatch_errand(struct broker *self, struct errand *errand, const struct errand_task *task,
                              struct parcel *parcel);

enum { RETRY_AFTER_S = 1 };

/* In the broker's first seconds no worker has had the time to say HELLO: any name is waited for. */
bool dispatch_in_grace(const struct broker *self);
/* Ends a request with a NACK. */
void dispatch_nack(struct broker *self, struct request *request, const struct nack *nack);
/* Hands out what waits, as far as there is credit. */
void dispatch_service(struct broker *self, struct service *service);
/* Empties and takes away a worker's stations; what it had is sent again, or given up. */
void dispatch_worker_lost(struct broker *self, struct peer *worker);
/* The worker has not got, and will not get, what was dispatched under this number. */
void dispatch_unsent(struct broker *self, uint64_t dispatch_id);
/* Nobody waits for this client's requests any more. */
void dispatch_client_lost(struct broker *self, struct peer *client);
/* Ends what is over its budget. */
void dispatch_expire(struct broker *self);
/* Ends what waits too long, and what waits for services that nobody has ever heard of. */
void dispatch_sweep(struct broker *self);
/* Ends everything. */
void dispatch_end_all(struct broker *self);

#endif
