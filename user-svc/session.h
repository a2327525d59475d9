/* Sessions: how they begin, what the client gets, and how they end for everybody. */
#ifndef ZMART_USER_SESSION_H
#define ZMART_USER_SESSION_H

#include "user-svc/job.h"

/* One sign-in on its way through the pool. Lives in the call's arena. */
struct sign_in {
    struct job job;
    struct account account;
    char session_id[IDENT_SIZE];
    char user_id[IDENT_SIZE + 9]; /* NUL-terminated copy for the token */
};

/* Prepares the token that job will sign: for this account, in this session, not valid before what was denied. */
void session_claims(struct call *call, struct sign_in *sign_in);
/* Begins the session that follows from the request id, or finds the one that this request has begun already.
 * CONFLICT if the id has become another's. token: which of the job's. */
MUST_USE enum err session_begin(struct call *call, const struct sign_in *sign_in, int token, struct user_session *out);
/* What the client gets. */
void session_reply(struct call *call, const struct sign_in *sign_in, const char *token, const char *refresh_token,
                   struct user_session *out);

/* When a denial of what was issued up to before_ms may be forgotten: every such token has expired by then. */
int64_t denial_ends(const struct user_state *state, int64_t before_ms);
/* Ends one session with its access tokens, once, and tells the gateways. */
MUST_USE enum err session_finish(struct call *call, struct text session_id, struct text user_id);

/* Sets the fault for an answer that a store verb gave without one; returns e. */
enum err answer(struct call *call, enum err e);

#endif
