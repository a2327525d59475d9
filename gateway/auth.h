/* Who asks: checks access tokens, remembers the good ones, and knows which sessions have ended.
 *
 * Keys, denials and verdicts come from user-svc through struct auth_source, so that nothing here knows the bus.
 * A verified token is remembered by its SHA-256 until it expires; whether its session was ended is asked every time.
 * When no beacon of the event stream was heard for a while, each token is asked about (remembered for a second at
 * most). Never: a signature check without a key, JSON parsed before its size and depth are known. All of it is
 * thread-safe. */
#ifndef ZMART_GATEWAY_AUTH_H
#define ZMART_GATEWAY_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/mem.h"
#include "proto/fault.h"
#include "proto/user.h"

struct auth;

/* Where auth gets what only user-svc knows. All may block up to a call's budget. */
struct auth_source {
    enum err (*keys)(void *user, struct arena *arena, struct fault *fault, struct signing_keys *out);
    enum err (*denials)(void *user, struct arena *arena, struct fault *fault, struct denial_list *out);
    enum err (*check)(void *user, const struct token_check *ask, struct fault *fault, bool *out_good);
    /* Milliseconds since the event stream was last heard; INT64_MAX: never. */
    int64_t (*silence_ms)(void *user);
    void *user;
};

struct auth_settings {
    int64_t token_count; /* verified tokens remembered at most */
    int64_t leeway_s;    /* clocks of two machines may differ by so much */
    int64_t silence_ms;  /* without a beacon for so long, every token is asked about */
    int64_t refetch_ms;  /* keys are fetched again for an unknown kid at most so often */
    int64_t ready_ms;    /* a token that comes before the first keys waits so long for them */
};

/* So many tokens wait at a time; further ones are answered at once. */
enum { AUTH_WAITING_MAX = 64 };

struct auth *auth_new(const struct auth_source *source, const struct auth_settings *settings);
void auth_destroy(struct auth **self);

/* Fetches keys and denials; until both were there once, auth_ready is false. */
MUST_USE enum err auth_load(struct auth *self, struct fault *fault);
bool auth_ready(struct auth *self);
/* True once after keys were fetched of which none was known before: those were distrusted (a key that is merely over
 * goes long after its successor was shown), so whoever was let in by their tokens has to go. */
bool auth_take_distrust(struct auth *self);

/* token: what follows "Bearer ". wall_ms: clock_wall_ms(). UNAUTHENTICATED for anything but a good token of a session
 * that goes on; SERVICE_UNAVAILABLE when user-svc has to be asked and does not answer. May block for ready_ms before
 * auth_ready, and up to a call's budget. Texts of out are in arena. */
MUST_USE enum err auth_check(struct auth *self, struct text token, int64_t wall_ms, struct arena *arena,
                             struct fault *fault, struct identity *out);
/* The token in the value of an Authorization header; UNAUTHENTICATED if it is not "Bearer" and one token. */
MUST_USE enum err auth_bearer(struct text header, struct fault *fault, struct text *out_token);
/* True when a session of this account, whose token was issued then, has been ended. */
bool auth_is_denied(struct auth *self, struct text user_id, struct text session_id, int64_t issued_at_ms);

/* True when this very token was verified before and has not expired (its session may have ended). */
bool auth_knows(struct auth *self, struct text token, int64_t wall_ms);

/* Adds one ended session (or all of an account). Holds for every auth_check that begins afterwards. */
void auth_deny(struct auth *self, const struct denial *denial);
/* Asks for all denials again (after a gap in the events, or before a password change is answered). */
MUST_USE enum err auth_reload_denials(struct auth *self, struct fault *fault);

/* Events about ended sessions may have been missed: until the denials were loaded again, each token is asked about. */
void auth_missed_events(struct auth *self);
/* True while that is so, or while the event stream is silent; denials should then be reloaded. */
bool auth_is_stale(struct auth *self);

/* Appends {"keys":[...]} (RFC 7517) with the public keys. */
bool auth_add_jwks(struct auth *self, struct buffer *out);

#endif
