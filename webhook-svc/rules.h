/* What webhook-svc decides, without doing anything: what an answer means, when the next attempt is due, which keys
 * sign, what is posted. */
#ifndef ZMART_WEBHOOK_RULES_H
#define ZMART_WEBHOOK_RULES_H

#include "lib/base/buffer.h"
#include "proto/event.h"
#include "proto/fault.h"
#include "webhook-svc/store.h"

enum {
    WEBHOOK_MAX_KEYS = 4,    /* secrets that sign at a time */
    WEBHOOK_MAX_TRIES = 10,  /* attempts of one delivery */
    SECRET_BYTES = 32,
    SECRET_SIZE = 64,        /* "whsec_" and base64, with NUL */
    SIGNATURES_SIZE = WEBHOOK_MAX_KEYS * 48 + 1
};

enum verdict { VERDICT_GOOD, VERDICT_AGAIN, VERDICT_GONE };
/* status 0: no answer came. Redirections are no success and are not followed; 410 asks to be left alone. */
enum verdict answer_judge(int status);

/* How long the receiver wants to be left alone: Retry-After counts with 429 and 503, up to max_s. 0: it has not said.
 */
int64_t answer_quiet_ms(int status, int64_t retry_after_s, int64_t max_s);

/* What came of an attempt, and when. */
struct outcome {
    enum verdict verdict;
    int64_t now_ms;   /* wall clock */
    int64_t quiet_ms; /* answer_quiet_ms */
    int64_t permille; /* of the waits: a setting */
    uint32_t random;  /* any; spreads the waits */
};

/* After so many attempts: how long to wait for the next one, before it is spread; -1: it is given up. */
int64_t retry_wait_ms(int64_t tries, int64_t permille);
/* Adds an attempt, forgets the oldest beyond WEBHOOK_MAX_ATTEMPTS_KEPT, and sets tries, state and next_at: after the
 * wait that is due or the one that is asked for, whichever is longer. */
void delivery_note(struct delivery_kept *delivery, const struct delivery_attempt *attempt,
                   const struct outcome *outcome, struct arena *arena);
/* What that means for its webhook. True if it has changed. stop_after 0: never stopped for failures. */
bool webhook_note(struct webhook_kept *webhook, const struct delivery_kept *delivery, const struct outcome *outcome,
                  int64_t stop_after, struct arena *arena);
/* Whether something may be posted to it now. */
bool webhook_listens(const struct webhook_kept *webhook, int64_t now_ms);

/* It is made inactive because so many deliveries wait for it. */
void webhook_overflow(struct webhook_kept *webhook, int64_t pending, struct arena *arena);

/* INVALID_BODY with an item for each bad pattern. */
MUST_USE enum err types_check(const struct text_list *types, struct fault *fault);

/* "whsec_" and the base64 of the bytes. */
void secret_make(const uint8_t bytes[SECRET_BYTES], char out[SECRET_SIZE]);
/* A new first key; the one before it signs until overlap is over, expired ones go, and so does what is over the
 * maximum. */
void keys_rotate(struct webhook_kept *webhook, const struct webhook_key *key, int64_t now_ms, int64_t overlap_ms,
                 struct arena *arena);
/* The field webhook-signature: one "v1,BASE64" a key that is good now, the newest first. INTERNAL for a secret that is
 * none. */
MUST_USE enum err signatures_make(const struct webhook_kept *webhook, struct text id, int64_t now_ms, struct text body,
                                  char out[SIGNATURES_SIZE]);

/* {"type","timestamp","data"}: what is posted. record NULL: data is null. False when out is full. */
MUST_USE bool body_write(struct text type, int64_t time_ms, const struct record *record, const void *data,
                         struct buffer *out);

#endif
