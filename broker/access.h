/* What the keys of connections allow, as the core sees it. Without keys everything is allowed to everybody who can
 * reach the sockets. What is refused is counted. */
#ifndef ZMART_BROKER_ACCESS_H
#define ZMART_BROKER_ACCESS_H

#include "broker/state.h"

enum { ACCESS_DETAIL_SIZE = 160 };

/* Whether what is received now comes over a connection of the key that began the session. */
bool access_is_same(const struct broker *self, const struct peer *peer);
/* Both: false, with a sentence for people in detail, if the key that speaks now may not. */
MUST_USE bool access_greet(struct broker *self, enum plane plane, const struct hello *hello,
                           char detail[ACCESS_DETAIL_SIZE]);
MUST_USE bool access_call(struct broker *self, struct text service, struct text operation,
                          char detail[ACCESS_DETAIL_SIZE]);
/* Whether a session may go on under other grants. */
bool access_holds(const struct peer *peer, const struct key_grants *grants);

#endif
