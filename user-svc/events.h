/* The events that accounts and sessions cause. Ids follow from the request, so that a repeat makes the same event. */
#ifndef ZMART_USER_EVENTS_H
#define ZMART_USER_EVENTS_H

#include "user-svc/store.h"

/* A user.* event of this request about this account, for administrators. The store fills in its payload. Texts are in
 * the call's arena. */
struct event_new user_event_make(struct call *call, enum event_type type, struct text user_id);
/* session.ended, for gateways alone. */
struct event_new session_ended_make(struct call *call, const struct denial *denial, struct text user_id);

#endif
