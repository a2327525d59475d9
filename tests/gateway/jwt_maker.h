/* Makes keys and tokens for tests: good ones, and any that an attacker would send. */
#ifndef ZMART_TESTS_GATEWAY_JWT_MAKER_H
#define ZMART_TESTS_GATEWAY_JWT_MAKER_H

#include "lib/base/mem.h"
#include "proto/user.h"

struct jwt_maker;

struct jwt_maker *jwt_maker_new(const char *kid);
void jwt_maker_destroy(struct jwt_maker **self);
/* As user.keys lists it; texts are the maker's. */
struct signing_key jwt_maker_key(const struct jwt_maker *self);
/* base64url(header) . base64url(payload) . signature by ES256 */
struct text jwt_make(const struct jwt_maker *self, const char *header, const char *payload, struct arena *arena);

#endif
