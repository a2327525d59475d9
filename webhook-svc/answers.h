/* First answers to requests with an Idempotency-Key: whoever asks again gets the same one, whatever has changed since.
 * On SQLite an answer is stored with what it tells of. On MongoDB it is stored just after that, and who asks again in
 * between is answered by what is there, which the handlers find by its name. Secrets are not in answers. */
#ifndef ZMART_WEBHOOK_ANSWERS_H
#define ZMART_WEBHOOK_ANSWERS_H

#include "webhook-svc/desk.h"

/* The request's id in hex, in the call's arena. */
struct text request_hex(struct call *call);
/* Whether this request had an answer (*out_again), and what it was: *out, or the refusal in call_fault, whose code is
 * returned. IDEMPOTENCY_KEY_REUSED if the key came with another request. */
MUST_USE enum err answer_again(struct call *call, const struct record *record, void *out, bool *out_again);
/* Keeps out as the first answer; if another loop has answered the same request meanwhile, out becomes that answer. */
MUST_USE enum err answer_keep(struct call *call, const struct record *record, void *out);
/* Keeps what call_fault says, a refusal, as the first answer, and returns its code. */
MUST_USE enum err answer_refuse(struct call *call);

#endif
