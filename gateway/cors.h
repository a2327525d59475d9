/* Which pages of other web origins may call (Fetch standard). Without --cors-origins: none, and no field is sent. */
#ifndef ZMART_GATEWAY_CORS_H
#define ZMART_GATEWAY_CORS_H

#include "gateway/exchange.h"

struct cors;

/* origins: separated by commas, or "*". Borrowed. */
struct cors *cors_new(const char *origins);
void cors_destroy(struct cors **self);
/* Adds the fields for a request that has an Origin of the list; Vary whenever there is a list. */
void cors_apply(const struct cors *self, struct exchange *exchange);
/* Answers a preflight (OPTIONS with Origin and Access-Control-Request-Method); methods as in Allow. */
void cors_preflight(const struct cors *self, struct exchange *exchange, struct text methods);

#endif
