/* Spending a refresh token: user.refresh. */
#ifndef ZMART_USER_REFRESH_H
#define ZMART_USER_REFRESH_H

#include "user-svc/session.h"

/* Handler of user.refresh. The newest token of a session is exchanged for its successor; the same request gets the same
 * successor again; any other use of a spent token ends the session. */
enum err refresh_begin(struct call *call, const struct user_refresh *in, struct user_session *out);

#endif
