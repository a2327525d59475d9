/* Signing keys over time: a new one is shown to gateways, signs after a while, and outlives its last token. */
#ifndef ZMART_USER_KEY_TURN_H
#define ZMART_USER_KEY_TURN_H

#include "user-svc/state.h"

enum { KEY_TURN_EVERY_MS = 2000 };

/* Handler of user.keys. */
enum err key_turn_show(struct call *call, struct signing_keys *out);
/* Handler of user.rotate_key: makes a successor, unless one is waiting to sign already. A repeat of the request is
 * answered as it was at first, whatever the keys are by then; so is one of the next. */
enum err key_turn_ask(struct call *call, struct key_rotated *out);
/* Handler of user.distrust_keys: makes a key that signs at once, and drops all others. */
enum err key_turn_distrust(struct call *call, struct key_rotated *out);
/* A timer's: makes a successor when it is due, goes over to the key that signs by now, and forgets those that are over.
 */
enum err key_turn_look(struct call *call, void *argument);

#endif
