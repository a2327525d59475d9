/* Changing an account: user.update, user.set_role. */
#ifndef ZMART_USER_EDIT_H
#define ZMART_USER_EDIT_H

#include "user-svc/session.h"

/* Handler of user.update. Name and addresses change at once; a new password or address proves the present password
 * first, on the pool. A new password ends the account's other sessions. */
enum err edit_begin(struct call *call, const struct user_edit *in, struct user *out);
/* Handler of user.set_role. It ends the tokens with the old role. */
enum err role_set(struct call *call, const struct user_role_set *in, struct user *out);

#endif
